"""Results in the shape of Every Eval Ever, the exchange format of the EvalEval coalition (schema version 0.2.2).

That format knows evaluations of models and has no axis for explainers: the explainer stands in the name of each
evaluation and in its `generation_config`, and the model is the classifier that was explained. One file per board.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from xaibench import __version__
from xaibench.seeds import derive
from xaibench_leaderboard.board import boards_of
from xaibench_leaderboard.statistics import LEVEL, METHOD, REPLICATES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xaibench.contracts import Results
    from xaibench_leaderboard.board import Board, Column, Row, Score

VERSION = "0.2.2"


def reports_of(results: Results) -> Iterator[tuple[str, dict[str, Any]]]:
    """File name and content for every board."""
    for board in boards_of(results):
        digest = f"{derive('every-eval-ever', *board.labels.values()):016x}"
        words = re.sub(r"[^A-Za-z0-9.-]+", "-", "-".join((board.labels["task"], board.labels["model"])))[:80]
        yield f"{words}-{digest[:8]}", _report(board, digest, str(int(time.time())))


def _report(board: Board, digest: str, now: str) -> dict[str, Any]:
    return {
        "schema_version": VERSION,
        "evaluation_id": f"xaibench-{board.labels['task']}-{digest}/{board.labels['model']}/{now}",
        "retrieved_timestamp": now,
        "source_metadata": {
            "source_name": "xaibench",
            "source_type": "evaluation_run",
            "source_organization_name": "unknown",  # a results folder does not say whose it is
            "evaluator_relationship": "other",
        },
        "eval_library": {"name": "xaibench", "version": __version__},
        "model_info": {"name": board.labels["model"], "id": board.labels["model"]},
        "evaluation_results": [
            _result(board, row, column, score)
            for row in board.rows
            for column, score in zip(board.columns, row.scores, strict=True)
            if score and score.estimate
        ],
    }


def _result(board: Board, row: Row, column: Column, score: Score) -> dict[str, Any]:
    details = {
        "explainer": row.explainer,
        "reference": row.reference,
        "target": board.labels["target"],
        "precision": board.labels["precision"],
        "fold": board.labels["fold"],
        "cell": score.key,
        "limited": str(score.count < score.total).lower(),
    }
    return {
        "evaluation_result_id": score.key,
        "evaluation_name": f"{column.label} of {row.explainer}",
        "source_data": {"dataset_name": board.labels["task"], "source_type": "other"},
        "metric_config": _metric(column),
        "score_details": _score(score),
        "generation_config": {"additional_details": details},
    }


def _metric(column: Column) -> dict[str, Any]:
    ends = {"min_score": column.card.get("lowest"), "max_score": column.card.get("highest")}
    if None not in ends.values():
        ends["score_type"] = "continuous"  # the format asks for both ends of whatever calls itself so
    return {
        "metric_id": str(column.card.get("name", column.label)),
        "metric_name": column.label,
        "metric_kind": str(column.card.get("family", "")),
        "metric_unit": str(column.card.get("unit", "")),
        "evaluation_description": str(column.card.get("summary", "")),
        "lower_is_better": not column.higher_is_better,
        **{name: end for name, end in ends.items() if end is not None},
    }


def _score(score: Score) -> dict[str, Any]:
    found = score.estimate
    if found is None:
        return {}
    uncertainty: dict[str, Any] = {"num_samples": found.images, "num_bootstrap_samples": REPLICATES}
    if found.sd is not None:
        uncertainty["standard_deviation"] = found.sd
    if found.low is not None:
        uncertainty["confidence_interval"] = {
            "lower": found.low,
            "upper": found.high,
            "confidence_level": LEVEL,
            "method": METHOD,
        }
    return {"score": found.mean, "uncertainty": uncertainty}
