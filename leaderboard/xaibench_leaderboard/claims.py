"""The leaderboard for machines: one row per explainer and metric, every absence with its reason."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from xaibench.contracts import Card
from xaibench.files import write_json
from xaibench_leaderboard import wording
from xaibench_leaderboard.board import boards_of
from xaibench_leaderboard.infills import agreements_of
from xaibench_leaderboard.shortcut import shortcuts_of
from xaibench_leaderboard.standings import rankings_of
from xaibench_leaderboard.statistics import LEVEL, METHOD, REPLICATES
from xaibench_leaderboard.strata import strata_of
from xaibench_leaderboard.weights import DEFAULT, parse_weights

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from xaibench.contracts import Results
    from xaibench_leaderboard.accuracy import Accuracy
    from xaibench_leaderboard.board import Board, Column, Row, Score
    from xaibench_leaderboard.ranking import Ranking
    from xaibench_leaderboard.shortcut import Shortcut
    from xaibench_leaderboard.statistics import Estimate
    from xaibench_leaderboard.strata import Stratum

SCHEMA = 2
SCHEMA_FILE = "schemas/results.schema.json"
NAME = "results.json"


class Claims:
    """Writes `results.json`."""

    card = Card(name="json", summary=f"The leaderboard as {NAME}, for machines")

    def __init__(self, weights: str = "") -> None:
        self.weights = parse_weights(weights)

    def render(self, results: Results, folder: Path) -> Path | None:
        """Write the file, whole or not at all."""
        write_json(folder / NAME, claims_of(results, self.weights))
        return folder / NAME


def schema() -> dict[str, Any]:
    """The JSON Schema of the claims."""
    text = (files("xaibench_leaderboard") / SCHEMA_FILE).read_text(encoding="utf-8")
    return dict(json.loads(text))


def claims_of(results: Results, weights: Mapping[str, float] = DEFAULT) -> dict[str, Any]:
    """All that the leaderboard says, as JSON can hold it."""
    boards, rankings = boards_of(results), rankings_of(results, weights)
    return {
        "schema": SCHEMA,
        "weights": dict(weights),
        "recompute": "xaibench verify FOLDER --cell KEY",
        "interval": {"level": LEVEL, "replicates": REPLICATES, "method": METHOD},
        "boards": [_board(board) for board in boards],
        "overall": _plain(rankings.overall) if rankings.overall else None,
        "rankings": [_plain(ranking) for ranking in rankings.each],
        "rows": [row for board in boards for row in _rows(board)],
        "strata": [_stratum(one) for one in strata_of(results)],
        "shortcuts": [claim for report in shortcuts_of(results) for claim in _shortcut(report)],
        "infills": [asdict(one) for one in agreements_of(results)],
        "audit": dict(results.audit),
        "environment": dict(results.environment),
    }


def _plain(ranking: Ranking) -> dict[str, Any]:
    """A ranking as JSON has it: tuples become lists."""
    return asdict(ranking)


def _board(board: Board) -> dict[str, Any]:
    found = board.accuracy
    return {
        **board.labels,
        "balanced_accuracy": _estimate(found.test if found else None),
        "chance": found.chance if found else None,
        "train_balanced_accuracy": found.train if found else None,
        "val_balanced_accuracy": found.val if found else None,
        "poor_model_below": found.bar if found else None,
        "poor_model": found.poor if found and found.judged else None,
        "reason": _unjudged(found),
        "ordered_by": board.order.label if board.order else None,
        "count": board.count,
        "total": board.total,
    }


def _unjudged(found: Accuracy | None) -> str:
    """Why nothing is said of the model's being poor; "" where it is."""
    if found is None:
        return wording.accuracy(None)
    return "" if found.judged else wording.unjudged(found)


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
        reason = "this explainer was never scored with this metric"
        return {"key": None, "status": "not run", "reason": reason, **_estimate(None)}
    return {
        "key": score.key,
        "status": score.status,
        "reason": score.reason or wording.status(score),
        **_estimate(score.estimate),
        "images": score.images,
        "failed": score.failed,
        "undefined": score.undefined,
        "coverage": score.coverage,
        "count": score.count,
        "total": score.total,
        "normalised": score.normalised,
        "versions": dict(score.versions),
    }


def _stratum(one: Stratum) -> dict[str, Any]:
    """The metric's card is in the row of the same key."""
    ends = {"share_low": one.low, "share_high": one.high}
    return {**one.labels, "key": one.key, "stratum": one.stratum, **ends, **_estimate(one.estimate)}


def _estimate(found: Estimate | None) -> dict[str, Any]:
    """An interval of null and null: too few patients for one."""
    names = ("mean", "low", "high", "sd", "median", "n", "patients")
    if found is None:
        return dict.fromkeys(names)
    values = (found.mean, found.low, found.high, found.sd, found.median, found.images, found.patients)
    return dict(zip(names, values, strict=True))


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
