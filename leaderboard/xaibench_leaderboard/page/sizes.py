"""Scores by size of the lesion, and by whether the model was right: the same strata as in the claims."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from xaibench_leaderboard.page.packing import rounded
from xaibench_leaderboard.page.tables import place
from xaibench_leaderboard.strata import SIZES, strata_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xaibench.contracts import Results
    from xaibench_leaderboard.board import Board, Column
    from xaibench_leaderboard.strata import Stratum

    Strata = Mapping[tuple[str, ...], Sequence[Stratum]]

DIGITS = 4


def strata_by_cell(results: Results) -> Strata:
    """The strata of every score of localisation."""
    found: dict[tuple[str, ...], list[Stratum]] = defaultdict(list)
    for one in strata_of(replace(results, scores=tuple(one for one in results.scores if _localises(one.cards)))):
        found[place(one.labels)].append(one)
    return found


def _localises(cards: Mapping[str, Mapping[str, Any]]) -> bool:
    return cards.get("metric", {}).get("family") == "localisation"


def sizes_content(board: Board, strata: Strata) -> list[dict[str, Any]]:
    """One plot per metric of localisation that judges."""
    return [plot for column in board.columns if column.judges and (plot := _plot(board, column, strata))]


def _plot(board: Board, column: Column, strata: Strata) -> dict[str, Any] | None:
    where = [{**board.labels, "explainer": row.explainer, "metric": column.label} for row in board.rows]
    found = [strata.get(place(labels), ()) for labels in where]
    sizes = next((own for several in found if (own := [one for one in several if one.stratum in SIZES])), [])
    if not any(found):
        return None
    return {
        "metric": column.label,
        "axis": "share of the image that lesions cover (%): middle of small, medium and large",
        "x": [rounded(50 * ((one.low or 0) + (one.high or 0)), 3) for one in sizes],
        "note": f"Mean over the images of each third{_ends(sizes)}.",
        "lines": [
            {"explainer": row.explainer, "reference": row.reference, **_line(several)}
            for row, several in zip(board.rows, found, strict=True)
            if several
        ],
    }


def _ends(sizes: Sequence[Stratum]) -> str:
    ends = [f"{100 * (one.low or 0):.2g} to {100 * (one.high or 0):.2g} %" for one in sizes]
    return f" ({', '.join(ends)} of the image)" if ends else ""


def _line(several: Sequence[Stratum]) -> dict[str, Any]:
    """`y`: means by size; `strata`: all of them with their intervals, in words for the panel of a cell."""
    found = [(one.stratum, one.estimate) for one in several]
    return {
        "y": [rounded(one.mean, DIGITS) if one else None for name, one in found if name in SIZES],
        "strata": [
            [name, rounded(one.mean, DIGITS), rounded(one.low, DIGITS), rounded(one.high, DIGITS), one.images]
            for name, one in found
            if one
        ],
    }
