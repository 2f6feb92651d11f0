"""Kernel SHAP over our own passes: opposite pairs of coalitions, fitted so that the values add up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

import numpy as np

from xaibench.contracts import ExplainerCard
from xaibench.errors import UsageError
from xaibench.seeds import derive
from xaibench_adapters.coalitions import opposite_pairs
from xaibench_adapters.shapley_fit import MOST, linear_values, smooth_values
from xaibench_adapters.superpixels import Superpixels, painted, stacked

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from xaibench.contracts import Batch, Classifier
    from xaibench_adapters.coalitions import Pairs, Spread, Switches

    Doubles: TypeAlias = NDArray[np.float64]

PAPER = "A Unified Approach to Interpreting Model Predictions (Lundberg and Lee, 2017)"
# SLIC as the paper on balanced protocols sets it.
SEGMENTS_OF_PAPER = {"compactness": 1.0, "iterations": 1000, "sigma": 0.0}
FEW = 3  # pairs per segment: measured where the two ways of sharing err alike


@dataclass(kw_only=True, eq=False)
class KernelShap(Superpixels):
    """Shapley values of superpixels. If the passes suffice for every coalition there is, they are exact.

    Args:
        samples: passes per image at most, the whole and the empty image among them.
        fit: smooth (also learns interactions of three and more segments) or linear (the paper's regression, which also
            serves beyond 8000 samples: it errs little more there, and takes far less memory).
        spread: how samples are shared among sizes: evenly, as leverage scores ask for, as the shapley kernel weighs, or
            auto: as the kernel weighs where pairs are few, evenly from three pairs per segment on.
        segmentation, segments, compactness, iterations, sigma, infill, output: see Superpixels.
    """

    samples: int = 1000
    fit: Literal["smooth", "linear"] = "smooth"
    spread: Spread | Literal["auto"] = "auto"

    card: ClassVar[ExplainerCard] = ExplainerCard(
        name="kernel-shap",
        version=2,
        dear=True,
        summary="Shapley values of superpixels, fitted to the outputs of opposite pairs of coalitions",
        paper=PAPER
        + "; Provably Accurate Shapley Value Estimation via Leverage Score Sampling (Musco and Witter, 2024)",
        family="surrogate",
        sign="signed",
        stochastic=True,
        profiles={
            "quick": {"samples": 128, "segments": 50},
            "paper": SEGMENTS_OF_PAPER | {"fit": "linear", "spread": "shapley"},
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fit not in ("smooth", "linear") or self.spread not in ("auto", "leverage", "shapley"):
            raise UsageError(
                f"kernel-shap: fit is {self.fit!r} and spread {self.spread!r}; fits are smooth and linear, spreads "
                "auto, leverage and shapley."
            )
        if self.samples < 4:
            raise UsageError(
                f"kernel-shap: samples is {self.samples}; give 4 or more, as the whole and the empty image take two."
            )

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        views = [self.labels(image, seed) for image, seed in zip(batch.images, batch.seeds, strict=True)]
        drawn = [self.pairs(int(labels.max()) + 1, seed) for labels, seed in zip(views, batch.seeds, strict=True)]
        asked = [_rows(pairs) for pairs in drawn]
        answers = self.answers(classifier, batch, zip(range(len(views)), views, asked, strict=True))
        return stacked(
            (
                painted(self.values(pairs, outputs), labels)
                for pairs, outputs, labels in zip(drawn, answers, views, strict=True)
            ),
            batch,
        )

    def pairs(self, segments: int, seed: int) -> Pairs:
        """The pairs to ask for."""
        rng = np.random.default_rng(derive(seed, "kernel-shap"))
        count = self.samples // 2 - 1
        return opposite_pairs(count, segments, rng, self._spread(count / segments))

    def _spread(self, pairs_per_segment: float) -> Spread:
        """Few pairs are better spent on the smallest and largest coalitions, which weigh most."""
        if self.spread != "auto":
            return self.spread
        return "shapley" if pairs_per_segment < FEW else "leverage"

    def values(self, pairs: Pairs, outputs: Doubles) -> Doubles:
        """Shapley values from the outputs of `_rows(pairs)`; NaN if an output is."""
        segments = pairs.rows.shape[1]
        if not np.isfinite(outputs).all():
            return np.full(segments, np.nan)
        total = float(outputs[0] - outputs[1])
        odd = (outputs[2::2] - outputs[3::2]) / 2
        if segments == 1:
            return np.array([total])
        if pairs.complete or self.fit == "linear" or len(pairs.rows) > MOST:
            return linear_values(pairs.rows, odd, pairs.weights, total)
        return smooth_values(pairs.rows, odd, total)


def _rows(pairs: Pairs) -> Switches:
    """All coalitions to ask for: the whole image, the empty one, then pair after pair."""
    segments = pairs.rows.shape[1]
    ends = np.array([[True] * segments, [False] * segments])
    both = np.stack([pairs.rows, ~pairs.rows], axis=1).reshape(-1, segments)
    return np.concatenate([ends, both])
