"""How a question is answered: rows of figures, and a reading that follows from their intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from xaibench_leaderboard.study.rendering import told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xaibench_leaderboard.statistics import Estimate

NOT_RUN = "Not answered: the runs that would tell have not been made."


@dataclass(frozen=True)
class Answer:
    """A question, what is to be read from the figures, and the figures."""

    question: str
    reading: str
    headings: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    caption: str = ""

    def grid(self) -> str:
        """A table in Markdown; nothing if there are no rows."""
        if not self.rows:
            return ""
        lines = [self.headings, ("---",) * len(self.headings), *self.rows]
        return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def sign(estimate: Estimate | None) -> str:
    """Which way a difference goes, if that can be told."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return "not measured"
    if estimate.low > 0:
        return "more"
    return "less" if estimate.high < 0 else "cannot be told"


def counted(estimates: Sequence[Estimate | None]) -> str:
    """How many images and patients stand behind a table."""
    known = [one for one in estimates if one and one.patients]
    if not known:
        return "n = 0"
    images, patients = [one.images for one in known], [one.patients for one in known]
    return f"n = {_span(images)} images of {_span(patients)} patients"


def _span(counts: Sequence[int]) -> str:
    return " to ".join(map(str, sorted({min(counts), max(counts)})))


def measured(estimate: Estimate | None) -> str:
    """A figure with its interval, or a dash."""
    return told(estimate)
