"""Metrics that sum up a curve: the mean curve of every explainer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xaibench_leaderboard.page.packing import rounded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xaibench.contracts import Result
    from xaibench_leaderboard.board import Board
    from xaibench_leaderboard.page.tables import Keys

DIGITS = 4


def curves_content(board: Board, keys: Keys) -> list[dict[str, Any]]:
    """One plot per metric of the board that draws curves."""
    return [plot for at in range(len(board.columns)) if (plot := _plot(board, keys, at))["lines"]]


def _plot(board: Board, keys: Keys, at: int) -> dict[str, Any]:
    column = board.columns[at]
    lines = []
    for row in board.rows:
        found = keys.result(board, row, column)
        if found and (mean := mean_curve(found)):
            lines.append({"explainer": row.explainer, "reference": row.reference, "y": mean})
    return {
        "metric": column.label,
        "axis": column.card.get("curve_axis", ""),
        "x": [rounded(float(place)) for place in column.card.get("curve", ())],
        "lines": lines,
    }


def mean_curve(result: Result) -> list[float | None] | None:
    """Point by point the mean over the images that have one there; None if there are no curves."""
    drawn = list(_drawn(result))
    if not drawn:
        return None
    table = np.array(drawn, dtype=np.float64)  # None becomes NaN
    known = ~np.isnan(table)
    counts = known.sum(axis=0)
    sums = np.where(known, table, 0.0).sum(axis=0)
    pairs = zip(sums, counts, strict=True)
    return [rounded(float(total / count), DIGITS) if count else None for total, count in pairs]


def _drawn(result: Result) -> Iterator[tuple[float | None, ...]]:
    length = len(result.cards.get("metric", {}).get("curve", ()))
    return (curve for curve in result.curves if curve is not None and len(curve) == length)
