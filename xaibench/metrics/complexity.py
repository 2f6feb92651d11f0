"""How simple a map is. Simple maps are easy to read; whether they are right is another question."""

from __future__ import annotations

import bz2
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from xaibench.contracts import MetricCard
from xaibench.errors import UsageError
from xaibench.metrics.images import each_map

if TYPE_CHECKING:
    from xaibench.contracts import Case, Floats, Scores


class Sparseness:
    """Gini index of the map: 0 if all pixels are alike, near 1 if few pixels hold all."""

    card = MetricCard(
        name="sparseness",
        summary="Gini index of the map: 0 if all pixels are alike, near 1 if a few hold everything",
        paper="Concise Explanations of Neural Networks using Adversarial Training (Chalasani et al., 2020)",
        family="complexity",
        higher_is_better=True,
        claims_quality=False,
    )

    def score(self, case: Case) -> Scores:
        """One value per image."""
        return each_map(_gini, case.maps)


class Entropy:
    """Entropy of the map taken as a distribution over pixels.

    `unit="share"` gives the share of the image over which an even map would have this entropy, so that images of any
    size compare; `unit="nats"` gives the entropy itself, which grows with the number of pixels.
    """

    card = MetricCard(
        name="entropy",
        summary="Entropy of the map as a distribution over pixels, as the share of the image it seems to spread over",
        paper="Evaluating and Aggregating Feature-based Model Explanations (Bhatt et al., 2020)",
        family="complexity",
        higher_is_better=False,
        worst=1.0,
        claims_quality=False,
        default=False,
    )

    def __init__(self, unit: Literal["share", "nats"] = "share") -> None:
        if unit not in ("share", "nats"):
            raise UsageError(f"entropy: unit is {unit!r}; there are share and nats.")
        self.unit = unit
        if unit == "nats":
            self.card = replace(Entropy.card, unit="nats", highest=None, worst=None)

    def score(self, case: Case) -> Scores:
        """One value per image."""
        nats = each_map(_entropy, case.maps)
        return nats if self.unit == "nats" else np.exp(nats) / case.maps[0].size


class EffectiveComplexity:
    """Share of the pixels that are more than `epsilon` of the highest one."""

    card = MetricCard(
        name="effective-complexity",
        summary="Share of the pixels that are more than a hundredth of the highest one",
        paper="On Quantitative Aspects of Model Interpretability (Nguyen & Martinez, 2020)",
        family="complexity",
        higher_is_better=False,
        worst=1.0,
        claims_quality=False,
        default=False,
    )

    def __init__(self, epsilon: float = 0.01) -> None:
        if not 0 <= epsilon < 1:
            raise UsageError(f"effective-complexity: epsilon is {epsilon}; give a value from 0 to below 1.")
        self.epsilon = epsilon

    def score(self, case: Case) -> Scores:
        """One value per image."""
        return each_map(lambda one: float(np.mean(one > self.epsilon)), case.maps)


class TotalVariation:
    """Differences between neighbouring pixels, added, in units of the image's side.

    The map of a shape, 1 inside and 0 outside, has the length of its outline: 2 for one that covers a quarter of the
    image as a square. Noise has much more, and the more the finer it is.
    """

    card = MetricCard(
        name="total-variation",
        summary="Sum of the differences between neighbouring pixels, in units of the image's side: how uneven it is",
        paper="Nonlinear total variation based noise removal algorithms (Rudin et al., 1992)",
        family="complexity",
        higher_is_better=False,
        highest=None,
        worst=None,
        unit="sides",
        claims_quality=False,
    )

    def score(self, case: Case) -> Scores:
        """One value per image."""
        return each_map(_variation, case.maps)


class FileSize:
    """Bits per pixel of the map as an 8-bit image, compressed by bzip2.

    A picture is as simple however it lies, so the best of the eight ways to turn and flip it counts.
    """

    card = MetricCard(
        name="file-size",
        summary="Bits per pixel of the map as an 8-bit image after compression by bzip2; depends on the resolution",
        family="complexity",
        higher_is_better=False,
        highest=None,
        worst=None,
        unit="bits",
        claims_quality=False,
        default=False,
    )

    def score(self, case: Case) -> Scores:
        """One value per image."""
        return each_map(_bits, case.maps)


def _gini(heatmap: Floats) -> float:
    values = np.sort(heatmap, axis=None).astype(np.float64)
    if values[-1] == 0:
        return np.nan
    ranks = np.arange(1, values.size + 1)
    return float(np.sum((2 * ranks - values.size - 1) * values) / (values.size * values.sum()))


def _entropy(heatmap: Floats) -> float:
    values = heatmap[heatmap > 0].astype(np.float64)
    if not values.size:
        return np.nan
    shares = values / values.sum()
    return float(-np.sum(shares * np.log(shares)))


def _variation(heatmap: Floats) -> float:
    exact = heatmap.astype(np.float64)
    total = sum(np.abs(np.diff(exact, axis=axis)).sum() for axis in (0, 1))
    return float(total / np.sqrt(heatmap.size))


def _bits(heatmap: Floats) -> float:
    picture = np.round(heatmap * 255).astype(np.uint8)
    views = (np.rot90(side, turns) for side in (picture, picture.T) for turns in range(4))
    return min(8 * len(bz2.compress(view.tobytes())) for view in views) / heatmap.size
