"""Check the options of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xaibench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


def one_of(name: str, given: str, allowed: Sequence[str]) -> None:
    """Refuse what is not allowed."""
    if given not in allowed:
        raise UsageError(f"{name}={given!r}: give {' or '.join(map(repr, allowed))}")


def between(name: str, given: float, low: float, high: float) -> None:
    """Refuse what is out of range."""
    if not low <= given <= high:
        raise UsageError(f"{name}={given}: give a number from {low} to {high}")
