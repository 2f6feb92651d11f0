"""Does the order of explainers depend on what hidden pixels are replaced with? Kendall's tau between infills.

A measure of faithfulness that ranks explainers one way with black pixels and another way with blurred ones says more
about the infill than about the explainers.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from xaibench.errors import UsageError
from xaibench.references import Reference, parse
from xaibench_leaderboard.statistics import per_patient, replicated, resamples

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from xaibench.contracts import Result, Results
    from xaibench_leaderboard.statistics import Doubles

BOARD = ("task", "fold", "model", "target", "precision")
FEWEST = 3  # explainers: of two there is one pair, and it agrees or not
ENDS = (0.025, 0.975)


@dataclass(frozen=True)
class Agreement:
    """Two infills of one metric on one board: 1 if they order all explainers alike, -1 if the other way round."""

    labels: Mapping[str, str]
    one: str
    other: str
    tau: float | None  # tau-b; None: too few explainers, or all tie
    low: float | None  # 95 % of the draws of patients lie between these
    high: float | None
    explainers: tuple[str, ...]
    patients: int


def agreements_of(results: Results) -> tuple[Agreement, ...]:
    """Every pair of infills under which a metric was asked for, board by board."""
    groups: dict[tuple[object, ...], dict[str, dict[str, Result]]] = defaultdict(lambda: defaultdict(dict))
    for one in results.scores:
        if one.status == "ok" and one.ids and not one.cards.get("explainer", {}).get("reference"):
            label = one.labels.get("metric", "")
            place = (*(one.labels.get(name, "") for name in BOARD), _without_infill(label))
            groups[place][label][one.labels.get("explainer", "")] = one
    return tuple(found for columns in groups.values() for found in _pairs(columns))


def _without_infill(label: str) -> str:
    """What the columns of one metric have in common."""
    try:
        reference = parse(label)
    except UsageError:  # from results of others
        return label
    return str(Reference(reference.target, {k: v for k, v in reference.params.items() if k != "infill"}))


def _pairs(columns: Mapping[str, Mapping[str, Result]]) -> Iterator[Agreement]:
    for one, other in combinations(columns, 2):
        shared = [name for name in columns[one] if name in columns[other]]
        rows = [(columns[one][name], columns[other][name]) for name in shared]
        if rows:
            same = [pair for pair in rows if pair[0].ids == pair[1].ids == rows[0][0].ids]
            yield _agreement(one, other, same)


def _agreement(one: str, other: str, rows: Sequence[tuple[Result, Result]]) -> Agreement:
    first = rows[0][0]
    names, index = np.unique(np.array(first.patients, dtype=str), return_inverse=True)
    draws = resamples(tuple(names.tolist())) if len(names) > 1 else np.empty((0, len(names)))
    sides = [_means([pair[side] for pair in rows], index, draws) for side in (0, 1)]
    taus = tau_b(*sides) if len(rows) >= FEWEST else np.array([np.nan])
    drawn = taus[1:][~np.isnan(taus[1:])]
    low, high = np.quantile(drawn, ENDS) if len(drawn) else (np.nan, np.nan)
    tau, low, high = (None if np.isnan(value) else float(value) for value in (taus[0], low, high))
    explainers = tuple(pair[0].labels.get("explainer", "") for pair in rows)
    return Agreement(
        {name: first.labels.get(name, "") for name in BOARD}, one, other, tau, low, high, explainers, len(names)
    )


def _means(results: Sequence[Result], index: np.ndarray[tuple[int], np.dtype[np.intp]], draws: Doubles) -> Doubles:
    """Mean of every explainer [1 + replicates, explainers]: of all images, then under each draw of patients."""
    values = np.array([one.values for one in results], dtype=np.float64)
    defined = ~np.isnan(values)
    sums, sizes = per_patient(np.where(defined, values, 0), index), per_patient(defined.astype(np.float64), index)
    with np.errstate(invalid="ignore"):  # an explainer without a value ties with all
        total = sums.sum(axis=1, keepdims=True) / sizes.sum(axis=1, keepdims=True)
        return np.asarray(np.concatenate([total, replicated(sums, sizes, draws)], axis=1).T)


def tau_b(one: Doubles, other: Doubles) -> Doubles:
    """Kendall's tau-b of every row of two tables [rows, explainers]; NaN where one side ties throughout."""
    left, right = np.triu_indices(one.shape[1], 1)
    first, second = (np.sign(side[:, left] - side[:, right]) for side in (one, other))
    with np.errstate(invalid="ignore"):
        scale = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
        return np.asarray((first * second).sum(axis=1) / scale)
