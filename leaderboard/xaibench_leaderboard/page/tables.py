"""The boards as the page holds them: one list per kind of number, row after row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from xaibench_leaderboard import wording
from xaibench_leaderboard.page.packing import Index, folded, rounded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xaibench.contracts import Result
    from xaibench_leaderboard.board import Board, Column, Row, Score

WHERE = ("task", "fold", "model", "target", "precision", "explainer", "metric")
WHOLE_KEYS = 40_000  # cells up to which the page has room for whole keys
SHORT_KEY = 16  # letters, enough to find the cell
LESSONS = {  # references that teach what a high score is worth
    "centre": "a blob in the middle of the image: it has seen neither image nor model",
    "edges": "an edge filter: it has never seen the model",
}


@dataclass
class Names:
    """What all boards of a page share."""

    metrics: Index = field(default_factory=Index)
    explainers: Index = field(default_factory=Index)
    models: Index = field(default_factory=Index)
    tasks: Index = field(default_factory=Index)
    texts: Index = field(default_factory=lambda: Index([""], {"": 0}))  # statuses and reasons; 0: none


@dataclass(frozen=True)
class Keys:
    """The cell behind every number."""

    results: Mapping[tuple[str, ...], Result]
    whole: bool

    def of(self, board: Board, row: Row, column: Column) -> str:
        """The key, shortened where there are very many; "" for what was never run."""
        found = self.result(board, row, column)
        if found is None:
            return ""
        return found.key if self.whole else found.key[:SHORT_KEY]

    def result(self, board: Board, row: Row, column: Column) -> Result | None:
        """All that is known of a cell."""
        return self.results.get(place({**board.labels, "explainer": row.explainer, "metric": column.label}))


def keys_of(scores: Sequence[Result]) -> Keys:
    """The cells by what they are called."""
    return Keys({place(one.labels): one for one in scores}, len(scores) <= WHOLE_KEYS)


def place(labels: Mapping[str, str]) -> tuple[str, ...]:
    """What a cell is called, in a fixed order."""
    return tuple(labels.get(name, "") for name in WHERE)


def board_content(board: Board, keys: Keys, names: Names) -> dict[str, Any]:
    """One board."""
    return {
        **board.labels,
        "title": board.title,
        "subject": wording.subject(board),
        "accuracy": wording.accuracy(board.accuracy),
        "balanced": rounded(board.accuracy.test.mean) if board.accuracy else None,
        "poor": bool(board.accuracy and board.accuracy.poor),
        "flags": wording.flags(board),
        "count": board.count,
        "total": board.total,
        "command": wording.command(board),
        "order": wording.order(board),
        "first": board.columns.index(board.order) if board.order else -1,
        "columns": [_column(board, at, names) for at in range(len(board.columns))],
        "rows": [_row(row, board, names) for row in board.rows],
        "cells": _cells(board, keys, names),
    }


def _column(board: Board, at: int, names: Names) -> dict[str, Any]:
    column = board.columns[at]
    return {
        "metric": names.metrics.at(column.label, metric_content(column)),
        "images": wording.images(board, at),
        "judges": column.judges,
        "greyed": column.greyed,
        "verdict": column.verdict,
        "reason": column.reason,
        "audited": wording.audited(column),
    }


def metric_content(column: Column) -> dict[str, Any]:
    """A metric, the same on all boards."""
    return {
        "label": column.label,
        "arrow": wording.arrow(column),
        "direction": wording.direction(column),
        "limits": wording.limits(column),
        "higher": column.higher_is_better,
        "descriptive": column.descriptive,
        "uses_map": column.uses_map,
        "card": _card(column.card),
    }


def _row(row: Row, board: Board, names: Names) -> dict[str, Any]:
    about = {"label": row.explainer, "reference": row.reference, "kind": wording.kind(row)}
    about |= {"lesson": LESSONS.get(row.name, ""), "name": row.name}
    return {
        "explainer": names.explainers.at(row.explainer, {**about, "card": _card(row.card)}),
        "covered": wording.covered(row, board),
    }


def _card(card: Mapping[str, Any]) -> dict[str, Any]:
    """What a card says; what it leaves empty says nothing."""
    return {name: value for name, value in card.items() if value not in ("", None, [], {}, ())}


def _cells(board: Board, keys: Keys, names: Names) -> dict[str, Any]:
    grid = [(row, column, score) for row in board.rows for column, score in zip(board.columns, row.scores, strict=True)]
    scores = [score for _, _, score in grid]
    return {
        "status": folded([names.texts.at(wording.status(score)) for score in scores]),
        "partial": folded([names.texts.at(wording.partial(score, board)) if score else 0 for score in scores]),
        "failed": folded([score.failed if score else 0 for score in scores]),
        "undefined": folded([score.undefined if score else 0 for score in scores]),
        "key": folded([keys.of(board, row, column) for row, column, _ in grid]),
        **_estimates(scores),
    }


def _estimates(scores: Sequence[Score | None]) -> dict[str, Any]:
    found = [score.estimate if score else None for score in scores]
    return {
        "mean": folded([rounded(one.mean) if one else None for one in found]),
        "low": folded([rounded(one.low) if one else None for one in found]),
        "high": folded([rounded(one.high) if one else None for one in found]),
        "images": folded([one.images if one else 0 for one in found]),
        "patients": folded([one.patients if one else 0 for one in found]),
    }
