"""What a leaderboard shows, before anyone decides how it looks: one board per model, task and target."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xaibench_leaderboard.accuracy import Accuracy, accuracy_of
from xaibench_leaderboard.remembering import per_results
from xaibench_leaderboard.statistics import Estimate, coverage, estimates

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from xaibench.contracts import Result, Results

BOARD = ("task", "fold", "model", "target", "precision")
NOISE = "random"  # the floor that knows nothing: where normalised scores begin
SUBJECT = ("task", "fold", "model", "precision")
FAMILIES = ("localisation", "stability", "faithfulness", "robustness", "sanity", "complexity", "cost")


@dataclass(frozen=True)
class Column:
    """A metric, and what the audit found of it."""

    label: str
    card: Mapping[str, Any]
    verdict: str  # pass, fail, descriptive; "" if it was never audited
    reason: str

    @property
    def higher_is_better(self) -> bool:
        """Which way is up."""
        return bool(self.card.get("higher_is_better", True))

    @property
    def greyed(self) -> bool:
        """Whether the audit found that its numbers do not tell a good map from noise."""
        return self.verdict == "fail"

    @property
    def claims(self) -> bool:
        """Whether it says of itself that a better number is a better explanation."""
        return bool(self.card.get("claims_quality", True))

    @property
    def judges(self) -> bool:
        """Whether a better number is a better explanation."""
        return self.claims and not self.greyed

    @property
    def descriptive(self) -> bool:
        """Whether it has no better and worse; costs have, though a cheap map is no better an explanation."""
        return not self.claims and self.card.get("family") != "cost"

    @property
    def uses_map(self) -> bool:
        """Whether a failed map counts."""
        return bool(self.card.get("uses_map", True))


@dataclass(frozen=True)
class Score:
    """One explainer under one metric."""

    status: str
    reason: str
    estimate: Estimate | None  # None: not ok, or no image has a value
    images: int  # that the metric applies to
    failed: int  # of them: maps that were flat, NaN or of the wrong shape
    undefined: int  # of them: sound maps for which the metric has no value
    coverage: float | None  # share of maps that did not fail
    count: int  # images the run selected
    total: int  # images there are
    key: str = ""  # of the cell that holds the values per image
    versions: Mapping[str, Any] = field(default_factory=dict)  # of task, model, explainer and metric
    normalised: float | None = None  # 0 where the noise of the board is, 1 where its ceiling is

    @property
    def mean(self) -> float | None:
        """The number of the cell."""
        return self.estimate.mean if self.estimate else None


@dataclass(frozen=True)
class Row:
    """An explainer. A None among its scores: never asked for."""

    explainer: str
    card: Mapping[str, Any]
    scores: tuple[Score | None, ...]

    @property
    def name(self) -> str:
        """The plugin's own name, without parameters."""
        return str(self.card.get("name", self.explainer))

    @property
    def reference(self) -> str:
        """Floor, ceiling, or "" for a method."""
        return str(self.card.get("reference", ""))

    @property
    def verdict(self) -> tuple[str, str] | None:
        """Status and reason, if all cells share one that is not ok."""
        found = {(score.status, score.reason) for score in self.scores if score}
        return next(iter(found)) if len(found) == 1 and not any(s.status == "ok" for s in self.scores if s) else None


@dataclass(frozen=True)
class Board:
    """A table of explainers by metrics. Methods are in the order of one column; references are never ranked."""

    labels: Mapping[str, str]
    accuracy: Accuracy | None
    columns: tuple[Column, ...]
    methods: tuple[Row, ...]
    references: tuple[Row, ...]  # ceilings, then floors
    order: Column | None  # the column that gave the order; None: by name
    count: int
    total: int

    @property
    def rows(self) -> tuple[Row, ...]:
        """Methods and references."""
        return self.methods + self.references

    @property
    def title(self) -> str:
        """What is explained on what."""
        return f"{self.labels.get('model', '')} on {self.labels.get('task', '')}"

    @property
    def limited(self) -> bool:
        """Whether some test images were left out."""
        return self.count < self.total

    def column(self, metric: str) -> int | None:
        """Where the metric of this name stands."""
        return next((at for at, column in enumerate(self.columns) if column.card.get("name") == metric), None)


@per_results
def boards_of(results: Results) -> tuple[Board, ...]:
    """Every board of the results, in the order in which they were run."""
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in results.scores:
        groups.setdefault(_names(result.labels, BOARD), []).append(result)
    accuracies = {_names(one.labels, SUBJECT): accuracy_of(one) for one in results.predictions}
    return tuple(
        _board(group, accuracies.get(_names(group[0].labels, SUBJECT)), results.audit.get(names[0], {}))
        for names, group in groups.items()
    )


