"""Removal of whole pieces of the image, patches or segments, instead of single pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xaibench.contracts import Curved, MetricCard
from xaibench.infills import Infill
from xaibench.metrics.removal import Removal, area, fitted, grid, shares
from xaibench.metrics.responses import Output, checked_count, checked_output
from xaibench.segmentation import METHODS, check, segment

if TYPE_CHECKING:
    from xaibench.contracts import Case, Scores
    from xaibench.segmentation import Segmentation


SLACK = 1e-6  # two passes over the same pixels may differ by as much


class PixelFlipping:
    """Area under the output as patches are replaced, the one of highest mean relevance first, until none is left."""

    card = MetricCard(
        name="pixel-flipping",
        summary="Area under the output of the class as patches are replaced one by one, most relevant first",
        paper="On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise Relevance Propagation "
        "(Bach et al., 2015); over patches: Evaluating the Visualization of What a Deep Neural Network Has Learned "
        "(Samek et al., 2017)",
        family="faithfulness",
        higher_is_better=False,
        worst=1.0,
        needs=frozenset({"model"}),
        curve=tuple(shares(64).tolist()),
        curve_axis="share of patches removed",
        default=False,
        profiles={"quick": {"cells": 6}},
    )

    def __init__(self, cells: int = 8, infill: str = "mean", output: str = "probability") -> None:
        self.cells = checked_count(self.card.name, "cells", cells)
        self.infill = Infill(infill)
        self.output: Output = checked_output(self.card.name, output)
        self.parts = shares(cells * cells)
        self.card = fitted(self.card, self.parts, self.output)

    def score(self, case: Case) -> Curved:
        """One value per image, and its curve."""
        patches = grid(case.maps.shape[1:], self.cells)
        removal = Removal(case, self.infill, [patches] * len(case.maps))
        counts = removal.counts(self.parts)
        curves = removal.without_top(counts, self.output)
        return Curved(area(curves, counts / removal.pieces[:, None]), curves)


class IROF:
    """Area over the output, relative to that of the untouched image, as segments are replaced one by one.

    The paper's definition, with the untouched image as the first point of the curve and the number of segments as its
    width, so that images with many segments count no more than images with few.
    """

    card = MetricCard(
        name="irof",
        summary="Area over the relative output of the class as segments are replaced, most relevant first",
        paper="IROF: a Low Resource Evaluation Metric for Explanation Methods (Rieger and Hansen, 2020)",
        family="faithfulness",
        higher_is_better=True,
        lowest=None,
        worst=None,
        needs=frozenset({"model"}),
        default=False,
        profiles={"quick": {"segments": 40}, "paper": {"segments": 300, "infill": "mean"}},
    )

    def __init__(self, segments: int = 64, method: str = "slic", infill: str = "mean") -> None:
        check(method, checked_count(self.card.name, "segments", segments))
        self.method: Segmentation = next(known for known in METHODS if known == method)
        self.segments = segments
        self.infill = Infill(infill)

    def score(self, case: Case) -> Scores:
        """One value per image; undefined if the untouched image has no output to lose."""
        labels = [segment(image, self.method, self.segments) for image in case.images]
        removal = Removal(case, self.infill, labels)
        counts = np.minimum(np.arange(removal.pieces.max() + 1), removal.pieces[:, None])
        curves = removal.without_top(counts, "probability")
        with np.errstate(invalid="ignore", divide="ignore"):
            relative = np.where(curves[:, :1] > 0, curves / curves[:, :1], np.nan)
        return 1 - area(relative, counts / removal.pieces[:, None])


class Monotonicity:
    """Share of the steps at which the output does not fall, as patches are shown from the least relevant to the most.

    With `strict` it is 1 or 0, as in the paper: whether it falls at no step at all.
    """

    card = MetricCard(
        name="monotonicity",
        summary="Share of steps at which the output does not fall as ever more relevant patches are shown",
        paper="One Explanation Does Not Fit All: A Toolkit and Taxonomy of AI Explainability Techniques "
        "(Arya et al., 2019)",
        family="faithfulness",
        higher_is_better=True,
        needs=frozenset({"model"}),
        # Where all evidence speaks for the class, the output rises in whatever order it is shown.
        claims_quality=False,
        default=False,
        profiles={"quick": {"cells": 6}, "paper": {"strict": True}},
    )

    def __init__(self, cells: int = 8, infill: str = "mean", output: str = "probability", strict: bool = False) -> None:
        self.cells = checked_count(self.card.name, "cells", cells)
        self.infill = Infill(infill)
        self.output: Output = checked_output(self.card.name, output)
        self.strict = strict

    def score(self, case: Case) -> Scores:
        """One value per image. The steps are those of pixel flipping, backwards."""
        patches = grid(case.maps.shape[1:], self.cells)
        removal = Removal(case, self.infill, [patches] * len(case.maps))
        hidden = np.arange(patches.max() + 1, -1, -1)
        curves = removal.without_top(np.tile(hidden, (len(case.maps), 1)), self.output)
        holds = np.diff(curves, axis=1) >= -SLACK
        return np.asarray(holds.all(axis=1) if self.strict else holds.mean(axis=1), dtype=np.float64)
