"""Overlap at a threshold that the map itself, or the truth, decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from xaibench.contracts import Curved, MetricCard
from xaibench.errors import UsageError
from xaibench.metrics.images import each_with_lesion, is_defined
from xaibench.metrics.overlap import overlap

if TYPE_CHECKING:
    from xaibench.contracts import Case, Floats, Mask, Scores

METHODS = ("otsu", "mean-sd")
THRESHOLDS = tuple(float(percent) / 100 for percent in range(5, 100, 5))


class IoUDynamic:
    """Intersection over union of the lesions and the pixels at or above a threshold drawn from the map's own values.

    The paper says that the threshold adapts to the map, not how. `otsu` parts the values into the two groups that
    differ most; `mean-sd` takes the mean plus `k` standard deviations. `over="positive"` asks only the values above 0,
    of which a map with a ReLU may have few.
    """

    card = MetricCard(
        name="iou-dynamic",
        summary="Intersection over union of the lesions and the part of the map that reaches a threshold adapted to it",
        paper="Breast Cancer Classification with Enhanced Interpretability: DALAResNet50 and DT Grad-CAM (2023)",
        family="localisation",
        higher_is_better=True,
        needs=frozenset({"mask"}),
    )

    def __init__(
        self, method: Literal["otsu", "mean-sd"] = "otsu", k: float = 1.0, over: Literal["all", "positive"] = "all"
    ) -> None:
        if method not in METHODS:
            raise UsageError(f"iou-dynamic: method is {method!r}; there are {' and '.join(METHODS)}.")
        if over not in ("all", "positive"):
            raise UsageError(f"iou-dynamic: over is {over!r}; the threshold is drawn from `all` values or `positive`.")
        self.method, self.k, self.over = method, k, over

    def score(self, case: Case) -> Scores:
        """One value per image."""
        return each_with_lesion(lambda one, mask: overlap(one >= self._threshold(one), mask), case)

    def _threshold(self, heatmap: Floats) -> float:
        asked = heatmap[heatmap > 0] if self.over == "positive" else heatmap
        values = asked.astype(np.float64)
        if not values.size:
            return 0.0
        return otsu(values) if self.method == "otsu" else float(values.mean() + self.k * values.std())


class IoUBest:
    """The best intersection over union that any threshold gives, and the curve over all of them.

    Nobody can choose this threshold without the truth: it says what a map could give, not what it does.
    """

    card = MetricCard(
        name="iou-best",
        summary="Oracle: intersection over union of the lesions and the map at the best of 19 thresholds, "
        "chosen with the truth at hand",
        paper="Evaluating Weakly Supervised Object Localization Methods Right (Choe et al., 2020)",
        family="localisation",
        higher_is_better=True,
        needs=frozenset({"mask"}),
        claims_quality=False,
        curve=THRESHOLDS,
        curve_axis="threshold of the map",
    )

    def score(self, case: Case) -> Curved:
        """The best of each curve, and the curve."""
        curves = np.stack([_curve(one, mask) for one, mask in zip(case.maps, case.masks, strict=True)])
        return Curved(curves.max(axis=1), curves)


def otsu(values: Scores) -> float:
    """The level from which on values make a group of their own, so that it and the rest differ most.

    Every level is tried, so no choice of bins matters; of several equally good ones the lowest is taken. Values that
    are all alike are one group.
    """
    levels, counts = np.unique(values, return_counts=True)
    if len(levels) == 1:
        return float(levels[0])
    below = np.cumsum(counts)[:-1]
    above = values.size - below
    sums = np.cumsum(counts * levels)
    gap = (sums[-1] - sums[:-1]) / above - sums[:-1] / below
    return float(levels[1 + np.argmax(below * above * gap**2)])


def _curve(heatmap: Floats, mask: Mask) -> Scores:
    """Intersection over union at every threshold."""
    if not is_defined(heatmap, mask):
        return np.full(len(THRESHOLDS), np.nan)
    everywhere, inside = _reaching(heatmap.ravel()), _reaching(heatmap[mask])
    return np.asarray(inside / (everywhere + np.count_nonzero(mask) - inside), dtype=np.float64)


def _reaching(values: Floats) -> Scores:
    """How many values reach each threshold."""
    # As float32, or a map's 0.35 would lie below a threshold of 0.35.
    short = np.searchsorted(np.sort(values), np.array(THRESHOLDS, dtype=np.float32), side="left")
    return np.asarray(len(values) - short, dtype=np.float64)
