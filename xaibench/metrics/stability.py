"""Does an explainer say the same again: of the same image with other seeds, or of the same model trained again?

The map and its variants are compared in all pairs: none of them is the true one.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from xaibench.contracts import MetricCard
from xaibench.errors import UsageError
from xaibench.metrics.likeness import iou, mean_over_pairs, mean_rank_correlation, spearman, ssim

if TYPE_CHECKING:
    from xaibench.contracts import Case, Floats, Scores

SEEDS = 4
QUICK = {"quick": {"seeds": 2}}


def seeds_card(card: MetricCard, seeds: int) -> MetricCard:
    """The card of a metric over so many seeds besides the map's own."""
    if seeds < 1:
        msg = f"{card.name}: seeds is {seeds}; to compare, at least one more than the map's own is needed."
        raise UsageError(msg)
    return replace(card, variants=tuple(f"seed:{number}" for number in range(1, seeds + 1)))


def runs(case: Case, card: MetricCard) -> list[Floats]:
    """All maps of the same images, the plain ones first."""
    return [case.maps, *(case.variants[name] for name in card.variants)]


class Stability:
    """Rank correlation of the maps of one image that differ in the explainer's seed alone."""

    card = seeds_card(
        MetricCard(
            name="stability",
            summary="Mean rank correlation of an image's maps made with different seeds (all pairs)",
            paper="On the Robustness of Interpretability Methods (Alvarez-Melis and Jaakkola, 2018), for the question; "
            "the rank correlation of repeated runs as in Assessing the (Un)Trustworthiness of Saliency Maps for "
            "Localizing Abnormalities in Medical Imaging (Arun et al., 2021)",
            family="stability",
            higher_is_better=True,
            lowest=-1.0,
            worst=-1.0,
            claims_quality=False,  # nothing is as stable as a constant
            profiles=QUICK,
        ),
        SEEDS,
    )

    def __init__(self, seeds: int = SEEDS) -> None:
        self.card = seeds_card(self.card, seeds)

    def score(self, case: Case) -> Scores:
        """One value per image."""
        return mean_rank_correlation(runs(case, self.card))


class StabilitySSIM:
    """The same by structural similarity."""

    card = seeds_card(
        MetricCard(
            name="stability-ssim",
            summary="Mean structural similarity of an image's maps made with different seeds (all pairs)",
            paper="Image Quality Assessment: From Error Visibility to Structural Similarity (Wang et al., 2004)",
            family="stability",
            higher_is_better=True,
            lowest=-1.0,
            worst=-1.0,
            claims_quality=False,
            default=False,  # another view of `stability`
            profiles=QUICK,
        ),
        SEEDS,
    )

    def __init__(self, seeds: int = SEEDS) -> None:
        self.card = seeds_card(self.card, seeds)

    def score(self, case: Case) -> Scores:
        """One value per image."""
        return mean_over_pairs(runs(case, self.card), ssim)


class StabilityIoU:
    """The same by the overlap of what is highlighted."""

    card = seeds_card(
        MetricCard(
            name="stability-iou",
            summary="Mean overlap (IoU) of the highlighted parts of maps made with different seeds (all pairs)",
            family="stability",
            higher_is_better=True,
            claims_quality=False,
            default=False,  # another view of `stability`
            profiles=QUICK,
        ),
        SEEDS,
    )

    def __init__(self, seeds: int = SEEDS, threshold: float = 0.5) -> None:
        self.card = seeds_card(self.card, seeds)
        self.threshold = checked_threshold(self.card.name, threshold)

    def score(self, case: Case) -> Scores:
        """One value per image."""
        return mean_over_pairs(runs(case, self.card), lambda one, other: iou(one, other, self.threshold))


class StabilitySd:
    """How much a pixel varies from seed to seed."""

    card = seeds_card(
        MetricCard(
            name="stability-sd",
            summary="Standard deviation of a pixel of the map over different seeds, mean of all pixels",
            family="stability",
            higher_is_better=False,
            highest=math.sqrt(0.5),  # two maps, 0 and 1
            worst=math.sqrt(0.5),
            claims_quality=False,
            default=False,  # another view of `stability`
            profiles=QUICK,
        ),
        SEEDS,
    )

    def __init__(self, seeds: int = SEEDS) -> None:
        self.card = seeds_card(self.card, seeds)

    def score(self, case: Case) -> Scores:
        """One value per image."""
        maps = np.stack(runs(case, self.card)).astype(np.float64)
        return np.asarray(maps.std(axis=0, ddof=1).mean(axis=(1, 2)))


def retrained_card(card: MetricCard, retrainings: int) -> MetricCard:
    """The card of a metric over so many trainings besides the model's own."""
    if retrainings < 1:
        msg = f"{card.name}: retrainings is {retrainings}; to compare, at least one more training is needed."
        raise UsageError(msg)
    return replace(card, variants=tuple(f"retrained:{number}" for number in range(1, retrainings + 1)))


class Reproducibility:
    """Rank correlation of the maps of one image for models that differ in the seed of their training alone."""

    card = retrained_card(
        MetricCard(
            name="reproducibility",
            summary="Mean rank correlation of an image's maps for models trained with different seeds (all pairs)",
            paper="Assessing the (Un)Trustworthiness of Saliency Maps for Localizing Abnormalities in Medical Imaging "
            "(Arun et al., 2021)",
            family="stability",
            higher_is_better=True,
            lowest=-1.0,
            worst=-1.0,
            claims_quality=False,
            default=False,  # it trains
        ),
        1,
    )

    def __init__(self, retrainings: int = 1) -> None:
        self.card = retrained_card(self.card, retrainings)

    def score(self, case: Case) -> Scores:
        """One value per image."""
        return mean_over_pairs(runs(case, self.card), spearman)


class ReproducibilityIoU:
    """The same by the overlap of what is highlighted."""

    card = retrained_card(
        MetricCard(
            name="reproducibility-iou",
            summary="Mean overlap (IoU) of the highlighted parts of maps for models trained with different seeds",
            family="stability",
            higher_is_better=True,
            claims_quality=False,
            default=False,  # it trains
        ),
        1,
    )

    def __init__(self, retrainings: int = 1, threshold: float = 0.5) -> None:
        self.card = retrained_card(self.card, retrainings)
        self.threshold = checked_threshold(self.card.name, threshold)

    def score(self, case: Case) -> Scores:
        """One value per image."""
        return mean_over_pairs(runs(case, self.card), lambda one, other: iou(one, other, self.threshold))


def checked_threshold(name: str, threshold: float) -> float:
    """A part of the way from the lowest to the highest pixel."""
    if not 0 < threshold <= 1:
        msg = f"{name}: threshold is {threshold}; maps run from 0 to 1, so give a value above 0, up to 1."
        raise UsageError(msg)
    return threshold
