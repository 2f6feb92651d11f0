"""Tests between explainers, from scores per block: a block is a patient or a board, and compares them with each other.

Scores are such that smaller is better, as ranks are. See Demšar, "Statistical comparisons of classifiers over multiple
data sets" (2006), for the tests and for when to use which.
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.stats import friedmanchisquare, rankdata, studentized_range, wilcoxon

from xaibench_leaderboard.ranking import Agreement, CriticalDifference, Pairwise, Pareto, ParetoPoint
from xaibench_leaderboard.statistics import LEVEL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xaibench_leaderboard.statistics import Doubles

ALPHA = round(1 - LEVEL, 12)
WIDEST = 20.0  # studentized ranges beyond this have a p of zero
DIGITS = 9  # of a difference of mean ranks: beyond these, equals differ by rounding
FLIPPED = 12  # blocks up to which Wilcoxon's test tries all signs, for with ties it has no tabulated distribution
EXACT = 50  # and up to which the tabulated one is taken, if nothing is tied


def critical_difference(explainers: Sequence[str], scores: Doubles, unit: str) -> CriticalDifference | None:
    """Friedman and Nemenyi on scores [blocks, explainers]; None for fewer than three explainers or two blocks.

    None also if every block holds all explainers for equal: there is nothing to test then.
    """
    blocks, count = scores.shape
    ranks = ranked(scores)
    if count < 3 or blocks < 2 or not (ranks != ranks[:, :1]).any():
        return None
    order = sorted(range(count), key=lambda at: (ranks[:, at].mean(), explainers[at]))
    means = ranks.mean(axis=0)[order]
    statistic, p = friedmanchisquare(*scores.T)
    distance = critical_distance(count, blocks)
    return CriticalDifference(
        explainers=tuple(explainers[at] for at in order),
        mean_ranks=tuple(means.tolist()),
        blocks=blocks,
        unit=unit,
        level=ALPHA,
        statistic=float(statistic),
        p=float(p),
        distance=distance,
        pairs=_rows(nemenyi(means, blocks)),
        bars=bars(means, distance),
    )


def critical_distance(count: int, blocks: int, alpha: float = ALPHA) -> float:
    """How far apart the mean ranks of `count` explainers over so many blocks must be to differ."""
    return float(studentized_range.ppf(1 - alpha, count, math.inf) / math.sqrt(2)) * _error(count, blocks)


def nemenyi(mean_ranks: Sequence[float] | Doubles, blocks: int) -> Doubles:
    """Nemenyi's p of every pair."""
    means = np.asarray(mean_ranks, dtype=np.float64)
    apart = np.abs(means[:, None] - means) / _error(len(means), blocks) * math.sqrt(2)
    p: Doubles = np.clip(_tail(len(means))(np.minimum(apart, WIDEST)), 0.0, 1.0)
    return p


@lru_cache(maxsize=64)
def _tail(count: int) -> Callable[[Doubles], Doubles]:
    """The tail of the studentized range by a spline, true to eight digits: an integral per pair takes too long."""
    places = np.linspace(0, WIDEST, 401)
    tail: Callable[[Doubles], Doubles] = CubicSpline(places, studentized_range.sf(places, count, math.inf))
    return tail


def _error(count: int, blocks: int) -> float:
    return math.sqrt(count * (count + 1) / (6 * blocks))


def bars(means: Sequence[float] | Doubles, distance: float) -> tuple[tuple[int, int], ...]:
    """The longest runs of sorted mean ranks whose ends are no further apart than the distance."""
    found: list[tuple[int, int]] = []
    for first, mean in enumerate(means):
        last = max(at for at in range(len(means)) if means[at] - mean <= distance)
        if last > first and not (found and found[-1][1] == last):
            found.append((first, last))
    return tuple(found)


def pairwise(explainers: Sequence[str], scores: Doubles, unit: str) -> Pairwise | None:
    """Wilcoxon and Holm on scores [blocks, explainers]; None for one explainer or fewer than two blocks."""
    blocks, count = scores.shape
    if count < 2 or blocks < 2:
        return None
    differences = [np.round(scores[:, [at]] - scores[:, at + 1 :], DIGITS) for at in range(count - 1)]
    # All pairs are tested one way, so that their p compare.
    test = (
        _flipped if blocks <= FLIPPED else partial(_wilcoxon, exact=blocks <= EXACT and all(map(_untied, differences)))
    )
    raw = np.concatenate([test(one) for one in differences])
    p, better = np.ones((count, count)), np.zeros((count, count))
    rows, columns = np.triu_indices(count, 1)
    p[rows, columns] = p[columns, rows] = holm(raw)
    for at in range(count):
        better[at] = (scores[:, [at]] < scores).mean(axis=0)
    return Pairwise(tuple(explainers), blocks, unit, _rows(p), _rows(better))


