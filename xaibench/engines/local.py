"""The engine that needs nothing: cells one after another, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xaibench.contracts import Card

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from xaibench.contracts import Cell, Outcome, Worker


class Local:
    """Run cells in this process, one after another."""

    card = Card(name="local", summary="cells one after another, in this process")

    def run(self, cells: Sequence[Cell], worker: Callable[[], Worker]) -> Iterator[Outcome]:
        """Yield every outcome as soon as it is there."""
        one = worker()
        for cell in cells:
            yield one.execute(cell)
