"""Any network of torchvision or timm, by its name there."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F
from torchvision import models  # type: ignore[import-untyped]

from xaibench.camlayer import find_cam_layer
from xaibench.contracts import ModelCard
from xaibench.errors import UsageError
from xaibench.isolation import isolated_randomness
from xaibench.registry import did_you_mean
from xaibench_models.preprocessing import PREPARED, Preprocessing
from xaibench_models.trained import TrainedModel

if TYPE_CHECKING:
    from xaibench.contracts import Task
    from xaibench_models.initial import State

# What the heads for other numbers of classes are called.
HEADS = tuple(f"inner.{name}" for name in ("fc.", "classifier.", "head.", "heads.", "AuxLogits.", "aux1.", "aux2."))
TRANSFORMERS = "vit_"  # torchvision's networks whose attention is torch's own
# In torchvision's files of DenseNets a dot more than in its networks.
DOTTED = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")


class Whole(nn.Module):
    """A network fed with images in [0, 1] that answers with logits alone. `side`: the one size it takes, if any."""

    def __init__(self, inner: nn.Module, preprocessing: Preprocessing, side: int | None = None) -> None:
        super().__init__()
        self.inner, self.preprocessing, self.side = inner, preprocessing, side
        for module in self.modules():
            if getattr(module, "inplace", False):
                module.inplace = False  # type: ignore[assignment]  # what a layer put out must not change afterwards

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [B, C, H, W] in [0, 1] -> logits [B, K]."""
        x = self.preprocessing(images)
        if self.side is not None and x.shape[2:] != (self.side, self.side):
            x = F.interpolate(x, (self.side, self.side), mode="bilinear", align_corners=False)
        answer = self.inner(x)
        # Some answer in training with auxiliary logits behind the real ones.
        logits: torch.Tensor = answer if isinstance(answer, torch.Tensor) else answer[0]
        return logits


class _FromZoo(TrainedModel):
    layer: str
    head = HEADS

    def renamed(self, state: State) -> State:
        """Also weights as the zoo itself saves them, which knows nothing of `inner`."""
        if any(name.startswith("inner.") for name in state):
            return state
        return {"inner." + DOTTED.sub(r"\1\2", name): value for name, value in state.items()}

    def cam_layer(self, task: Task) -> str | None:
        """The one asked for; else the last with a grid of at least 7x7."""
        if self.layer:
            return f"inner.{self.layer}"
        with isolated_randomness(0):
            return find_cam_layer(self.network(task), task.shape)


class Torchvision(_FromZoo):
    """`torchvision:densenet121`. `layer`: what CAM methods weigh; by default the last grid of at least 7x7."""

    card = ModelCard(
        name="torchvision", summary=f"any classifier of torchvision; {PREPARED}", licence="BSD-3-Clause", default=False
    )
    fresh = HEADS

    def __init__(
        self,
        name: str,
        *,
        layer: str = "",
        weights: str = "none",
        checkpoint: str = "",
        recipe: str = "quick",
        epochs: int | None = None,
    ) -> None:
        known = models.list_models(module=models)
        if name not in known:
            raise UsageError(
                f"torchvision has no classifier {name!r}{did_you_mean(name, known)}; there are {len(known)}"
            )
        super().__init__(weights=weights, checkpoint=checkpoint, recipe=recipe, epochs=epochs)
        self.name, self.layer = name, layer
        if name.startswith(TRANSFORMERS):
            self.card = replace(self.card, provides=self.card.provides | {"attention"})

    @property
    def imagenet(self) -> str:  # type: ignore[override]  # it is known only by name
        """The newest weights that torchvision has for it."""
        return str(models.get_model_weights(self.name).DEFAULT)

    def network(self, task: Task) -> nn.Module:
        """Random weights, one logit per class."""
        options: dict[str, Any] = {"num_classes": len(task.classes)}
        side = None
        if self.name.startswith(TRANSFORMERS):
            patch = int(self.name.rpartition("_")[2])
            side = options["image_size"] = patch * math.ceil(max(task.shape[1:]) / patch)
        if self.name in ("googlenet", "inception_v3"):
            options["init_weights"] = True  # the default warns and takes a minute less well spent
        return Whole(models.get_model(self.name, **options), Preprocessing(), side)


class Timm(_FromZoo):
    """`timm:convnext_tiny`. `layer`: what CAM methods weigh; by default the last grid of at least 7x7."""

    card = ModelCard(
        name="timm",
        summary="any network of timm (xaibench[timm]); normalises pixels as it was made for",
        licence="of the network",
        default=False,
    )

    def __init__(
        self,
        name: str,
        *,
        layer: str = "",
        checkpoint: str = "",
        recipe: str = "quick",
        epochs: int | None = None,
    ) -> None:
        known = _timm().list_models()
        if name not in known:
            raise UsageError(f"timm has no network {name!r}{did_you_mean(name, known)}; there are {len(known)}")
        super().__init__(checkpoint=checkpoint, recipe=recipe, epochs=epochs)
        self.name, self.layer = name, layer

    def network(self, task: Task) -> nn.Module:
        """Random weights, one logit per class. A network of one size has the images brought to it."""
        inner = _timm().create_model(self.name, pretrained=False, num_classes=len(task.classes))
        made = inner.default_cfg
        side = made["input_size"][-1] if made.get("fixed_input_size") else None
        return Whole(inner, Preprocessing(made["mean"], made["std"]), side)


def _timm() -> Any:
    try:
        import timm  # an extra
    except ImportError as error:
        raise UsageError("networks of timm need timm: pip install 'xaibench[timm]'") from error
    return timm
