"""LIME: a weighted ridge regression of the network's answers on which segments are on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

import numpy as np

from xaibench.contracts import ExplainerCard
from xaibench.errors import UsageError
from xaibench.seeds import derive
from xaibench_adapters.coalitions import balanced, coin_flips
from xaibench_adapters.superpixels import Superpixels, painted, stacked

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from xaibench.contracts import Batch, Classifier
    from xaibench_adapters.coalitions import Switches

    Doubles: TypeAlias = NDArray[np.float64]

PAPER = '"Why Should I Trust You?": Explaining the Predictions of Any Classifier (Ribeiro et al., 2016)'
SAMPLERS = {"balanced": balanced, "lime": coin_flips}


@dataclass(kw_only=True, eq=False)
class Lime(Superpixels):
    """LIME over our own passes.

    Args:
        samples: passes per image, the untouched image among them.
        sampler: balanced (opposite pairs from Hadamard matrices) or lime (coin flips, as in the library).
        kernel_width: how fast coalitions lose weight with their distance from the whole image.
        distance: cosine, as in the library, or hamming, the share of segments that are off.
        alpha: of the ridge.
        segmentation, segments, compactness, iterations, sigma, infill, output: see Superpixels.
    """

    samples: int = 1000
    sampler: Literal["balanced", "lime"] = "balanced"
    kernel_width: float = 0.25
    distance: Literal["cosine", "hamming"] = "cosine"
    alpha: float = 1.0

    card: ClassVar[ExplainerCard] = ExplainerCard(
        name="lime",
        dear=True,
        summary="Weighted ridge regression of the output on which superpixels are shown",
        paper=PAPER,
        family="surrogate",
        sign="signed",
        stochastic=True,
        profiles={
            "quick": {"samples": 128, "segments": 50},
            "paper": {"sampler": "lime", "segmentation": "quickshift", "output": "probability"},
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sampler not in SAMPLERS or self.distance not in ("cosine", "hamming"):
            raise UsageError(
                f"lime: sampler is {self.sampler!r} and distance {self.distance!r}; "
                "samplers are balanced and lime, distances cosine and hamming."
            )
        if self.samples < 2 or not self.kernel_width > 0 or not self.alpha >= 0:
            raise UsageError(
                f"lime: samples is {self.samples}, kernel_width {self.kernel_width}, alpha {self.alpha}; samples must "
                "be 2 or more, kernel_width above 0, and alpha not negative."
            )

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        views = [self.labels(image, seed) for image, seed in zip(batch.images, batch.seeds, strict=True)]
        draw = SAMPLERS[self.sampler]
        drawn = [
            draw(self.samples, int(labels.max()) + 1, np.random.default_rng(derive(seed, "lime")))
            for labels, seed in zip(views, batch.seeds, strict=True)
        ]
        answers = self.answers(classifier, batch, zip(range(len(views)), views, drawn, strict=True))
        return stacked(
            (
                painted(ridge(rows, values, self.weights(rows), self.alpha), labels)
                for rows, values, labels in zip(drawn, answers, views, strict=True)
            ),
            batch,
        )

    def weights(self, coalitions: Switches) -> Doubles:
        """How much each coalition counts: LIME's exponential kernel of its distance from the whole image."""
        share = coalitions.mean(axis=1)
        distance = 1 - np.sqrt(share) if self.distance == "cosine" else 1 - share
        weights: Doubles = np.exp(-((distance / self.kernel_width) ** 2) / 2)
        return weights


def ridge(coalitions: Switches, values: Doubles, weights: Doubles, alpha: float) -> Doubles:
    """Coefficients of the weighted ridge regression with an intercept; NaN if a value is."""
    if not np.isfinite(values).all():
        return np.full(coalitions.shape[1], np.nan)
    if np.ptp(values) == 0:  # else the last bits of their mean would make a map
        return np.zeros(coalitions.shape[1])
    design: Doubles = np.asarray(coalitions - np.average(coalitions, axis=0, weights=weights), dtype=np.float64)
    weighted = design.T * weights
    # Least squares: with alpha 0 and too few samples there are many solutions, and it takes the shortest.
    centred = values - np.average(values, weights=weights)
    gram = weighted @ design + alpha * np.eye(coalitions.shape[1])
    return np.asarray(np.linalg.lstsq(gram, weighted @ centred, rcond=None)[0], dtype=np.float64)
