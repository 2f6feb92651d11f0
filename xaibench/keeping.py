"""Runs that keep no heatmaps: they are dropped once all scores that read them are there, and made again when asked for.

What is left of a shard is its record, which says that the maps were dropped. Scores were computed from the exact maps,
so they have the keys and values of any other run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from xaibench.contracts import Cell
    from xaibench.planning import SubjectPlan
    from xaibench.store import Store


def drop_maps(store: Store, plans: Iterable[SubjectPlan]) -> None:
    """Drop the maps of all cells whose scores in these plans are finished."""
    for cell, waiting in _readers(store, plans):
        if not waiting:
            store.drop_maps(cell.key, cell.count)


def make_dropped_again(store: Store, plans: Iterable[SubjectPlan]) -> None:
    """Let cells whose maps were dropped be missing where a score still needs them."""
    if store.has_dropped():
        for cell, waiting in _readers(store, plans):
            if waiting:
                store.forget_dropped(cell.key, cell.count)


def _readers(store: Store, plans: Iterable[SubjectPlan]) -> Iterator[tuple[Cell, bool]]:
    """Every cell of maps, and whether a score that reads it is not finished."""
    for plan in plans:
        waiting = {
            key
            for score in plan.score
            if score.verdict == "ok" and store.missing(score.key, score.count)
            for key in score.inputs.values()
        }
        yield from ((cell, cell.key in waiting) for cell in plan.explain if cell.verdict == "ok")
