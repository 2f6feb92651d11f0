"""TOML into dataclasses: whatever is unknown, missing or of another type is named with its place."""

from __future__ import annotations

import types
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from xaibench.errors import UsageError

T = TypeVar("T")


def made(kind: type[T], table: dict[str, Any], where: str) -> T:
    """A dataclass from a table."""
    hints, known = get_type_hints(kind), {one.name: one for one in fields(kind)}  # type: ignore[arg-type]
    for name in table:
        if name not in known:
            near = get_close_matches(name, list(known), 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(f"{where}: {name!r} is unknown{hint} Known are: {', '.join(known)}")
    for name, one in known.items():
        if name not in table and one.default is MISSING and one.default_factory is MISSING:
            raise UsageError(f"{where}: {name} is missing")
    return kind(**{name: fitted(value, hints[name], f"{where}: {name}") for name, value in table.items()})


def fitted(value: Any, kind: Any, where: str) -> Any:
    """A value of the type that is asked for."""
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(one for one in get_args(kind) if one is not type(None))
    if is_dataclass(kind):
        if not isinstance(value, dict):
            raise UsageError(f"{where} is {value!r}; it is a table")
        return made(kind, value, where)  # type: ignore[arg-type]
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise UsageError(f"{where} is {value!r}; it is a list")
        return tuple(fitted(one, get_args(kind)[0], f"{where}[{at}]") for at, one in enumerate(value))
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise UsageError(f"{where} is {value!r}; it is one of {', '.join(map(repr, get_args(kind)))}")
        return value
    return _plain(value, kind, where)


def _plain(value: Any, kind: Any, where: str) -> Any:
    plain = get_origin(kind) or kind
    if not isinstance(value, plain) or (plain is int and isinstance(value, bool)):
        raise UsageError(f"{where} is {value!r}; it is of type {plain.__name__}")
    return value