def _names(labels: Mapping[str, str], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(labels.get(name, "") for name in names)


def _board(group: Sequence[Result], accuracy: Accuracy | None, audit: Mapping[str, Any]) -> Board:
    columns = columns_of(group, audit)
    order = next((column for column in columns if column.judges), None)
    rows = _ordered(_normalised(_rows(group, columns), columns, group), columns, order)
    return Board(
        labels={name: group[0].labels.get(name, "") for name in BOARD},
        accuracy=accuracy,
        columns=columns,
        methods=tuple(row for row in rows if not row.reference),
        references=tuple(sorted((row for row in rows if row.reference), key=lambda row: row.reference != "ceiling")),
        order=order,
        count=max(result.count for result in group),
        total=max(result.total for result in group),
    )


def columns_of(group: Iterable[Result], audit: Mapping[str, Any]) -> tuple[Column, ...]:
    """Quality first, cost last; within a family as they were run."""
    found: dict[str, Column] = {}
    for result in group:
        label, card = result.labels.get("metric", ""), result.cards.get("metric", {})
        told = audit.get(label) or audit.get(card.get("name", "")) or {}
        found.setdefault(label, Column(label, card, str(told.get("verdict", "")), str(told.get("reason", ""))))
    return tuple(sorted(found.values(), key=_place))


def _place(column: Column) -> tuple[bool, int]:
    family = column.card.get("family")
    return not column.card.get("claims_quality", True), FAMILIES.index(family) if family in FAMILIES else len(FAMILIES)


def _rows(group: Iterable[Result], columns: Sequence[Column]) -> list[Row]:
    found: dict[str, dict[str, tuple[Result, Estimate | None]]] = {}
    for result, estimate in zip(group, _estimates(group), strict=True):
        cells = found.setdefault(result.labels.get("explainer", ""), {})
        cells[result.labels.get("metric", "")] = result, estimate
    return [
        Row(
            explainer,
            next(iter(cells.values()))[0].cards.get("explainer", {}),
            tuple(_score(*cells[column.label]) if column.label in cells else None for column in columns),
        )
        for explainer, cells in found.items()
    ]


def _estimates(group: Iterable[Result]) -> list[Estimate | None]:
    """Of all results that share their images at once: their intervals rest on the same draws."""
    results = list(group)
    shared: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for at, result in enumerate(results):
        if result.status == "ok":
            shared[result.patients].append(at)
    found: list[Estimate | None] = [None] * len(results)
    for patients, places in shared.items():
        values = np.array([results[at].values for at in places], dtype=np.float64)
        for at, estimate in zip(places, estimates(values, patients), strict=True):
            found[at] = estimate
    return found


def _score(result: Result, estimate: Estimate | None) -> Score:
    failed = sum(result.failed)
    empty = sum(value is None for value in result.values)
    sound = empty and sum(value is None and not bad for value, bad in zip(result.values, result.failed, strict=True))
    return Score(
        status=result.status,
        reason=result.reason,
        estimate=estimate,
        images=len(result.ids),
        failed=failed,
        undefined=sound,
        coverage=coverage(result.failed) if result.status == "ok" else None,
        count=result.count,
        total=result.total,
        key=result.key,
        versions={name: card.get("version") for name, card in result.cards.items()},
    )


def _normalised(rows: Iterable[Row], columns: Sequence[Column], group: Sequence[Result]) -> list[Row]:
    """The rows, with every mean placed between noise and ceiling."""
    rows = list(rows)
    places = [_places(rows, at, column, group) for at, column in enumerate(columns)]
    return [
        replace(row, scores=tuple(_placed(score, row, place) for score, place in zip(row.scores, places, strict=True)))
        for row in rows
    ]


def _places(rows: Sequence[Row], at: int, column: Column, group: Sequence[Result]) -> dict[str, float]:
    """How far each explainer has come from noise to the best ceiling; nothing unless the ceiling is the better one."""
    sign = 1 if column.higher_is_better else -1
    means = {row.explainer: score.mean for row in rows if (score := row.scores[at]) and score.mean is not None}
    floors = [row for row in rows if row.name == NOISE and row.explainer in means]
    ceilings = [row for row in rows if row.reference == "ceiling" and row.explainer in means]
    if not column.judges or not floors or not ceilings:
        return {}
    images = {score.images for row in (floors[0], *ceilings) if (score := row.scores[at])}
    if len(images) > 1:  # the truth is drawn only where there is a lesion: there all others are to be measured too
        means = _means_where(ceilings[0].explainer, [one for one in group if one.labels.get("metric") == column.label])
    floor = means.get(floors[0].explainer)
    best = max((sign * means[row.explainer] for row in ceilings if row.explainer in means), default=None)
    if floor is None or best is None or best <= sign * floor:
        return {}
    return {name: (mean - floor) / (sign * best - floor) for name, mean in means.items()}


def _means_where(ceiling: str, results: Sequence[Result]) -> dict[str, float]:
    """The mean of every explainer over the images on which the ceiling has a value."""
    by_image = {
        one.labels.get("explainer", ""): {
            name: value for name, value in zip(one.ids, one.values, strict=True) if value is not None
        }
        for one in results
        if one.status == "ok"
    }
    asked = by_image.get(ceiling, {}).keys()
    shown = {name: [values[one] for one in values.keys() & asked] for name, values in by_image.items()}
    return {name: sum(values) / len(values) for name, values in shown.items() if values}


def _placed(score: Score | None, row: Row, places: Mapping[str, float]) -> Score | None:
    return replace(score, normalised=places.get(row.explainer)) if score and score.mean is not None else score


def _ordered(rows: Iterable[Row], columns: Sequence[Column], order: Column | None) -> list[Row]:
    """Best mean of one column first, rows without a number last, equals by name."""

    def place(row: Row) -> tuple[bool, float, str]:
        score = row.scores[columns.index(order)] if order else None
        if order is None or score is None or score.mean is None:
            return True, 0.0, row.explainer
        return False, -score.mean if order.higher_is_better else score.mean, row.explainer

    return sorted(rows, key=place)
