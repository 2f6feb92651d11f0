"""The reports of one run ask for the same boards and rankings, one after the other."""

from __future__ import annotations

import functools
import gc
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xaibench.contracts import Results

P = ParamSpec("P")
T = TypeVar("T")


@contextmanager
def uncollected() -> Iterator[None]:
    """Within it the collector rests, which would look at a million small things without a cycle again and again."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def per_results(function: Callable[Concatenate[Results, P], T]) -> Callable[Concatenate[Results, P], T]:
    """Keep the answers for the results that were asked about last, as long as these are alive.

    By identity: results hold mappings, which have no hash.
    """
    asked: list[weakref.ref[Results]] = []
    answers: dict[Any, T] = {}

    @functools.wraps(function)
    def remembered(results: Results, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if not asked or asked[0]() is not results:
            answers.clear()
            asked[:] = [weakref.ref(results, lambda _: answers.clear())]
        key = (args, tuple(sorted(kwargs.items())))
        if key not in answers:
            with uncollected():
                answers[key] = function(results, *args, **kwargs)
        return answers[key]

    return remembered
