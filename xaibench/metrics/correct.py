"""Localisation together with classification: does a model that is right look at the right place?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xaibench.contracts import MetricCard
from xaibench.metrics.images import each_with_lesion
from xaibench.metrics.overlap import checked_threshold, overlap

if TYPE_CHECKING:
    from xaibench.contracts import Case, Scores

PAPER = "Analysis of Breast Cancer Lesion Classification Models Trained using Transfer Learning (Raut)"


class LLScore:
    """Intersection over union on images that are classified correctly; no others count, whatever their maps.

    Its mean is the paper's lesion localisation score. The paper leaves open at which threshold a map is cut.
    """

    card = MetricCard(
        name="ll-score",
        version=2,
        summary="Intersection over union of the lesions and the map above a threshold, "
        "over correctly classified images only",
        paper=PAPER,
        family="localisation",
        higher_is_better=True,
        needs=frozenset({"mask", "correct"}),
        default=False,
    )

    def __init__(self, threshold: float = 0.5) -> None:
        self.threshold = checked_threshold("ll-score", threshold)

    def score(self, case: Case) -> Scores:
        """One value per image."""
        return np.where(_correct(case), _overlaps(case, self.threshold), np.nan)


class LLAccuracy:
    """Intersection over union on images that are classified correctly; 0 on the others.

    Its mean is the accuracy on images with a lesion, times the lesion localisation score over them.
    """

    card = MetricCard(
        name="ll-accuracy",
        summary="Accuracy times lesion localisation score: intersection over union, 0 where the model is wrong",
        paper=PAPER,
        family="localisation",
        higher_is_better=True,
        needs=frozenset({"mask"}),
        default=False,
    )

    def __init__(self, threshold: float = 0.5) -> None:
        self.threshold = checked_threshold("ll-accuracy", threshold)

    def score(self, case: Case) -> Scores:
        """One value per image."""
        overlaps = _overlaps(case, self.threshold)
        return np.where(_correct(case) | np.isnan(overlaps), overlaps, 0.0)


def _correct(case: Case) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.asarray(case.predictions == case.labels)


def _overlaps(case: Case, threshold: float) -> Scores:
    return each_with_lesion(lambda one, mask: overlap(one >= threshold, mask), case)
