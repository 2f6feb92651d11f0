"""Where the time of a run goes, by the clock on the wall."""

from __future__ import annotations

import time


class Phases:
    """Seconds by phase. What was spent since the last phase ended belongs to the one that ends now."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.monotonic()

    def ended(self, name: str) -> None:
        """It may end several times: its parts add up."""
        now = time.monotonic()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now

    def __str__(self) -> str:
        told = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.seconds.items())
        return f"time: {told}; {sum(self.seconds.values()):.1f} s in all"
