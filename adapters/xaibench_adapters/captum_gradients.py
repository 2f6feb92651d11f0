"""Gradients with respect to the pixels, by captum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from captum import attr

from xaibench.contracts import ExplainerCard
from xaibench.errors import UsageError

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
        licence="BSD-3-Clause (captum)",
        family="gradient",
        needs=frozenset({"gradients"}),
    )

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        method = attr.Saliency(classifier.network)
        gradients: torch.Tensor = method.attribute(_leaf(batch), target=batch.targets, abs=True)
        return gradients.amax(dim=1)


class InputXGradient:
    """The gradient times the pixel, added over channels."""

    card = ExplainerCard(
        name="input-x-gradient",
        summary="Gradient of the logit times the pixel's value, added over channels",
        paper="Not Just a Black Box: Learning Important Features Through Propagating Activation Differences "
        "(Shrikumar et al., 2016)",
        licence="BSD-3-Clause (captum)",
        family="gradient",
        sign="signed",
        needs=frozenset({"gradients"}),
    )

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        attributions: torch.Tensor = attr.InputXGradient(classifier.network).attribute(
            _leaf(batch), target=batch.targets
        )
        return attributions.detach().sum(dim=1)


class IntegratedGradients:
    """Gradients averaged on the way from a black image, times the pixel, added over channels."""

    card = ExplainerCard(
        name="integrated-gradients",
        summary="Gradients averaged on the straight way from a black image, times the pixel, added over channels",
        paper="Axiomatic Attribution for Deep Networks (Sundararajan et al., 2017)",
        licence="BSD-3-Clause (captum)",
        family="gradient",
        sign="signed",
        needs=frozenset({"gradients"}),
        profiles={"quick": {"steps": 16}},
    )

    def __init__(self, steps: int = 50) -> None:
        if steps < 1:
            raise UsageError(f"integrated-gradients: steps is {steps}; at least one step is needed.")
        self.steps = steps

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        attributions: torch.Tensor = attr.IntegratedGradients(classifier.network).attribute(
            _leaf(batch),
            target=batch.targets,
            n_steps=self.steps,
            internal_batch_size=len(batch.images),  # the harness chose a batch that fits into memory
        )
        return attributions.detach().sum(dim=1)


def _leaf(batch: Batch) -> torch.Tensor:
    """The images as the start of a graph of their own; the batch itself stays as it is."""
    return batch.images.detach().requires_grad_()
