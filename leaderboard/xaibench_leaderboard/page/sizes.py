"""Scores by size of the lesion: a large lesion is easily hit, so boards compare small ones with small ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xaibench_leaderboard.page.packing import rounded

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    from xaibench.contracts import Result
    from xaibench_leaderboard.board import Board
    from xaibench_leaderboard.page.tables import Keys

    Doubles: TypeAlias = NDArray[np.float64]

STRATA = 4
FEWEST = 3  # images in a stratum
DIGITS = 4


def sizes_content(board: Board, keys: Keys) -> list[dict[str, Any]]:
    """One plot per metric of localisation."""
    return [plot for at, column in enumerate(board.columns) if column.judges and (plot := _plot(board, keys, at))]


def _plot(board: Board, keys: Keys, at: int) -> dict[str, Any] | None:
    column = board.columns[at]
    if column.card.get("family") != "localisation" or "mask" not in column.card.get("needs", ()):
        return None
    found = [(row, result) for row in board.rows if (result := keys.result(board, row, column)) and result.shares]
    edges = strata(max((result.shares for _, result in found), key=len, default=()))
    if edges is None:
        return None
    shares = np.array(max((result.shares for _, result in found), key=len))
    images = [int(_within(shares, edges, one).sum()) for one in range(len(edges) - 1)]
    return {
        "metric": column.label,
        "axis": "share of the image that lesions cover (%), middle of the stratum",
        "x": [rounded(100 * float(np.median(shares[_within(shares, edges, one)])), 3) for one in range(len(edges) - 1)],
        "note": f"Mean over the images of each stratum ({', '.join(map(str, images))} images, by size).",
        "lines": [
            {"explainer": row.explainer, "reference": row.reference, "y": by_size(result, edges)}
            for row, result in found
        ],
    }


def strata(shares: tuple[float, ...]) -> Doubles | None:
    """Edges of strata with about as many images each, the last one open; None if all lesions are as large."""
    count = min(STRATA, len(shares) // FEWEST)
    if count < 2:
        return None
    edges = np.unique(np.quantile(np.array(shares), np.linspace(0, 1, count + 1)))
    edges[-1] = np.inf
    return edges if len(edges) > 2 else None


def by_size(result: Result, edges: Doubles) -> list[float | None]:
    """The mean of each stratum; None where no image has a value."""
    shares = np.array(result.shares)
    values = np.array(result.values, dtype=np.float64)  # None becomes NaN
    return [_mean(values[_within(shares, edges, one)]) for one in range(len(edges) - 1)]


def _within(shares: Doubles, edges: Doubles, one: int) -> NDArray[np.bool_]:
    chosen: NDArray[np.bool_] = (shares >= edges[one]) & (shares < edges[one + 1])
    return chosen


def _mean(values: Doubles) -> float | None:
    known = values[~np.isnan(values)]
    return rounded(float(known.mean()), DIGITS) if len(known) else None
