"""Explainers against each other on the same images, and metrics against each other over the same explainers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xaibench_leaderboard.statistics import LEVEL, ROUNDING, Estimate, bca, mean_estimate, resamples
from xaibench_leaderboard.study.sources import per_image, picked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xaibench_leaderboard.statistics import Doubles
    from xaibench_leaderboard.study.sources import Done

FEWEST = 3  # explainers that a rank correlation needs
DECIMALS = 6  # of the largest mean: means equal to so many are tied, what is left is the rounding of single passes
NOT_MEASURED, UNTOLD = "not measured", "cannot be told"


def difference(done: Done, model: str, pair: tuple[str, str], metric: str) -> Estimate | None:
    """How much more the first explainer scores than the second on average."""
    found = gaps(done, model, pair, metric)
    return mean_estimate([gap for _, gap in found], [patient for (_, patient), _ in found]) if found else None


def together(done: Done, model: str, names: Sequence[str], floor: str, metric: str) -> dict[str, str]:
    """Of each explainer, whether it scores clearly more or less than a floor if all of them are looked at at once.

    Resampled is the largest of their studentised differences, each draw by its own error (single-step max-t): among as
    many that are nothing, in 95 of 100 samples not one is told apart. One by one, of 20 such differences one would be.
    """
    found = {name: gaps(done, model, (name, floor), metric) for name in names}
    patients = tuple(sorted({patient for table in found.values() for (_, patient), _ in table}))
    shown = [name for name, table in found.items() if len({patient for (_, patient), _ in table}) > 1]
    if not shown:
        return dict.fromkeys(names, NOT_MEASURED)
    sums, sizes = _sums([found[name] for name in shown], patients)
    (means,), (errors,) = _studied(sums, sizes, np.ones((1, len(patients))))
    drawn, errors_drawn = _studied(sums, sizes, _draws(patients))
    vary = errors > ROUNDING
    apart = np.abs(drawn - means)[:, vary]
    # A draw of few patients over and over has no error of its own: its difference is as large as can be.
    ratios = np.divide(
        apart,
        errors_drawn[:, vary],
        out=np.where(apart > ROUNDING, np.inf, 0.0),
        where=errors_drawn[:, vary] > ROUNDING,
    )
    # A difference that is the same for everybody has no error; coins give n equal signs in 1 of 2 ** (n - 1) tries.
    people = (sizes > 0).sum(axis=1)
    limit = np.where(2.0 ** (1 - people) * len(shown) <= 1 - LEVEL, 0.0, np.inf)
    limit[vary] = np.quantile(ratios.max(axis=1, initial=0.0), LEVEL, method="higher") * errors[vary]
    words = np.where(means > limit + ROUNDING, "more", np.where(means < -limit - ROUNDING, "less", UNTOLD))
    signs = dict(zip(shown, words.tolist(), strict=True))
    return {name: signs.get(name, NOT_MEASURED) for name in names}


def _studied(sums: Doubles, sizes: Doubles, counts: Doubles) -> tuple[Doubles, Doubles]:
    """Means and their standard errors over patients, under every row of counts [rows, explainers]."""
    means = np.nan_to_num(_means(sums, sizes, counts))
    squares = counts @ (sums**2).T - 2 * means * (counts @ (sums * sizes).T) + means**2 * (counts @ (sizes**2).T)
    people = counts @ (sizes > 0).T
    spread = np.sqrt(np.maximum(squares, 0) * people / np.maximum(people - 1, 1))
    total = counts @ sizes.T
    return means, np.divide(spread, total, out=np.zeros_like(spread), where=total > 0)


def gaps(done: Done, model: str, pair: tuple[str, str], metric: str) -> list[tuple[tuple[str, str], float]]:
    """How much more the first explainer scores than the second, of each image and patient."""
    first, second = (dict(values_of(done, model, name, metric)) for name in pair)
    return [(one, first[one] - second[one]) for one in first if one in second]


def values_of(done: Done, model: str, explainer: str, metric: str) -> list[tuple[tuple[str, str], float]]:
    """The values that are defined, by image and patient."""
    names, values, patients = per_image([one for one in picked(done, model, explainer, metric) if one.status == "ok"])
    rows = zip(names, patients, values, strict=True)
    return [((name, patient), value) for name, patient, value in rows if value is not None]


def agreement(done: Done, model: str, one: str, other: str, explainers: Sequence[str]) -> tuple[Estimate | None, int]:
    """Kendall's tau-b of two metrics over explainers, better meaning better in both, and how many were compared."""
    tables = [{name: values_of(done, model, name, metric) for name in explainers} for metric in (one, other)]
    both = [name for name in explainers if all(table[name] for table in tables)]
    shared = _shared([table[name] for table in tables for name in both])
    if len(both) < FEWEST or not shared:
        return None, len(both)
    tables = [{name: [row for row in table[name] if row[0] in shared] for name in both} for table in tables]
    patients = tuple(sorted({patient for _, patient in shared}))
    signs = [better(done, model, metric) for metric in (one, other)]
    sums = [_sums([table[name] for name in both], patients) for table in tables]

    scales = [np.abs(_means(*pair, np.ones((1, len(patients))))).max() or 1.0 for pair in sums]

    def drawn(counts: Doubles) -> Doubles:
        means = [sign * _means(*pair, counts) / scale for sign, pair, scale in zip(signs, sums, scales, strict=True)]
        first, second = (np.round(one, DECIMALS).astype(np.float64) for one in means)
        return _taus(first, second)

    value = drawn(np.ones((1, len(patients))))
    if np.isnan(value[0]):
        return None, len(both)
    ends = [
        np.nan_to_num(drawn(counts), nan=value[0])[None] for counts in (_draws(patients), 1 - np.eye(len(patients)))
    ]
    low, high = bca(value, ends[0], ends[1], np.ones((1, len(patients)), dtype=bool))
    return Estimate(float(value[0]), float(low[0]), float(high[0]), len(shared), len(patients)), len(both)


