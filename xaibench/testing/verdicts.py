"""What a check may say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["passed", "failed", "skipped", "expected", "surprise"]

MEANING: dict[Status, str] = {
    "passed": "passed",
    "failed": "failed",
    "skipped": "skipped",
    "expected": "failed, as declared",
    "surprise": "passed, though declared to fail",
}


class Broken(AssertionError):  # noqa: N818  # the name reads as the message does
    """A promise that is not kept: said in words that its author understands."""


class NotAsked(Exception):  # noqa: N818  # no error
    """The promise is not one that this plugin makes."""


@dataclass(frozen=True)
class Verdict:
    """How one check ended."""

    name: str
    promise: str
    status: Status
    reason: str = ""
    seconds: float = 0.0

    @property
    def ran(self) -> bool:
        """Whether the plugin was really tried."""
        return self.status != "skipped"

    @property
    def good(self) -> bool:
        """Whether nothing is to be mended."""
        return self.status not in ("failed", "surprise")
