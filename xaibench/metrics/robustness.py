"""How much a map moves when noise that nobody sees is added to its image.

All of these are taken of normalised maps in [0, 1], so that an explainer's unit does not matter, and of the same
stored draws of noise. The class explained stays that of the clean image.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from xaibench.contracts import MetricCard
from xaibench.errors import UsageError
from xaibench.metrics.likeness import length, spearman_with_each
from xaibench.variants import image_of, noises, parse

if TYPE_CHECKING:
    from xaibench.contracts import Case, Floats, Scores
    from xaibench.variants import Variant

DRAWS, RADIUS = 10, 0.02
PROFILES = {"quick": {"draws": 4}, "paper": {"draws": 50}}


class _UnderNoise:
    """What the metrics under noise have in common: which draws they ask for."""

    card: MetricCard

    def __init__(self, draws: int = DRAWS, radius: float = RADIUS, noise: str = "uniform") -> None:
        self.card = under_noise(self.card, draws, radius, noise)


def under_noise(card: MetricCard, draws: int = DRAWS, radius: float = RADIUS, noise: str = "uniform") -> MetricCard:
    """The card of a metric over so many draws of noise."""
    if draws < 1 or not radius > 0 or noise not in ("uniform", "normal"):
        msg = (
            f"{card.name}: draws={draws}, radius={radius}, noise={noise}; give at least one draw, a radius above 0 "
            "(pixels run from 0 to 1), and uniform or normal noise."
        )
        raise UsageError(msg)
    return replace(card, variants=noises(noise, radius, draws))


def _card(name: str, summary: str, paper: str) -> MetricCard:
    return under_noise(
        MetricCard(
            name=name,
            summary=summary,
            paper=paper,
            family="robustness",
            higher_is_better=False,
            highest=None,
            worst=None,
            claims_quality=False,  # nothing is as robust as a constant
            default=False,  # many more maps
            profiles=PROFILES,
        )
    )


YEH = "On the (In)fidelity and Sensitivity of Explanations (Yeh et al., 2019)"


def changes(case: Case, card: MetricCard) -> Scores:
    """How far the map moves under each draw [draws, B], as a Euclidean norm."""
    return np.stack([length(case.variants[name] - case.maps) for name in card.variants])


class MaxSensitivity(_UnderNoise):
    """The largest change of the map, as a share of the map's own norm."""

    card = _card("max-sensitivity", "Largest change of the map under noise, relative to the map's norm", YEH)

    def score(self, case: Case) -> Scores:
        """One value per image."""
        return np.asarray(changes(case, self.card).max(axis=0) / length(case.maps))


class AvgSensitivity(_UnderNoise):
    """The mean change of the map, as a share of the map's own norm."""

    card = _card("avg-sensitivity", "Mean change of the map under noise, relative to the map's norm", YEH)

    def score(self, case: Case) -> Scores:
        """One value per image."""
        return np.asarray(changes(case, self.card).mean(axis=0) / length(case.maps))


class LocalLipschitz(_UnderNoise):
    """The largest change of the map per change of the image."""

    card = _card(
        "local-lipschitz",
        "Largest change of the map under noise, relative to the change of the image",
        "On the Robustness of Interpretability Methods (Alvarez-Melis and Jaakkola, 2018)",
    )

    def score(self, case: Case) -> Scores:
        """One value per image."""
        moved = self._moved(case)
        rates = changes(case, self.card) / np.where(moved > 0, moved, np.nan)
        return np.asarray(np.fmax.reduce(rates, axis=0))  # a draw that clipping took away whole is none

    def _moved(self, case: Case) -> Scores:
        """How far each draw moves the image [draws, B]: the same noise, drawn again."""
        variants = [parse(name) for name in self.card.variants]
        return np.stack([length(_noise(case, variant)) for variant in variants])


def _noise(case: Case, variant: Variant) -> Floats:
    noisy = [image_of(variant, image, seed) for image, seed in zip(case.images, case.seeds, strict=True)]
    return np.stack(noisy) - case.images


class NoiseAgreement(_UnderNoise):
    """Rank correlation of the map with the maps under noise."""

    card = replace(
        _card(
            "noise-agreement",
            "Mean rank correlation of the map with those under noise",
            "Interpretation of Neural Networks Is Fragile (Ghorbani et al., 2019)",
        ),
        higher_is_better=True,
        lowest=-1.0,
        highest=1.0,
        worst=-1.0,
    )

    def score(self, case: Case) -> Scores:
        """One value per image."""
        others = [case.variants[name] for name in self.card.variants]
        return np.asarray(spearman_with_each(case.maps, others).mean(axis=1), dtype=np.float64)