def _wilcoxon(differences: Doubles, exact: bool) -> Doubles:
    """What the signed-rank test says of every column; 1 where all differences are zero."""
    p = np.ones(differences.shape[1])
    told = (differences != 0).any(axis=0)
    if told.any():
        p[told] = wilcoxon(differences[:, told], axis=0, method="exact" if exact else "asymptotic").pvalue
    return p


def _flipped(differences: Doubles) -> Doubles:
    """The signed-rank test of every column by all ways to flip the signs: exact, whatever is tied or zero."""
    ranks = rankdata(np.abs(differences), axis=0) - (differences == 0).sum(axis=0)
    ranks = np.where(differences == 0, 0.0, ranks)
    flips = np.array(list(itertools.product((0.0, 1.0), repeat=len(differences))))
    centre = ranks.sum(axis=0) / 2
    apart = np.abs((ranks * (differences > 0)).sum(axis=0) - centre)
    p: Doubles = (np.abs(flips @ ranks - centre) >= apart - 1e-9).mean(axis=0)
    return p


def _untied(differences: Doubles) -> bool:
    """Whether no column has a zero, or two values of one size."""
    sizes = np.sort(np.abs(differences), axis=0)
    return bool((sizes[0] > 0).all() and (np.diff(sizes, axis=0) > 0).all())


def holm(p: Doubles) -> Doubles:
    """Adjust p-values for being many (Holm 1979)."""
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return adjusted


def agreement(metrics: Sequence[str], means: Doubles) -> Agreement | None:
    """Kendall's tau-b between metrics, from means [metrics, explainers] of which more is better."""
    count = means.shape[1]
    if len(metrics) < 2 or count < 2:
        return None
    rows, columns = np.triu_indices(count, 1)
    signs = np.sign(means[:, rows] - means[:, columns])
    told = (signs != 0).sum(axis=1).astype(np.float64)
    scale = np.sqrt(np.outer(told, told))
    tau = np.divide(signs @ signs.T, scale, out=np.full_like(scale, np.nan), where=scale > 0)
    return Agreement(tuple(metrics), optional(tau), count)


def agreement_of_boards(found: Sequence[Agreement]) -> Agreement | None:
    """Mean tau over the boards that have both metrics."""
    metrics = tuple(dict.fromkeys(name for one in found for name in one.metrics))
    if not metrics:
        return None
    taus: dict[tuple[str, str], list[float]] = {}
    for one in found:
        for (row, first), (column, second) in itertools.product(enumerate(one.metrics), repeat=2):
            if (tau := one.tau[row][column]) is not None:
                taus.setdefault((first, second), []).append(tau)
    table = np.array([[_mean(taus.get((first, second))) for second in metrics] for first in metrics])
    return Agreement(metrics, optional(table), min(one.explainers for one in found))


def _mean(values: list[float] | None) -> float:
    return sum(values) / len(values) if values else math.nan


def pareto(
    metric: str, unit: str, explainers: Sequence[str], quality: Sequence[float], cost: Sequence[float]
) -> Pareto:
    """Who is beaten by nobody in both quality (a mean rank) and cost."""
    points = list(zip(quality, cost, strict=True))
    return Pareto(
        metric,
        unit,
        tuple(
            ParetoPoint(name, *point, front=not any(_beats(other, point) for other in points))
            for name, point in zip(explainers, points, strict=True)
        ),
    )


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Nowhere worse, and somewhere better."""
    return one != other and one[0] <= other[0] and one[1] <= other[1]


def ranked(values: Doubles) -> Doubles:
    """Ranks along the last axis, 1 the smallest; equals share the mean of their ranks."""
    order = values.argsort(axis=-1)
    ordered = np.take_along_axis(values, order, axis=-1)
    if (ordered[..., 1:] == ordered[..., :-1]).any():
        ranks: Doubles = rankdata(values, axis=-1)
        return ranks
    # Without ties the rank is the place, which is found several times faster.
    plain = np.empty(values.shape)
    np.put_along_axis(plain, order, np.broadcast_to(np.arange(1.0, values.shape[-1] + 1), values.shape), axis=-1)
    return plain


def optional(table: Doubles) -> tuple[tuple[float | None, ...], ...]:
    """A table in which NaN is None."""
    return tuple(tuple(None if math.isnan(value) else value for value in row) for row in table.tolist())


def _rows(table: Doubles) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, table.tolist()))
