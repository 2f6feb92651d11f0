"""How a question is answered: a finding in words, and the figures that it is read from."""

from __future__ import annotations

import html
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xaibench_leaderboard.statistics import ROUNDING
from xaibench_leaderboard.study.paired import NOT_MEASURED, UNTOLD
from xaibench_leaderboard.study.rendering import told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xaibench_leaderboard.statistics import Estimate

NOT_RUN = "Not answered: the runs that would tell have not been made."
GUESSING = "not to be judged"
FAILS = "not to be read: on these data the measure fails its audit"
FEW = 20  # patients: below it an interval from resampling is too narrow, and what it tells is a hint


@dataclass(frozen=True)
class Grid:
    """A table of figures."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""  # what is particular to it, and n
    sources: tuple[tuple[str, str], ...] = ()  # studies and their parts
    fold: str = ""  # a title: the table is shut until a reader opens it

    def shown(self, caption: str) -> str:
        """Markdown, or HTML where it is shut, as no Markdown stands within HTML."""
        if self.fold:
            return self._shut(caption)
        lines = [self.headings, ("---",) * len(self.headings), *self.rows]
        grid = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
        return f"{grid}\n\n*{caption}*"

    def _shut(self, caption: str) -> str:
        lines = [f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in line)}</tr>" for line in self.rows]
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.headings)
        grid = "\n".join([f"<table><thead><tr>{head}</tr></thead><tbody>", *lines, "</tbody></table>"])
        parts = [
            f"<details><summary>{html.escape(self.fold)}</summary>",
            grid,
            f"<p><em>{html.escape(caption)}</em></p>",
        ]
        return "\n".join([*parts, "</details>"])


@dataclass(frozen=True)
class Line:
    """A row, the figures in it, and the part of a study that they are of."""

    cells: tuple[str, ...]
    figures: tuple[Estimate | None, ...]
    source: tuple[str, str]


def parted(headings: tuple[str, ...], lines: Sequence[Line], note: str) -> tuple[Grid, ...]:
    """What can be judged by the last column, and apart, shut, what cannot: there the network may be guessing."""
    judged, rest = ([line for line in lines if (line.cells[-1] == GUESSING) == wanted] for wanted in (False, True))
    title = f"Where the network is not shown to be better than a guess ({len(rest)} rows)"
    return tuple(_grid(headings, some, note, fold) for some, fold in ((judged, ""), (rest, title)) if some)


def _grid(headings: tuple[str, ...], lines: Sequence[Line], note: str, fold: str) -> Grid:
    rows, sources = tuple(line.cells for line in lines), tuple(dict.fromkeys(line.source for line in lines))
    return Grid(headings, rows, f"{note}. {counted([one for line in lines for one in line.figures])}", sources, fold)


@dataclass(frozen=True)
class Answer:
    """A question, what is to be read from the figures, and the figures."""

    question: str
    reading: str
    grids: tuple[Grid, ...] = ()


def sign(estimate: Estimate | None) -> str:
    """Which way a difference goes, if that can be told. Resampling a few images that are all alike tells nothing."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return NOT_MEASURED
    if estimate.low == estimate.high and not firm(estimate):
        return UNTOLD
    if estimate.low > ROUNDING:
        return "more"
    return "less" if estimate.high < -ROUNDING else UNTOLD


def firm(estimate: Estimate | None) -> bool:
    """Whether there are patients enough for more than a hint."""
    return estimate is not None and estimate.patients >= FEW


def hinted(word: str, estimate: Estimate | None) -> str:
    """What is read off few patients is said to be no more than a hint."""
    return word if firm(estimate) or word in (UNTOLD, NOT_MEASURED) else f"{word} (a hint: few patients)"


def counted(estimates: Sequence[Estimate | None]) -> str:
    """How many images and patients stand behind a table."""
    known = [one for one in estimates if one and one.patients]
    if not known:
        return "n = 0"
    images, patients = [one.images for one in known if one.images], [one.patients for one in known]
    return f"n = {_span(images)} images of {_span(patients)} patients" if images else f"n = {_span(patients)} patients"


def _span(counts: Sequence[int]) -> str:
    return " to ".join(map(str, sorted({min(counts), max(counts)})))


def measured(estimate: Estimate | None) -> str:
    """A figure with its interval, or a dash."""
    return told(estimate)


def several(count: int, thing: str) -> str:
    """So many of a thing."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def tally(words: Sequence[str]) -> str:
    """How often each is said, most often first."""
    return ", ".join(f"{count} {word}" for word, count in Counter(words).most_common())


def listed(names: Sequence[str]) -> str:
    """Names in a sentence."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else "none"
