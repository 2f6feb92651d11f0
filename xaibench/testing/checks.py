"""The list of promises: each is a plain function, its docstring the promise in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

KINDS = ("explainers", "models", "metrics", "tasks")

Function = TypeVar("Function", bound=Callable[[Any], None])


@dataclass(frozen=True)
class Check:
    """One promise. It is not tried where one of those in `after` is broken: it could tell nothing new."""

    kind: str
    name: str
    promise: str
    run: Callable[[Any], None]
    after: tuple[str, ...]
    late: bool


_CHECKS: dict[str, dict[str, Check]] = {kind: {} for kind in KINDS}


def promise(*kinds: str, after: tuple[str, ...] = (), late: bool = False) -> Callable[[Function], Function]:
    """Put a function on the list of some kinds of plugin, under its own name."""

    def listed(function: Function) -> Function:
        name = function.__name__.strip("_").replace("_", "-")
        text = " ".join((function.__doc__ or "").split()).removesuffix(".")
        for kind in kinds:
            _CHECKS[kind][name] = Check(kind, name, text, function, after, late)
        return function

    return listed


def checks_of(kind: str) -> dict[str, Check]:
    """All promises of a kind by name, in the order in which they are best tried."""
    return dict(sorted(_CHECKS[kind].items(), key=lambda item: item[1].late))
