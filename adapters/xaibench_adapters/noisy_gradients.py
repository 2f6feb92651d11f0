"""Gradients of the image under noise: their mean, and how they vary."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch

from xaibench.contracts import ExplainerCard
from xaibench_adapters.drawing import at_least, noisy, not_negative
from xaibench_adapters.gradients import version_gradients

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xaibench.contracts import Batch, Classifier
    from xaibench_adapters.gradients import Item


class _NoisyGradients:
    """samples: noisy images for each map; noise: their standard deviation, as a share of the image's range."""

    card: ClassVar[ExplainerCard]

    def __init__(self, samples: int = 50, noise: float = 0.15) -> None:
        self.samples = at_least(self.card.name, "samples", samples)
        self.noise = not_negative(self.card.name, "noise", noise)

    def gradients(self, classifier: Classifier, batch: Batch) -> Iterator[tuple[Item, torch.Tensor]]:
        """The gradient [C, H, W] of every noisy image. SmoothGrad and VarGrad see the same noise."""

        def version(image: int, number: int) -> torch.Tensor:
            return noisy(batch, "noisy-gradients", image, number, self.noise)

        return version_gradients(classifier, batch, self.samples, version)


class SmoothGrad(_NoisyGradients):
    """The mean gradient of noisy images; its largest absolute value among the channels."""

    card = ExplainerCard(
        name="smoothgrad",
        dear=True,
        summary="Gradients averaged over noisy versions of the image; absolute, of several channels the largest",
        paper="SmoothGrad: removing noise by adding noise (Smilkov et al., 2017)",
        family="gradient",
        stochastic=True,
        needs=frozenset({"gradients"}),
        profiles={"quick": {"samples": 16}},
    )

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        sums = torch.zeros_like(batch.images)
        for (image, _), gradient in self.gradients(classifier, batch):
            sums[image] += gradient
        return (sums / self.samples).abs().amax(dim=1)


class VarGrad(_NoisyGradients):
    """How much the gradients of noisy images vary, added over channels."""

    card = ExplainerCard(
        name="vargrad",
        summary="Variance of the gradients over noisy versions of the image, added over channels",
        paper="Local Explanation Methods for Deep Neural Networks Lack Sensitivity to Parameter Values "
        "(Adebayo et al., 2018)",
        family="gradient",
        stochastic=True,
        needs=frozenset({"gradients"}),
        default=False,
        profiles={"quick": {"samples": 16}},
    )

    def __init__(self, samples: int = 50, noise: float = 0.15) -> None:
        super().__init__(at_least(self.card.name, "samples", samples, 2), noise)

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        means, squares = torch.zeros_like(batch.images), torch.zeros_like(batch.images)
        for (image, number), gradient in self.gradients(classifier, batch):
            # Welford's way: squares of large gradients are never subtracted from each other.
            change = gradient - means[image]
            means[image] += change / (number + 1)
            squares[image] += change * (gradient - means[image])
        return (squares / self.samples).sum(dim=1)
