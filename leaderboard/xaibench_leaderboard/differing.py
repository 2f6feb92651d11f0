"""Where two JSON values differ, numbers within rounding apart."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

TOLERANCE = 1e-9


def differences(one: Any, other: Any, where: str = "") -> Iterator[str]:
    """One line per difference, with its place; `one` is what is claimed, `other` what was found."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in dict.fromkeys([*one, *other]):
            yield from _entries(one, other, name, f"{where}.{name}".removeprefix("."))
    elif isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            yield f"{where}: {len(one)} entries are claimed, {len(other)} found"
        for at, (mine, theirs) in enumerate(zip(one, other, strict=False)):
            yield from differences(mine, theirs, f"{where}[{at}]")
    elif not _same(one, other):
        yield f"{where}: claimed {one!r}, found {other!r}"


def _entries(one: dict[str, Any], other: dict[str, Any], name: str, where: str) -> Iterator[str]:
    if name not in other:
        yield f"{where}: claimed, not found"
    elif name not in one:
        yield f"{where}: found, not claimed"
    else:
        yield from differences(one[name], other[name], where)


def _same(one: Any, other: Any) -> bool:
    if _is_number(one) and _is_number(other):
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(one == other and isinstance(one, bool) == isinstance(other, bool))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
