"""The gradient at the image itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xaibench.contracts import ExplainerCard
from xaibench_adapters.gradients import target_gradients

if TYPE_CHECKING:
    import torch

    from xaibench.contracts import Batch, Classifier


class Saliency:
    """How much a pixel moves the logit: the largest absolute gradient among its channels."""

    card = ExplainerCard(
        name="saliency",
        summary="Absolute gradient of the logit with respect to each pixel; of several channels the largest",
        paper="Deep Inside Convolutional Networks: Visualising Image Classification Models and Saliency Maps "
        "(Simonyan et al., 2013)",
        family="gradient",
        needs=frozenset({"gradients"}),
    )

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        return target_gradients(classifier, batch.images, batch.targets).abs().amax(dim=1)


class InputXGradient:
    """The gradient times the pixel, added over channels."""

    card = ExplainerCard(
        name="input-x-gradient",
        summary="Gradient of the logit times the pixel's value, added over channels",
        paper="Not Just a Black Box: Learning Important Features Through Propagating Activation Differences "
        "(Shrikumar et al., 2016)",
        family="gradient",
        sign="signed",
        needs=frozenset({"gradients"}),
    )

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        gradients = target_gradients(classifier, batch.images, batch.targets)
        return (gradients * batch.images).sum(dim=1)
