"""What a leaderboard shows, before anyone decides how it looks: one board per model, task and target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xaibench_leaderboard.accuracy import Accuracy, accuracy_of
from xaibench_leaderboard.statistics import Estimate, coverage, mean_estimate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from xaibench.contracts import Result, Results

BOARD = ("task", "fold", "model", "target", "precision")
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
    def judges(self) -> bool:
        """Whether a better number is a better explanation."""
        return bool(self.card.get("claims_quality", True)) and not self.greyed

    @property
    def descriptive(self) -> bool:
        """Whether it has no better and worse; costs have, though a cheap map is no better an explanation."""
        return not self.card.get("claims_quality", True) and self.card.get("family") != "cost"

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
    columns = _columns(group, audit)
    order = next((column for column in columns if column.judges), None)
    rows = _ordered(_rows(group, columns), columns, order)
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


def _columns(group: Iterable[Result], audit: Mapping[str, Any]) -> tuple[Column, ...]:
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
    found: dict[str, dict[str, Result]] = {}
    for result in group:
        found.setdefault(result.labels.get("explainer", ""), {})[result.labels.get("metric", "")] = result
    return [
        Row(
            explainer,
            next(iter(cells.values())).cards.get("explainer", {}),
            tuple(_score(cells[column.label]) if column.label in cells else None for column in columns),
        )
        for explainer, cells in found.items()
    ]


def _score(result: Result) -> Score:
    ok = result.status == "ok"
    missing = [failed for value, failed in zip(result.values, result.failed, strict=True) if value is None]
    return Score(
        status=result.status,
        reason=result.reason,
        estimate=mean_estimate(result.values, result.patients, result.key) if ok else None,
        images=len(result.ids),
        failed=sum(result.failed),
        undefined=missing.count(False),
        coverage=coverage(result.failed) if ok else None,
        count=result.count,
        total=result.total,
    )


def _ordered(rows: Iterable[Row], columns: Sequence[Column], order: Column | None) -> list[Row]:
    """Best mean of one column first, rows without a number last, equals by name."""

    def place(row: Row) -> tuple[bool, float, str]:
        score = row.scores[columns.index(order)] if order else None
        if order is None or score is None or score.mean is None:
            return True, 0.0, row.explainer
        return False, -score.mean if order.higher_is_better else score.mean, row.explainer

    return sorted(rows, key=place)
