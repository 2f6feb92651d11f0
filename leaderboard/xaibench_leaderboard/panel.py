"""What can be compared: the explainers and metrics of one model on one task whose scores stand on the same images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xaibench_leaderboard import wording
from xaibench_leaderboard.board import columns_of
from xaibench_leaderboard.origins import origins_of
from xaibench_leaderboard.ranking import Unranked
from xaibench_leaderboard.statistics import per_patient

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from xaibench.contracts import Result, Results
    from xaibench_leaderboard.board import Column
    from xaibench_leaderboard.statistics import Doubles

PANEL = ("task", "model", "target", "precision")
DEFINED = 0.5  # an explainer with values for a smaller share of the images than this is incomplete


@dataclass(frozen=True, eq=False)
class Measure:
    """One metric on the images for which every explainer has a value; smaller is better."""

    column: Column
    sums: Doubles  # [explainers, patients] over the patient's images
    sizes: Doubles  # [patients] how many images these are

    @property
    def family(self) -> str:
        """The family of the metric."""
        return str(self.column.card.get("family", ""))

    @property
    def means(self) -> Doubles:
        """One number per explainer, as the metric gave it."""
        means: Doubles = self.sums.sum(axis=1) / self.sizes.sum() * (-1 if self.column.higher_is_better else 1)
        return means


@dataclass(frozen=True, eq=False)
class Panel:
    """Complete rows only, by name. Folds of one task and model are together: each patient is tested in one of them."""

    labels: Mapping[str, str]
    explainers: tuple[str, ...]
    measures: tuple[Measure, ...]
    patients: tuple[str, ...]
    unranked: tuple[Unranked, ...]
    notes: tuple[str, ...]
    limited: bool

    def only(self, explainers: Sequence[str]) -> Panel:
        """The same for some of the explainers."""
        rows = [self.explainers.index(name) for name in explainers]
        measures = tuple(Measure(one.column, one.sums[rows], one.sizes) for one in self.measures)
        return Panel(self.labels, tuple(explainers), measures, self.patients, self.unranked, self.notes, self.limited)


@dataclass
class _Table:
    """The cells of one panel while it is made."""

    cells: dict[tuple[str, str], list[Result]]  # explainer, metric -> one result per fold
    columns: tuple[Column, ...]
    folds: dict[str, int]  # fold -> images that its fullest cell has seen
    versions: dict[tuple[str, str], Any]  # (task or model, "") or (metric, its label) -> the newest
    stale: set[str]  # keys of cells that rest on other weights or data than the newest run


def panels_of(results: Results) -> tuple[Panel, ...]:
    """One panel per task, model, target and precision, in the order in which they were run."""
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in results.scores:
        groups.setdefault(tuple(result.labels.get(name, "") for name in PANEL), []).append(result)
    stale = origins_of(results).stale(results)
    return tuple(
        _panel(dict(zip(PANEL, names, strict=True)), group, results.audit.get(names[0], {}), stale)
        for names, group in groups.items()
    )


def _panel(labels: Mapping[str, str], group: list[Result], audit: Mapping[str, Any], stale: set[str]) -> Panel:
    methods = [result for result in group if not result.cards.get("explainer", {}).get("reference")]
    table = _table(methods, columns_of(group, audit), stale)
    names = sorted({explainer for explainer, _ in table.cells})
    columns, notes = _taking_part(table, names)
    unranked = {name: reason for name in names if (reason := _incomplete(table, name, columns))}
    unranked |= {name: reason for name in names if name not in unranked and (reason := _sparse(table, name, columns))}
    gated = {name: reason for name in names if name not in unranked and (reason := _gated(table, name))}
    complete = tuple(name for name in names if name not in unranked and name not in gated)
    patients = _patients(table, complete, columns)
    measures = [_measure(table, complete, column, patients) for column in columns] if complete else []
    notes += [
        f"{column.label} is left out: no image has a value from every explainer"
        for column, measure in zip(columns, measures, strict=False)
        if measure is None
    ]
    return Panel(
        labels=labels,
        explainers=complete,
        measures=tuple(measure for measure in measures if measure),
        patients=patients,
        unranked=tuple(
            [Unranked(name, reason) for name, reason in unranked.items()]
            + [Unranked(name, reason, gated=True) for name, reason in gated.items()]
        ),
        notes=tuple(notes),
        limited=any(result.count < result.total for result in group),
    )


def _table(group: Iterable[Result], columns: tuple[Column, ...], stale: set[str]) -> _Table:
    table = _Table({}, columns, {}, {}, stale)
    for result in group:
        labels, cards = result.labels, result.cards
        table.cells.setdefault((labels.get("explainer", ""), labels.get("metric", "")), []).append(result)
        fold = labels.get("fold", "")
        table.folds[fold] = max(table.folds.get(fold, 0), result.count)
        for kind, name in (("task", ""), ("model", ""), ("metric", labels.get("metric", ""))):
            version = cards.get(kind, {}).get("version", 0)
            table.versions[kind, name] = max(table.versions.get((kind, name), version), version)
    return table


def _patients(table: _Table, names: Sequence[str], columns: Sequence[Column]) -> tuple[str, ...]:
    """All who have an image in any of the cells."""
    tuples = {result.patients for name in names for column in columns for result in table.cells[name, column.label]}
    return tuple(sorted({who for patients in tuples for who in patients}))


def _taking_part(table: _Table, names: Sequence[str]) -> tuple[list[Column], list[str]]:
    """The metrics to rank by, and why others are left out."""
    columns, notes = [], []
    working = [name for name in names if any(_ok(table, name, column) for column in table.columns)]
    for column in table.columns:
        if column.card.get("gate") is not None or not (column.claims or column.card.get("family") == "cost"):
            continue
        having = sum(_ok(table, name, column) for name in working)
        if column.greyed:
            notes.append(f"{column.label} is left out: it failed the audit ({column.reason})")
        elif 2 * having <= len(working) and having < len(working):
            notes.append(f"{column.label} is left out: only {having} of {len(working)} explainers have it")
        else:
            columns.append(column)
    return columns, notes


def _ok(table: _Table, name: str, column: Column) -> bool:
    found = table.cells.get((name, column.label), [])
    return len(found) == len(table.folds) and all(result.status == "ok" for result in found)


def _incomplete(table: _Table, name: str, columns: Sequence[Column]) -> str:
    """Why a row cannot be ranked against full ones; "" if it can."""
    reasons = (reason for column in columns for reason in _cell_reasons(table, name, column))
    versions = {
        result.cards.get("explainer", {}).get("version")
        for column in columns
        for result in table.cells.get((name, column.label), [])
    }
    mixed = f"its cells come from versions {' and '.join(sorted(map(str, versions)))}" if len(versions) > 1 else ""
    return next(reasons, mixed)


def _cell_reasons(table: _Table, name: str, column: Column) -> Iterable[str]:
    found = table.cells.get((name, column.label), [])
    if len(found) < len(table.folds):
        yield f"{column.label} was not run" + (f" on {len(table.folds) - len(found)} folds" if found else "")
    for result in found:
        if result.status != "ok":
            yield f"{column.label}: {result.status}" + (f" ({result.reason})" if result.reason else "")
        elif result.count < table.folds[result.labels.get("fold", "")]:
            yield f"{column.label} has seen {result.count} of {result.total} images only"
        elif old := _old(table, result):
            yield old
        elif result.key in table.stale:
            yield f"{column.label} rests on other weights or data than the newest run"


def _old(table: _Table, result: Result) -> str:
    """Which version is behind the newest of its board."""
    label = result.labels.get("metric", "")
    for kind, name in (("task", ""), ("model", ""), ("metric", label)):
        version, newest = result.cards.get(kind, {}).get("version", 0), table.versions[kind, name]
        if version != newest:
            return f"{name or kind} version {version}; the newest is {newest}"
    return ""


def _sparse(table: _Table, name: str, columns: Sequence[Column]) -> str:
    """Why a row has too few values to be compared; "" if it has enough."""
    for column in columns:
        values = [value for result in table.cells[name, column.label] for value in result.values]
        defined = sum(value is not None for value in values)
        if (
            values
            and defined < DEFINED * len(values)
            and any(
                value is not None
                for (_, label), others in table.cells.items()
                if label == column.label
                for other in others
                for value in other.values
            )
        ):
            return f"{column.label} has a value for {defined} of {len(values)} images only"
    return ""


def _gated(table: _Table, name: str) -> str:
    """Which sanity check it fails; "" if it passes all that were made."""
    for column in table.columns:
        gate = column.card.get("gate")
        if gate is None or column.greyed:
            continue
        found = [v for result in table.cells.get((name, column.label), []) for v in result.values if v is not None]
        mean = float(np.mean(found)) if found else gate
        if (mean < gate) if column.higher_is_better else (mean > gate):
            return f"fails the sanity check {column.label}: {wording.number(mean)} is worse than {wording.number(gate)}"
    return ""


def _measure(table: _Table, names: Sequence[str], column: Column, patients: tuple[str, ...]) -> Measure | None:
    """None if no image has a value from every explainer."""
    rows = [_joined(table, name, column) for name in names]
    first = rows[0]
    if all(row.ids == first.ids for row in rows):
        values = np.array([row.values for row in rows], dtype=np.float64)
    else:
        place = {image: at for at, image in enumerate(first.ids)}
        values = np.array([_aligned(row, place) for row in rows])
    shared = ~np.isnan(values).any(axis=0)
    if not shared.any():
        return None
    number = {who: at for at, who in enumerate(patients)}
    index = np.array([number[who] for who in first.patients], dtype=np.intp)[shared]
    sums, sizes = np.zeros((len(names), len(patients))), np.zeros(len(patients))
    seen = np.unique(index)
    sums[:, seen] = per_patient(values[:, shared], index) * (-1 if column.higher_is_better else 1)
    sizes[seen] = per_patient(np.ones((1, len(index))), index)[0]
    return Measure(column, sums, sizes)


class _Joined(NamedTuple):
    """The values of one explainer and metric over all folds."""

    ids: Sequence[Any]  # fold and image; the image alone if there is but one fold
    patients: Sequence[str]
    values: Sequence[float | None]


def _joined(table: _Table, name: str, column: Column) -> _Joined:
    found = table.cells[name, column.label]
    if len(found) == 1:
        return _Joined(found[0].ids, found[0].patients, found[0].values)
    found = sorted(found, key=lambda result: result.labels.get("fold", ""))
    return _Joined(
        [(result.labels.get("fold", ""), image) for result in found for image in result.ids],
        [who for result in found for who in result.patients],
        [value for result in found for value in result.values],
    )


def _aligned(row: _Joined, place: Mapping[Any, int]) -> Doubles:
    """The values at the places of their images; NaN where there is none."""
    aligned: Doubles = np.full(len(place), np.nan)
    for image, value in zip(row.ids, row.values, strict=True):
        if image in place and value is not None:
            aligned[place[image]] = value
    return aligned
