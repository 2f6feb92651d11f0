"""The leaderboard for machines: one row per explainer and metric, every absence with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xaibench.contracts import Card
from xaibench.files import write_json
from xaibench_leaderboard import wording
from xaibench_leaderboard.board import boards_of
from xaibench_leaderboard.shortcut import shortcuts_of
from xaibench_leaderboard.statistics import LEVEL, METHOD, REPLICATES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from xaibench.contracts import Results
    from xaibench_leaderboard.board import Board, Column, Row, Score
    from xaibench_leaderboard.shortcut import Shortcut
    from xaibench_leaderboard.statistics import Estimate

SCHEMA = 1
NAME = "results.json"


class Claims:
    """Writes `results.json`."""

    card = Card(name="json", summary=f"The leaderboard as {NAME}, for machines")

    def render(self, results: Results, folder: Path) -> Path | None:
        """Write the file, whole or not at all."""
        write_json(folder / NAME, claims_of(results))
        return folder / NAME


def claims_of(results: Results) -> dict[str, Any]:
    """All that the leaderboard says, as JSON can hold it."""
    boards = boards_of(results)
    return {
        "schema": SCHEMA,
        "interval": {"level": LEVEL, "replicates": REPLICATES, "method": METHOD},
        "boards": [_board(board) for board in boards],
        "rows": [row for board in boards for row in _rows(board)],
        "shortcuts": [claim for report in shortcuts_of(boards) for claim in _shortcut(report)],
        "audit": dict(results.audit),
        "environment": dict(results.environment),
    }


def _board(board: Board) -> dict[str, Any]:
    found = board.accuracy
    return {
        **board.labels,
        "balanced_accuracy": _estimate(found.test if found else None),
        "chance": found.chance if found else None,
        "train_balanced_accuracy": found.train if found else None,
        "val_balanced_accuracy": found.val if found else None,
        "poor_model_below": found.bar if found else None,
        "poor_model": found.poor if found else None,
        "reason": "" if found else wording.accuracy(None),
        "ordered_by": board.order.label if board.order else None,
        "count": board.count,
        "total": board.total,
    }


def _rows(board: Board) -> Iterator[dict[str, Any]]:
    for row in board.rows:
        for column, score in zip(board.columns, row.scores, strict=True):
            yield {**board.labels, **_names(row, column), **_score(score)}


def _names(row: Row, column: Column) -> dict[str, Any]:
    return {
        "explainer": row.explainer,
        "explainer_version": row.card.get("version"),
        "reference": row.reference,
        "metric": column.label,
        "metric_version": column.card.get("version"),
        "family": column.card.get("family", ""),
        "unit": column.card.get("unit", ""),
        "higher_is_better": column.higher_is_better,
        "audit": column.verdict or None,
        "audit_reason": column.reason,
    }


def _score(score: Score | None) -> dict[str, Any]:
    """The numbers; where there are none, `reason` says why."""
    if score is None:
        return {"status": "not run", "reason": "this explainer was never scored with this metric", **_estimate(None)}
    return {
        "status": score.status,
        "reason": score.reason or wording.status(score),
        **_estimate(score.estimate),
        "images": score.images,
        "failed": score.failed,
        "undefined": score.undefined,
        "coverage": score.coverage,
        "count": score.count,
        "total": score.total,
    }


def _estimate(found: Estimate | None) -> dict[str, Any]:
    """An interval of null and null: too few patients for one."""
    if found is None:
        return dict.fromkeys(("mean", "low", "high", "n", "patients"))
    return {"mean": found.mean, "low": found.low, "high": found.high, "n": found.images, "patients": found.patients}


def _shortcut(report: Shortcut) -> Iterator[dict[str, Any]]:
    found = report.board.accuracy
    for witness in report.methods + report.references:
        yield {
            **report.board.labels,
            "explainer": witness.row.explainer,
            "reference": witness.row.reference,
            "marker": _estimate(witness.marker.estimate if witness.marker else None),
            "lesion": _estimate(witness.lesion.estimate if witness.lesion else None),
            "reveals_marker": witness.verdict or None,
            "reason": witness.reason,
            "accuracy_collapsed": found.collapsed if found else None,
        }
