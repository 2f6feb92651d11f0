"""How well the highlighted area overlaps with the lesions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import hypergeom

from xaibench.contracts import MetricCard
from xaibench.errors import UsageError
from xaibench.metrics.images import each_with_lesion

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
        self.threshold = checked_threshold("iou", threshold)

    def score(self, case: Case) -> Scores:
        """One value per image."""
        return each_with_lesion(lambda one, mask: overlap(one >= self.threshold, mask), case)


class Dice:
    """Twice the intersection over the sum of both areas."""

    card = MetricCard(
        name="dice",
        summary="Twice the area that the lesions share with the part of the map at or above a threshold, over the sum "
        "of both areas; orders maps as iou does",
        paper="Measures of the Amount of Ecologic Association Between Species (Dice, 1945)",
        family="localisation",
        higher_is_better=True,
        needs=frozenset({"mask"}),
        default=False,
    )

    def __init__(self, threshold: float = 0.5) -> None:
        self.threshold = checked_threshold("dice", threshold)

    def score(self, case: Case) -> Scores:
        """One value per image."""
        return each_with_lesion(lambda one, mask: _dice(one >= self.threshold, mask), case)


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
        return each_with_lesion(_matched, case)


def checked_threshold(name: str, threshold: float) -> float:
    """A threshold that some pixel of every map can meet."""
    if not 0 < threshold <= 1:
        raise UsageError(f"{name}: threshold is {threshold}; maps run from 0 to 1, so give a value above 0, up to 1.")
    return threshold


def overlap(highlighted: Mask, mask: Mask) -> float:
    """Intersection over union."""
    return float(np.count_nonzero(highlighted & mask) / np.count_nonzero(highlighted | mask))


def _dice(highlighted: Mask, mask: Mask) -> float:
    areas = np.count_nonzero(highlighted) + np.count_nonzero(mask)
    return float(2 * np.count_nonzero(highlighted & mask) / areas)


def _matched(heatmap: Floats, mask: Mask) -> float:
    area = int(np.count_nonzero(mask))
    above, tied, drawn = highest(heatmap, area)
    # Of the tied pixels, as many are drawn as are still missing; how many of these hit is hypergeometric.
    hits = np.arange(drawn + 1)
    chances = hypergeom.pmf(hits, np.count_nonzero(tied), np.count_nonzero(tied & mask), drawn)
    intersection = np.count_nonzero(above & mask) + hits
    ious = intersection / (2 * area - intersection)  # |A or B| = |A| + |B| - |A and B|
    return float(np.average(ious, weights=chances))


def highest(heatmap: Floats, area: int) -> tuple[Mask, Mask, int]:
    """The `area` highest pixels: those in for sure, those tied at the cut, and how many of the tied are drawn."""
    cut = np.partition(heatmap, -area, axis=None)[-area]
    above, tied = heatmap > cut, heatmap == cut
    return above, tied, area - int(np.count_nonzero(above))
