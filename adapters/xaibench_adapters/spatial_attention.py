"""Where the attention modules inside a convolutional network look."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from xaibench.contracts import ExplainerCard
from xaibench.errors import Unsupported
from xaibench_adapters.gradcam import enlarged, stretched
from xaibench_adapters.gradients import poisoned, target_logits

if TYPE_CHECKING:
    from xaibench.contracts import Batch, Classifier

WEIGHTS_AT_ONCE = 2**25


class HMCAttention:
    """How much attention each place is paid by all others, in the modules where feature maps attend to feature maps.

    Such a module is called with maps x and y [B, C, h, w], and has convolutions `query` and `key` and a number
    `scale`; the weights are softmax(query(x) * scale . key(y)) over the places of y.

    module: its name ("ca34"); "" for the mean over all of them, each map stretched to [0, 1] before.
    """

    card = ExplainerCard(
        name="hmc-attention",
        summary="Attention that each place is paid in the network's own spatial attention modules",
        paper="HMC-net: a ResNet fused hierarchical multi-scale cross-attention architecture for mammographic breast "
        "malignancy recognition incorporating explainable AI",
        family="attention",
        needs=frozenset({"attention"}),
        class_sensitive=False,
        default=False,
    )

    def __init__(self, module: str = "") -> None:
        self.module = module

    @torch.no_grad()
    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        size = (batch.images.shape[2], batch.images.shape[3])
        maps: list[torch.Tensor] = []

        def watch(module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
            maps.append(enlarged(_received(module, given[0], given[-1]), size))

        with ExitStack() as hooks:
            for module in self.chosen(classifier.network):
                hooks.callback(module.register_forward_pre_hook(watch).remove)
            chosen = target_logits(classifier, batch.images, batch.targets)
        if not maps:
            raise Unsupported("hmc-attention: the attention modules were not used when the network ran.")
        fused = maps[0] if len(maps) == 1 else torch.stack([stretched(one) for one in maps]).mean(dim=0)
        return poisoned(fused, chosen)

    def chosen(self, network: nn.Module) -> list[nn.Module]:
        """The modules asked for."""
        known = {name.removeprefix("inner."): each for name, each in network.named_modules() if _attends(each)}
        if not known:
            raise Unsupported("hmc-attention: this network has no attention between feature maps.")
        if self.module and self.module not in known:
            raise Unsupported(
                f"hmc-attention: there is no attention module {self.module!r}; there are {', '.join(known)}."
            )
        return [known[self.module]] if self.module else list(known.values())


def _attends(module: nn.Module) -> bool:
    parts = (getattr(module, name, None) for name in ("query", "key"))
    return all(isinstance(part, nn.Conv2d) for part in parts) and isinstance(getattr(module, "scale", None), float)


def _received(module: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The mean over all places of x of the attention paid to each place of y, [B, h, w]."""
    queries = (module.query(x) * module.scale).flatten(2).transpose(1, 2).float()
    keys = module.key(y).flatten(2).float()
    rows = max(1, WEIGHTS_AT_ONCE // (len(x) * keys.shape[2]))
    paid = [(some @ keys).softmax(dim=2).sum(dim=1) for some in queries.split(rows, dim=1)]
    received: torch.Tensor = torch.stack(paid).sum(dim=0).float() / queries.shape[1]  # also under autocast
    return received.reshape(len(y), y.shape[2], y.shape[3])
