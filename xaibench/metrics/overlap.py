"""How well the highlighted area overlaps with the lesions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import hypergeom

from xaibench.contracts import MetricCard
from xaibench.errors import UsageError

if TYPE_CHECKING:
    from xaibench.contracts import Case, Floats, Mask, Scores


class IoU:
    """Intersection over union of the lesions and the pixels of at least `threshold`."""

    card = MetricCard(
        name="iou",
        summary="Intersection over union of the lesions and the part of the map at or above a threshold",
        family="localisation",
        higher_is_better=True,
        needs=frozenset({"mask"}),
    )

    def __init__(self, threshold: float = 0.5) -> None:
        if not 0 < threshold <= 1:
            raise UsageError(f"iou: threshold is {threshold}; maps run from 0 to 1, so give a value above 0, up to 1.")
        self.threshold = threshold

    def score(self, case: Case) -> Scores:
        """One value per image."""
        highlighted = case.maps >= self.threshold
        intersection = np.count_nonzero(highlighted & case.masks, axis=(1, 2))
        union = np.count_nonzero(highlighted | case.masks, axis=(1, 2))
        return np.asarray(intersection / union, dtype=np.float64)


class IoUMatched:
    """Intersection over union of the lesions and as many of the highest pixels as the lesions have.

    No threshold favours large or small maps. If pixels are tied at the cut, the value is its expectation over
    a random choice among them.
    """

    card = MetricCard(
        name="iou-matched",
        summary="Intersection over union of the lesions and the equally large highest part of the map",
        family="localisation",
        higher_is_better=True,
        needs=frozenset({"mask"}),
    )

    def score(self, case: Case) -> Scores:
        """One value per image."""
        return np.array([_matched(one, mask) for one, mask in zip(case.maps, case.masks, strict=True)])


def _matched(heatmap: Floats, mask: Mask) -> float:
    area = np.count_nonzero(mask)
    cut = np.partition(heatmap, -area, axis=None)[-area]
    above, tied = heatmap > cut, heatmap == cut
    # Of the tied pixels, as many are drawn as are still missing; how many of these hit is hypergeometric.
    drawn = area - np.count_nonzero(above)
    hits = np.arange(drawn + 1)
    chances = hypergeom.pmf(hits, np.count_nonzero(tied), np.count_nonzero(tied & mask), drawn)
    intersection = np.count_nonzero(above & mask) + hits
    ious = intersection / (2 * area - intersection)  # |A or B| = |A| + |B| - |A and B|
    return float(np.average(ious, weights=chances))
