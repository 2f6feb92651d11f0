"""Is every lesion found, and what is shown where there is none?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import hypergeom

from xaibench.contracts import MetricCard
from xaibench.errors import UsageError
from xaibench.metrics.images import each_map
from xaibench.metrics.overlap import checked_threshold, highest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xaibench.contracts import Case, Floats, Mask, Scores


class LesionRecall:
    """Share of an image's lesions that are found: small ones count as much as large ones.

    A lesion is found if at least `coverage` of its pixels are highlighted. Papers ask for anything from a tenth to
    nine tenths; without `coverage` the value is the mean over all that could be asked, which is the share of a lesion
    that is highlighted. Highlighted are as many of the highest pixels as all lesions have together, so that nothing
    is gained by showing much; with `threshold`, all pixels that reach it. Of pixels that tie at the cut each is as
    likely to be in, and the value is the expectation.
    """

    card = MetricCard(
        name="lesion-recall",
        summary="Share of the lesions that are found, large or small, in the highest part of the map, that part being "
        "as large as all lesions together; averaged over how much of a lesion must be in it",
        paper="ChestX-ray8: Hospital-scale Chest X-ray Database and Benchmarks on Weakly-Supervised Classification "
        "and Localization of Common Thorax Diseases (Wang et al., 2017), for a share of the region as the criterion",
        family="localisation",
        higher_is_better=True,
        needs=frozenset({"mask"}),
    )

    def __init__(self, coverage: float | None = None, threshold: float | None = None) -> None:
        if coverage is not None and not 0 < coverage <= 1:
            raise UsageError(f"lesion-recall: coverage is {coverage}; give a share of a lesion, above 0, up to 1.")
        self.coverage = coverage
        self.threshold = None if threshold is None else checked_threshold("lesion-recall", threshold)

    def score(self, case: Case) -> Scores:
        """One value per image."""
        return np.array([self._recall(one, lesions) for one, lesions in zip(case.maps, case.lesions, strict=True)])

    def _recall(self, heatmap: Floats, lesions: Sequence[Mask]) -> float:
        marked = [lesion for lesion in lesions if lesion.any()]
        if not marked or not np.isfinite(heatmap).all():
            return np.nan
        sure, tied, drawn = self._highlighted(heatmap, int(np.count_nonzero(np.logical_or.reduce(marked))))
        return float(np.mean([self._found(lesion, sure, tied, drawn) for lesion in marked]))

    def _highlighted(self, heatmap: Floats, area: int) -> tuple[Mask, Mask, int]:
        if self.threshold is None:
            return highest(heatmap, area)
        return heatmap >= self.threshold, np.zeros(heatmap.shape, dtype=bool), 0

    def _found(self, lesion: Mask, sure: Mask, tied: Mask, drawn: int) -> float:
        """Chance that enough of the lesion is highlighted, or the share that is expected to be."""
        if self.coverage is None:
            luck = drawn / np.count_nonzero(tied) if drawn else 0.0
            return float(np.mean(sure[lesion]) + luck * np.mean(tied[lesion]))
        # The small number keeps half of 10 pixels at 5 where the product is rounded up.
        needed = int(np.ceil(self.coverage * np.count_nonzero(lesion) - 1e-9))
        missing = needed - np.count_nonzero(sure & lesion)
        if drawn == 0 or missing <= 0:
            return float(missing <= 0)
        return float(hypergeom.sf(missing - 1, np.count_nonzero(tied), np.count_nonzero(tied & lesion), drawn))


class FalseAlarms:
    """Mean of the map on an image without a lesion: nothing there is worth showing.

    A flat map raises no alarm, but explains nothing: it counts as failed and has no value.
    """

    card = MetricCard(
        name="false-alarms",
        summary="Mean of the map on images without a lesion: how much is highlighted where there is nothing to find",
        family="localisation",
        higher_is_better=False,
        worst=None,
        needs=frozenset({"normal"}),
        claims_quality=False,
    )

    def score(self, case: Case) -> Scores:
        """One value per image."""
        return each_map(lambda one: float(one.mean(dtype=np.float64)), case.maps)
