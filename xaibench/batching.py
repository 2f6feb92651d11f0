"""Batches that fit into memory: when one does not, it is halved and the same images are tried again."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Sliceable(Protocol):
    """What can be cut into batches: a list, or anything like it."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> Self: ...


Items = TypeVar("Items", bound=Sliceable)
Result = TypeVar("Result")

# How the host allocators of torch and of the operating systems word it.
OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")


class Batcher:
    """Feeds items in batches; it remembers the size that fitted."""

    def __init__(self, size: int) -> None:
        self.size = size

    def run(self, items: Items, work: Callable[[Items], Result]) -> Iterator[tuple[Items, Result]]:
        """Yield each batch with what `work` made of it; no item is left out and none is given twice."""
        position = 0
        while position < len(items):
            batch = items[position : position + self.size]
            result = self._attempt(batch, work)
            if result is None:
                self._shrink(len(batch))
                continue
            yield batch, result[0]
            position += len(batch)

    def _attempt(self, batch: Items, work: Callable[[Items], Result]) -> tuple[Result] | None:
        try:
            return (work(batch),)
        except Exception as error:
            if len(batch) == 1 or not is_out_of_memory(error):
                raise
        return None  # only here, outside the except block, are the failed batch's tensors let go

    def _shrink(self, tried: int) -> None:
        self.size = max(1, tried // 2)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is memory, on whichever device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in OUT_OF_MEMORY)
