"""What a look at a dataset's files found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from xaibench_tasks.sources import Source

Level = Literal["error", "warning", "note"]
Inspect: TypeAlias = "Callable[[Source], Report]"


@dataclass(frozen=True)
class Finding:
    """One irregularity. Errors make the data unusable, warnings may change results, notes are good to know."""

    level: Level
    where: str  # file, or file:line
    what: str


@dataclass(frozen=True)
class Report:
    """Counts found beside those published, and every irregularity."""

    task: str
    found: Mapping[str, int] = field(default_factory=dict)
    published: Mapping[str, int] = field(default_factory=dict)  # a key of `found`, where a count was published
    findings: tuple[Finding, ...] = ()

    def level(self, level: Level) -> list[Finding]:
        """The findings of one level."""
        return [finding for finding in self.findings if finding.level == level]

    def deviations(self) -> dict[str, tuple[int, int]]:
        """Counts that are not the published ones: found, published."""
        pairs = {name: (self.found.get(name, 0), wanted) for name, wanted in self.published.items()}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def exit_code(self) -> int:
        """2 if the data cannot be used."""
        return 2 if self.level("error") else 0

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {**asdict(self), "deviations": self.deviations(), "ok": not self.level("error")}
