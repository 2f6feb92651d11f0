"""Gradients that pass ReLUs by another rule, wherever the network calls one: as a module, twice, or in place.

Libraries put hooks on modules: they miss ReLUs that are called as functions, and fail at those used twice or in
place. Here the call itself is replaced while the network runs, so the network is neither copied nor touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from xaibench.contracts import ExplainerCard
from xaibench.errors import Unsupported
from xaibench_adapters.gradcam import NEEDS, GradCAM
from xaibench_adapters.gradients import target_gradients

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch.autograd.function import FunctionCtx

    from xaibench.contracts import Batch, Classifier

RELUS = {F.relu, torch.relu, torch.Tensor.relu}
RELUS_IN_PLACE = {F.relu_, torch.relu_, torch.Tensor.relu_}


class _Guided(torch.autograd.Function):
    """Back pass only positive gradients, and only where the ReLU let something through."""

    @staticmethod
    def forward(ctx: FunctionCtx, values: torch.Tensor) -> torch.Tensor:
        """As every ReLU."""
        output = torch.relu(values)
        ctx.save_for_backward(output > 0)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        """Both conditions."""
        (active,) = ctx.saved_tensors
        passed: torch.Tensor = torch.relu(gradient) * active
        return passed


class _Deconvolved(torch.autograd.Function):
    """Back pass only positive gradients, whatever the ReLU let through."""

    @staticmethod
    def forward(ctx: FunctionCtx, values: torch.Tensor) -> torch.Tensor:
        """As every ReLU."""
        return torch.relu(values)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        """A ReLU on the way back."""
        return torch.relu(gradient)


class ReluRule(TorchFunctionMode):
    """Within it, every ReLU is `rule`; `met` says how many there were."""

    def __init__(self, rule: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.rule, self.met = rule, 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        in_place = func in RELUS_IN_PLACE
        if not in_place and func not in RELUS:
            return func(*args, **kwargs)
        self.met += 1
        values = args[0] if args else kwargs["input"]
        in_place = in_place or kwargs.get("inplace", False) or (func is F.relu and len(args) > 1 and args[1])
        output = self.rule(values)
        return values.copy_(output) if in_place else output


class _RuledBackprop:
    """What both methods share."""

    card: ClassVar[ExplainerCard]
    rule: ClassVar[type[torch.autograd.Function]]

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        return self.gradients(classifier, batch).abs().amax(dim=1)

    def gradients(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """What arrives at the pixels, [B, C, H, W]."""
        with ReluRule(self.rule.apply) as mode:
            gradients = target_gradients(classifier, batch.images, batch.targets)
        if not mode.met:
            raise Unsupported(
                f"{self.card.name} changes how gradients pass ReLUs, and this network has none: "
                "the map would be the plain gradient. Choose saliency."
            )
        return gradients


class GuidedBackprop(_RuledBackprop):
    """What arrives at the pixels if ReLUs let back only positive gradients, and only where they were active."""

    card = ExplainerCard(
        name="guided-backprop",
        summary="Gradients of which ReLUs let back only the positive ones; absolute, of several channels the largest",
        paper="Striving for Simplicity: The All Convolutional Net (Springenberg et al., 2014)",
        family="gradient",
        needs=frozenset({"gradients"}),
    )
    rule = _Guided


class Deconvolution(_RuledBackprop):
    """What arrives at the pixels if ReLUs let back only positive gradients, active or not."""

    card = ExplainerCard(
        name="deconvolution",
        summary="Gradients passed back through ReLUs as through deconvolutions; absolute, of channels the largest",
        paper="Visualizing and Understanding Convolutional Networks (Zeiler and Fergus, 2014)",
        family="gradient",
        needs=frozenset({"gradients"}),
        default=False,
    )
    rule = _Deconvolved


class GuidedGradCAM(GradCAM):
    """Guided backpropagation where Grad-CAM is high: fine lines, of the class.

    layer: as of gradcam.
    """

    card = ExplainerCard(
        name="guided-gradcam",
        version=2,
        summary="Guided backpropagation times Grad-CAM; absolute, of several channels the largest",
        paper="Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization "
        "(Selvaraju et al., 2017)",
        family="gradient",
        needs=NEEDS,
        default=False,
    )

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        fine, cams = GuidedBackprop().gradients(classifier, batch), super().explain(classifier, batch)
        # Where Grad-CAM is the same everywhere it says nothing, and what is left would be guided backpropagation alone.
        tells = cams.amax(dim=(1, 2), keepdim=True) != cams.amin(dim=(1, 2), keepdim=True)  # so does NaN, which stays
        return (fine * (cams * tells).unsqueeze(1)).abs().amax(dim=1)
