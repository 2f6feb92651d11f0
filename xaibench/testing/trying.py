"""What every trial has, whatever kind of plugin is tried."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from xaibench.testing.watching import Watch

if TYPE_CHECKING:
    from xaibench.testing.subjects import Made, Subject


class Trial:
    """One plugin."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.watch = Watch()

    @cached_property
    def made(self) -> Made:
        """The plugin, its card and parameters."""
        return self.subject.make()

    @property
    def card(self) -> Any:
        """The card as plain values."""
        return self.made.card
