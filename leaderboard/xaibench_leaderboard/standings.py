"""From results to rankings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scipy.stats import rankdata

from xaibench_leaderboard.board import boards_of
from xaibench_leaderboard.ranking import Ranking, Rankings, Standing, Unranked
from xaibench_leaderboard.weights import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xaibench.contracts import Results
    from xaibench_leaderboard.board import Board, Column, Row


def rankings_of(results: Results, weights: Mapping[str, float] = DEFAULT) -> Rankings:
    """Every ranking of the results."""
    return Rankings(None, tuple(_ranking(board, weights) for board in boards_of(results)))


def _ranking(board: Board, weights: Mapping[str, float]) -> Ranking:
    columns = [column for column in board.columns if column.judges]
    full = [row for row in board.methods if all(_mean(board, row, column) is not None for column in columns)]
    families = {str(column.card["family"]): weights.get(str(column.card["family"]), 0.0) for column in columns}
    ranks = {column.label: _ranks(board, full, column) for column in columns}
    metrics = {
        family: tuple(column.label for column in columns if column.card["family"] == family) for family in families
    }
    standings = [_standing(at, row, metrics, ranks, families) for at, row in enumerate(full)]
    standings.sort(key=lambda standing: (standing.mean_rank, standing.explainer))
    return Ranking(
        labels={name: board.labels[name] for name in ("task", "model", "target", "precision")},
        weights=families,
        metrics=metrics,
        standings=tuple(standings),
        unranked=tuple(Unranked(row.explainer, "incomplete") for row in board.methods if row not in full),
        notes=(),
        limited=board.limited,
        patients=0,
        critical=None,
        pairwise=None,
        agreement=None,
        pareto=(),
    )


def _mean(board: Board, row: Row, column: Column) -> float | None:
    score = row.scores[board.columns.index(column)]
    return score.mean if score else None


def _ranks(board: Board, rows: list[Row], column: Column) -> list[float]:
    sign = -1 if column.higher_is_better else 1
    return [float(rank) for rank in rankdata([sign * (_mean(board, row, column) or 0.0) for row in rows])]


def _standing(
    at: int,
    row: Row,
    metrics: Mapping[str, tuple[str, ...]],
    ranks: Mapping[str, list[float]],
    weights: Mapping[str, float],
) -> Standing:
    families = {family: sum(ranks[name][at] for name in names) / len(names) for family, names in metrics.items()}
    total = sum(weights.values()) or 1.0
    mean = sum(weights[family] * rank for family, rank in families.items()) / total
    return Standing(row.explainer, 0.0, None, None, 1, mean, families, None)
