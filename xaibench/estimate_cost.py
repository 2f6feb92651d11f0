"""What is told of a cell before it is done."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Cost:
    """What a cell will take. None: not known, and `how` says why."""

    seconds: float | None = None
    forward: float | None = None  # samples through the network
    backward: float | None = None
    memory: int | None = None  # bytes at the peak: of the process here, of the device for a named GPU
    how: str = ""


@dataclass(frozen=True)
class Row:
    """One cell, or one training, with its cost."""

    kind: str
    labels: dict[str, str]
    key: str | None
    cost: Cost

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {"kind": self.kind, "labels": self.labels, "key": self.key, **asdict(self.cost)}