def _shared(columns: Sequence[Sequence[tuple[tuple[str, str], float]]]) -> set[tuple[str, str]]:
    """Images that have a value in every column: faithfulness is measured on normal films too, overlap is not."""
    return set.intersection(*({key for key, _ in column} for column in columns)) if columns else set()


def _draws(patients: tuple[str, ...]) -> Doubles:
    return resamples(patients)


def better(done: Done, model: str, metric: str) -> float:
    """1 where more is better, -1 where less is."""
    cards = [one.cards["metric"] for one in done.scores(model) if one.cards.get("metric", {}).get("name") == metric]
    return 1.0 if cards and cards[0].get("higher_is_better", True) else -1.0


def _sums(
    tables: Sequence[Sequence[tuple[tuple[str, str], float]]], patients: tuple[str, ...]
) -> tuple[Doubles, Doubles]:
    """Sums and counts [explainers, patients]."""
    places = {name: at for at, name in enumerate(patients)}
    sums, counts = np.zeros((len(tables), len(patients))), np.zeros((len(tables), len(patients)))
    for row, values in enumerate(tables):
        for (_, patient), value in values:
            sums[row, places[patient]] += value
            counts[row, places[patient]] += 1
    return sums, counts


def _means(sums: Doubles, sizes: Doubles, counts: Doubles) -> Doubles:
    """The mean of every explainer under every row of counts [rows, explainers]."""
    total = counts @ sizes.T
    means: Doubles = np.divide(counts @ sums.T, total, out=np.full(total.shape, np.nan), where=total > 0)
    return means


def _taus(first: Doubles, second: Doubles) -> Doubles:
    """Kendall's tau-b of each row."""
    rows, columns = np.triu_indices(first.shape[1], 1)
    signs = [np.sign(one[:, rows] - one[:, columns]) for one in (first, second)]
    scale = np.sqrt((signs[0] != 0).sum(axis=1) * (signs[1] != 0).sum(axis=1)).astype(np.float64)
    product = (signs[0] * signs[1]).sum(axis=1)
    taus: Doubles = np.divide(product, scale, out=np.full(len(scale), np.nan), where=scale > 0)
    return taus
