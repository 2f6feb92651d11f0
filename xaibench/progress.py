"""What a person sees while a run goes on: bars with a time to go on a terminal, one plain line per event elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Literal, Protocol

import click

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from xaibench.contracts import Outcome

Style = Literal["auto", "rich", "plain", "none"]


class Progress(Protocol):
    """How a run reports. Everything goes to stderr: stdout belongs to results."""

    def __enter__(self) -> Progress:
        """Start showing."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""

    def say(self, text: str) -> None:
        """One line."""

    def step(self, what: str, done: int, total: int) -> None:
        """Long work such as a training has come this far."""

    def start(self, total: int) -> None:
        """So many cells are to come."""

    def finished(self, outcome: Outcome) -> None:
        """One cell has ended."""


def choose(style: Style) -> Progress:
    """The progress that fits where the output goes."""
    if style == "none":
        return Silent()
    if style == "rich" or (style == "auto" and sys.stderr.isatty()):
        return Bars()
    return Lines()


def line_of(outcome: Outcome) -> str:
    """A finished cell in one line."""
    labels = outcome.cell.labels
    names = [labels[name] for name in ("task", "model", "explainer", "metric") if labels.get(name)]
    extras = [labels[name] for name in ("variant",) if labels.get(name)]
    took = "cached" if outcome.cached else f"{outcome.seconds:.1f} s"
    reason = f"  {outcome.reason}" if outcome.reason else ""
    return f"{outcome.status:<11} {outcome.cell.kind:<7} {' · '.join(names + extras)}  {took}{reason}"


class Silent:
    """Says nothing."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def say(self, text: str) -> None:
        """Nothing."""

    def step(self, what: str, done: int, total: int) -> None:
        """Nothing."""

    def start(self, total: int) -> None:
        """Nothing."""

    def finished(self, outcome: Outcome) -> None:
        """Nothing."""


class Lines:
    """One plain line per finished cell; long work speaks at every tenth of the way."""

    def __init__(self) -> None:
        self._done = self._total = 0
        self._started: dict[str, float] = {}
        self._last: dict[str, int] = {}

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def say(self, text: str) -> None:
        """One line on stderr."""
        click.echo(text, err=True)

    def step(self, what: str, done: int, total: int) -> None:
        """A line at every tenth of the way, with the time to go."""
        work = what.partition(":")[0]
        last, self._last[work] = self._last.get(work, done), done
        if done < last or work not in self._started:  # it begins, or another of the same name does
            self._started[work], last = time.monotonic(), 0
        started = self._started[work]
        if (tenth := 10 * done // max(total, 1)) > 10 * last // max(total, 1):
            left = (time.monotonic() - started) * (total - done) / max(done, 1)
            self.say(f"[{10 * tenth:3d} %] {what}  about {left:.0f} s to go")

    def start(self, total: int) -> None:
        """Count cells from here."""
        self._done, self._total = 0, total

    def finished(self, outcome: Outcome) -> None:
        """The line of one cell."""
        self._done += 1
        width = len(str(self._total))
        self.say(f"[{self._done:{width}d}/{self._total}] {line_of(outcome)}")


class Bars:
    """Rich bars with a time to go."""

    def __init__(self) -> None:
        # rich takes as long to import as everything else together, and most verbs never show a bar.
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._rich: RichProgress = RichProgress(*columns, console=Console(stderr=True))
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Bars:
        self._rich.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._rich.stop()

    def say(self, text: str) -> None:
        """One line above the bars."""
        self._rich.console.print(text, markup=False, highlight=False)

    def step(self, what: str, done: int, total: int) -> None:
        """Move the bar of this work."""
        self._bar(what.partition(":")[0], what, done, total)

    def start(self, total: int) -> None:
        """Show the bar of all cells."""
        self._bar("cells", "cells", 0, total)

    def finished(self, outcome: Outcome) -> None:
        """Move the bar of all cells; what went wrong gets a line of its own."""
        if outcome.status != "ok":
            self.say(line_of(outcome))
        self._rich.advance(self._tasks["cells"])
        self._rich.update(self._tasks["cells"], description=f"{outcome.cell.kind} {outcome.cell.labels['model']}")

    def _bar(self, name: str, text: str, done: int, total: int) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._rich.add_task(text, total=total)
        self._rich.update(self._tasks[name], completed=done, total=total, description=text)
