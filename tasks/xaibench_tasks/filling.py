"""Decode a whole dataset ahead of use, in several processes."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from xaibench_tasks.dataset import Dataset

CHUNK = 16  # images that a process takes at a time


def fill(task: Dataset, workers: int, progress: Callable[[int, int], None]) -> dict[str, str]:
    """Put every record into the cache; say of those that cannot be why. Memory does not grow with the dataset."""
    todo = [index for index, done in enumerate(task.decoded()) if not done]
    troubles: dict[str, str] = {}
    for done, (index, trouble) in enumerate(_each(task, todo, workers), start=1):
        if trouble:
            troubles[task.records[index].id] = trouble
        progress(done, len(todo))
    return troubles


def _each(task: Dataset, todo: Sequence[int], workers: int) -> Iterator[tuple[int, str]]:
    if workers < 2 or len(todo) <= CHUNK:
        yield from ((index, task.decode(index)) for index in todo)
        return
    # Spawned, not forked: torch and its threads may live in this process.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (task,)) as pool:
        yield from zip(todo, pool.map(_decode, todo, chunksize=CHUNK), strict=True)


_task: Dataset | None = None


def _begin(task: Dataset) -> None:
    """Give a process its task, once."""
    global _task
    _task = task


def _decode(index: int) -> str:
    if _task is None:
        raise RuntimeError("the process has not begun")
    return _task.decode(index)
