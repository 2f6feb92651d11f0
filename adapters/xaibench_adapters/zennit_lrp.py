"""Layer-wise relevance propagation, by zennit."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from xaibench.contracts import ExplainerCard
from xaibench.errors import Unsupported, UsageError
from xaibench_adapters.deeplift import NO_RULE, PRODUCTS, moving
from xaibench_adapters.gradients import poisoned

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xaibench.contracts import Batch, Classifier

T = torch.Tensor
COMPOSITES = {
    "epsilon-plus-flat": "EpsilonPlusFlat",
    "epsilon-plus": "EpsilonPlus",
    "epsilon-alpha2-beta1-flat": "EpsilonAlpha2Beta1Flat",
    "epsilon-alpha2-beta1": "EpsilonAlpha2Beta1",
}
SUMS = {torch.add, T.add, T.add_, T.__add__, T.__iadd__, torch.sub, T.sub, T.__sub__}
AVERAGES = {torch.mean, T.mean}
UNORDERED = "this network's batch normalisation cannot be merged into its convolutions in the order they are named"
ROUNDING = 1e-3  # of the logits, when batch normalisation is merged into the convolutions


class LRP:
    """What each pixel gets when the class's logit is handed back layer by layer, in shares of what each input gave.

    In a copy of the network batch normalisation is merged into the convolution before it, and the sums of ResNet
    blocks are made shareable. Relevance is read where the first layer takes its input, so that preprocessing inside
    the network changes nothing.

    composite: the rules; "epsilon-plus-flat", "epsilon-plus", "epsilon-alpha2-beta1-flat" or "epsilon-alpha2-beta1".
    """

    card = ExplainerCard(
        name="lrp",
        summary="Relevance of the class, propagated back layer by layer; added over channels",
        paper="On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise Relevance Propagation "
        "(Bach et al., 2015)",
        licence="LGPL-3.0-or-later (zennit)",
        family="gradient",
        sign="signed",
        needs=frozenset({"gradients"}),
        default=False,
    )

    def __init__(self, composite: str = "epsilon-plus-flat") -> None:
        if composite not in COMPOSITES:
            raise UsageError(f"lrp: composite is {composite!r}; there are {', '.join(COMPOSITES)}.")
        self.composite = composite

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        # A copy: what zennit changes it does not always put back when it fails half way.
        network = copy.deepcopy(classifier.network, {id(classifier.counters): classifier.counters})
        with torch.no_grad(), _Watched():
            expected = network(batch.images)
        leaf, entry = batch.images.detach().clone().requires_grad_(), _Entry()
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                module.register_forward_pre_hook(entry)
        _register(_composite(self.composite), network)
        with torch.enable_grad(), _Watched():
            logits = network(leaf)
        _check(logits, expected)
        chosen = logits.gather(1, batch.targets[:, None])
        (relevance,) = torch.autograd.grad(chosen.sum(), entry.place(leaf))
        return poisoned(relevance.float(), chosen.detach()).sum(dim=1)


def _composite(name: str) -> Any:
    try:
        # Here and not above: zennit is an extra, and its licence is another.
        from zennit import composites
        from zennit.torchvision import ResNetCanonizer
    except ImportError:
        raise UsageError("lrp needs zennit, which is not installed: pip install 'xaibench[zennit]'") from None
    return getattr(composites, COMPOSITES[name])(canonizers=[ResNetCanonizer()])


def _register(composite: Any, network: nn.Module) -> None:
    try:
        composite.register(network)
    except RuntimeError as error:
        raise Unsupported(f"lrp: {UNORDERED} ({error}). Choose integrated-gradients.") from error


class _Entry:
    """A hook that keeps what the first layer with weights is given."""

    def __init__(self) -> None:
        self.given: torch.Tensor | None = None

    def __call__(self, _module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if self.given is None:
            self.given = inputs[0]

    def place(self, images: torch.Tensor) -> torch.Tensor:
        """Where relevance is read: there if pixels are still pixels there, else at the images."""
        if self.given is None or self.given.shape[2:] != images.shape[2:] or not self.given.requires_grad:
            return images
        return self.given


class _Watched(TorchFunctionMode):
    """Refuses calls that hooks on modules cannot see, and through which relevance would not be shared out.

    Everything is computed in full precision, for zennit computes layers again where no autocast reaches.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        for device in ("cpu", "cuda"):
            torch.set_autocast_enabled(device, False)  # until the network's own autocast ends
        among = len(moving([*args, *kwargs.values()]))
        if (func in NO_RULE | AVERAGES and among) or (func in PRODUCTS | SUMS and among > 1):
            raise Unsupported(
                f"lrp has no rule for {getattr(func, '__name__', func)} as this network uses it. It knows "
                "convolutions, linear layers, activations, pooling modules and the blocks of torchvision's ResNets. "
                "Choose integrated-gradients."
            )
        return func(*args, **kwargs)


def _check(logits: torch.Tensor, expected: torch.Tensor) -> None:
    """Merging follows the order in which modules were made; if that is not the order of use, logits change."""
    finite = expected.isfinite()
    allowed = ROUNDING * expected[finite].abs().amax().clamp(min=1.0) if finite.any() else 0.0
    if ((logits.detach() - expected)[finite].abs() > allowed).any():
        raise Unsupported(f"lrp: {UNORDERED}, and then computes other logits. Choose integrated-gradients.")
