"""How high the lesions' pixels rank among all pixels; where pixels tie, the expectation over a random order of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xaibench.contracts import MetricCard
from xaibench.errors import UsageError
from xaibench.metrics.images import each_with_lesion

if TYPE_CHECKING:
    from xaibench.contracts import Case, Floats, Mask, Scores


@dataclass(frozen=True, eq=False)
class Levels:
    """The distinct values of a map, the highest first: how many pixels have each, and how many of them are lesion."""

    sizes: Scores
    hits: Scores

    @classmethod
    def of(cls, heatmap: Floats, mask: Mask) -> Levels:
        """Count them."""
        _, level, sizes = np.unique(-heatmap, return_inverse=True, return_counts=True)
        hits = np.bincount(level.ravel(), weights=mask.ravel().astype(np.float64), minlength=len(sizes))
        return cls(sizes.astype(np.float64), hits.astype(np.float64))

    def hits_among(self, count: int) -> float:
        """Lesion pixels expected among the `count` highest: of a tie each pixel is as likely to be drawn."""
        return float(np.interp(count, _running(self.sizes), _running(self.hits)))


class AUPRC:
    """Average precision of the map as a classifier of pixels."""

    card = MetricCard(
        name="auprc",
        summary="Average precision of the map as a classifier of pixels into lesion and not: no threshold is chosen",
        paper="Assessing the Trustworthiness of Saliency Maps for Localizing Abnormalities in Medical Imaging "
        "(Arun et al., 2021)",
        family="localisation",
        higher_is_better=True,
        needs=frozenset({"mask"}),
    )

    def score(self, case: Case) -> Scores:
        """One value per image."""
        return each_with_lesion(lambda one, mask: _average_precision(Levels.of(one, mask)), case)


class AUROC:
    """Chance that a lesion pixel is above another one; half a chance if they tie."""

    card = MetricCard(
        name="auroc",
        summary="Chance that a pixel of a lesion is higher than one outside; flattering where lesions are small",
        paper="An introduction to ROC analysis (Fawcett, 2006)",
        family="localisation",
        higher_is_better=True,
        needs=frozenset({"mask"}),
        default=False,
    )

    def score(self, case: Case) -> Scores:
        """One value per image; undefined where the lesions fill it."""
        return each_with_lesion(lambda one, mask: _auroc(Levels.of(one, mask)), case)


class RelevanceRank:
    """Share of the lesions that lies in the equally large highest part of the map."""

    card = MetricCard(
        name="relevance-rank",
        summary="Share of the K highest pixels that are lesion, K being the number of lesion pixels; "
        "orders maps as iou-matched does, but for ties",
        paper="CLEVR-XAI: A Benchmark Dataset for the Ground Truth Evaluation of Neural Network Explanations "
        "(Arras et al., 2022)",
        family="localisation",
        higher_is_better=True,
        needs=frozenset({"mask"}),
        default=False,
    )

    def score(self, case: Case) -> Scores:
        """One value per image."""
        return each_with_lesion(_rank_accuracy, case)


class TopK:
    """Share of the highest pixels that are lesion. `share` of the image is looked at, at least one pixel."""

    card = MetricCard(
        name="top-k",
        summary="Share of the highest pixels that are lesion: of the highest 2 % of the image, unless told otherwise",
        paper="Interpretable Semantic Photo Geolocation (Theiner et al., 2022)",
        family="localisation",
        higher_is_better=True,
        needs=frozenset({"mask"}),
        default=False,
    )

    def __init__(self, share: float = 0.02) -> None:
        if not 0 < share <= 1:
            raise UsageError(f"top-k: share is {share}; give a share of the image's pixels, above 0, up to 1.")
        self.share = share

    def score(self, case: Case) -> Scores:
        """One value per image."""
        count = max(1, round(self.share * case.maps[0].size))
        return each_with_lesion(lambda one, mask: Levels.of(one, mask).hits_among(count) / count, case)


def _running(values: Scores) -> Scores:
    """Sums of the first none, one, two, ... values."""
    return np.concatenate([[0.0], np.cumsum(values)])


def _rank_accuracy(heatmap: Floats, mask: Mask) -> float:
    area = int(np.count_nonzero(mask))
    return Levels.of(heatmap, mask).hits_among(area) / area


def _auroc(levels: Levels) -> float:
    misses = levels.sizes - levels.hits
    if misses.sum() == 0:
        return np.nan
    below = misses.sum() - np.cumsum(misses)
    return float(np.sum(levels.hits * (below + misses / 2)) / (levels.hits.sum() * misses.sum()))


def _average_precision(levels: Levels) -> float:
    """Mean of the precision at each lesion pixel, expected over every order of tied pixels.

    The pixel at place j of a level that has n pixels, p of them lesion, is lesion with chance p / n. If it is, then
    each of the j - 1 before it in the level is lesion with chance r = (p - 1) / (n - 1). With N pixels and P lesion
    pixels above the level, the expected precision there is (P + 1 + (j - 1) r) / (N + j); its sum over all j is
    n r + (P + 1 - (N + 1) r) (1 / (N + 1) + ... + 1 / (N + n)).
    """
    sizes, hits = levels.sizes, levels.hits
    pixels = np.cumsum(sizes) - sizes
    found = np.cumsum(hits) - hits
    chance = (hits - 1) / np.maximum(sizes - 1, 1)
    harmonic = _running(1 / np.arange(1, sizes.sum() + 1))
    reciprocals = harmonic[(pixels + sizes).astype(int)] - harmonic[pixels.astype(int)]
    precisions = sizes * chance + (found + 1 - (pixels + 1) * chance) * reciprocals
    return min(1.0, float(np.sum(hits / sizes * precisions) / hits.sum()))  # rounding may add a little
