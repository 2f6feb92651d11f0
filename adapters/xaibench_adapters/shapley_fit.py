"""Shapley values from the network's answers to opposite pairs of coalitions.

Only half the difference within a pair, the odd part of the game, matters to Shapley values. It is fitted either by a
linear model, weighted with Shapley's kernel (Kernel SHAP), or by a smooth odd function of the coalition, whose Shapley
values are known in closed form. The latter also learns interactions of three and of five segments, as far as the
samples bear them out; which is measured by leaving each pair out in turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.polynomial.legendre import leggauss

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xaibench_adapters.coalitions import Switches

    Doubles: TypeAlias = NDArray[np.float64]

BENDS = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0)  # how much of the smooth function is not linear
NOISES = (1e-7, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # relative to the function's own variance
MOST = 4000  # pairs of a smooth fit: what it needs grows with their square, 128 MB a matrix at so many
TRIED = 128  # pairs on which bend and noise are chosen: more cost time and hardly change the choice


def linear_values(rows: Switches, odd: Doubles, weights: Doubles, total: float) -> Doubles:
    """Coefficients of the weighted linear fit that add up to `total`; exact if the pairs are complete."""
    signs = np.where(rows, 0.5, -0.5)
    segments = rows.shape[1]
    centre = total / segments
    # Off the plane of equal sums: what is left to fit has coefficients that add up to 0.
    design = signs - signs.mean(axis=1, keepdims=True)
    roots = np.sqrt(weights / weights.max())[:, None]
    found: Doubles = np.linalg.lstsq(design * roots, (odd - signs.sum(axis=1) * centre) * roots[:, 0], rcond=None)[0]
    return np.asarray(found - found.mean() + centre)


def smooth_values(rows: Switches, odd: Doubles, total: float) -> Doubles:
    """Shapley values of the smooth fit; they add up to `total`."""
    signs = np.where(rows, 1.0, -1.0)
    bend, noise = _chosen(signs, odd, total)
    fit = _Fit(signs, odd, total, bend)
    covered = fit.covariance + noise * _curve(np.ones(1), bend) * np.eye(len(signs))
    factors = np.linalg.solve(covered, fit.residuals)
    whole = np.ones((1, signs.shape[1]))
    # What the pair of the whole and the empty image explains is known exactly, and is taken out of all the others.
    weight = total / 2 / _curve(np.ones(1), bend) - factors @ fit.explained
    values: Doubles = factors @ _values_of_curve(signs, bend) + weight * _values_of_curve(whole, bend)[0]
    return values


def _chosen(signs: Doubles, odd: Doubles, total: float) -> tuple[float, float]:
    """Bend and noise with the smallest error on pairs left out."""
    step = max(1, len(signs) // TRIED)
    errors = {}
    for bend in BENDS:
        fit = _Fit(signs[::step], odd[::step], total, bend)
        lengths, directions = np.linalg.eigh(fit.covariance)
        for noise in NOISES:
            shrunk = 1 / (np.maximum(lengths, 0) + noise * float(_curve(np.ones(1), bend)[0]))
            factors = directions @ (shrunk * (directions.T @ fit.residuals))
            errors[bend, noise] = float(np.mean((factors / (directions**2 @ shrunk)) ** 2))
    return min(errors, key=errors.__getitem__)


@dataclass(eq=False)
class _Fit:
    """The odd part as a smooth random function that is known at the whole image."""

    signs: Doubles
    odd: Doubles
    total: float
    bend: float

    def __post_init__(self) -> None:
        segments = self.signs.shape[1]
        to_whole = _curve(self.signs.sum(axis=1) / segments, self.bend)
        self.explained = to_whole / _curve(np.ones(1), self.bend)
        self.residuals = self.odd - self.explained * self.total / 2
        among = _curve(self.signs @ self.signs.T / segments, self.bend)
        self.covariance = among - np.outer(to_whole, self.explained)


def _curve(agreement: Doubles, bend: float) -> Doubles:
    """Covariance of two coalitions that agree so much, from -1 (opposite) to 1 (the same)."""
    square = agreement * agreement
    return np.asarray(agreement * (1 + bend * square * (1 + bend * square)))


def _values_of_curve(signs: Doubles, bend: float) -> Doubles:
    """Shapley values [N, S] of the games "covariance with this row".

    A segment's value is its mean contribution to coalitions into which each other segment comes with probability u, u
    uniform in [0, 1]. The contribution to a power of the agreement D is a polynomial in D, and D is a sum of
    independent signs, so its second and fourth moments are all that is needed.
    """
    segments = signs.shape[1]
    balance = signs.sum(axis=1, keepdims=True) - signs  # of the other segments: those on less those off
    second, fourth = _moments(balance, segments - 1)
    cubic = (6 * second + 2) / segments**3
    quintic = (10 * fourth + 20 * second + 2) / segments**5
    return np.asarray(signs * (2 / segments + bend * cubic + bend**2 * quintic))


def _moments(balance: Doubles, others: int) -> tuple[Doubles, Doubles]:
    """Mean of D^2 and of D^4 over u; five points are exact for polynomials of this degree."""
    second, fourth = np.zeros_like(balance), np.zeros_like(balance)
    for tilt, weight in zip(*leggauss(5), strict=True):  # tilt = 2u - 1 is the mean of one sign
        spread = 1 - tilt**2
        mean, variance = balance * tilt, others * spread
        skew, tail = -2 * mean * spread, -2 * others * spread * (1 - 3 * tilt**2)
        second += weight / 2 * (mean**2 + variance)
        fourth += weight / 2 * (mean**4 + 6 * mean**2 * variance + 4 * mean * skew + 3 * variance**2 + tail)
    return second, fourth
