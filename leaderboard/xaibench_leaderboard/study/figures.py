"""Drawings of a study as SVG: intervals beside the paper's figures, and the critical difference. No film in any."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure

from xaibench_leaderboard.study.sources import critical
from xaibench_leaderboard.wording import number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from xaibench_leaderboard.ranking import CriticalDifference
    from xaibench_leaderboard.study.comparison import Filled, Line
    from xaibench_leaderboard.study.plan import Study
    from xaibench_leaderboard.study.sources import Done

OURS, PAPER, GREY = "#1b6ca8", "#c2410c", "#888888"
MOST_LINES = 40


def draw(study: Study, tables: Sequence[Filled], done: Mapping[str, Done], folder: Path) -> list[tuple[str, str]]:
    """File names and captions of what could be drawn."""
    drawn: list[tuple[str, str]] = []
    lines = [line for one in tables for line in one.lines if line.paper is not None and _unit(line)]
    if lines:
        count = f"{min(len(lines), MOST_LINES)} of {len(lines)}"
        told = f"Ours, with 95 % intervals over patients, beside {count} figures of the paper (see the tables)"
        drawn.append((save(_intervals(lines[:MOST_LINES]), folder / "compared.svg"), told))
    for table in tables:
        if table.table.kind == "ranks" and (test := critical(done[table.table.parts[0]])):
            told = f"Mean ranks by accuracy over {test.blocks} folds; under one bar nobody differs (Nemenyi, 5 %)"
            drawn.append((save(_ranks(test), folder / "ranks.svg"), told))
            break
    return drawn


def _unit(line: Line) -> bool:
    """Whether a figure is a share, and so fits on one axis with the others."""
    found = line.ours.estimate
    return bool(found and found.low is not None and line.paper is not None and 0 <= line.paper <= 1 and found.mean <= 1)


def _intervals(lines: Sequence[Line]) -> Figure:
    figure = Figure(figsize=(8, 0.8 + 0.22 * len(lines)), layout="constrained")
    axes = figure.subplots()
    for at, line in enumerate(reversed(lines)):
        found = line.ours.estimate
        if found is None or found.low is None or found.high is None:
            continue
        axes.plot([found.low, found.high], [at, at], color=OURS, linewidth=1.5)
        axes.plot([found.mean], [at], "o", color=OURS, markersize=4)
        axes.plot([line.paper or 0.0], [at], "d", color=PAPER, markersize=4)
    names = [f"{line.row} · {line.measure.replace('_', ' ')} · {line.part}" for line in reversed(lines)]
    axes.set_yticks(range(len(lines)), names, fontsize=7)
    axes.set_xlim(0, 1)
    axes.grid(axis="x", color=GREY, alpha=0.3)
    axes.set_xlabel("circle and bar: ours; diamond: the paper's", fontsize=8)
    return figure


def _ranks(test: CriticalDifference) -> Figure:
    """Demšar's diagram: a line of ranks, names below, bars over those that do not differ."""
    count = len(test.explainers)
    figure = Figure(figsize=(7, 1.2 + 0.3 * count), layout="constrained")
    axes = figure.subplots()
    axes.set_xlim(0.8, count + 0.2)
    axes.set_ylim(-count - 0.5, 2.2)
    axes.axis("off")
    axes.plot([1, count], [0, 0], color="black")
    for rank in range(1, count + 1):
        axes.plot([rank, rank], [0, 0.15], color="black")
        axes.text(rank, 0.25, str(rank), ha="center", fontsize=8)
    for at, (name, mean) in enumerate(zip(test.explainers, test.mean_ranks, strict=True), 1):
        axes.plot([mean, mean], [0, -at], color=GREY, linewidth=0.8)
        clear = {"facecolor": "white", "linewidth": 0, "pad": 0.6}  # of the lines that go further down
        axes.text(mean, -at - 0.05, f"{name} {number(mean)}", ha="center", va="top", fontsize=8, bbox=clear)
    _bars(axes, test)
    return figure


def _bars(axes: Axes, test: CriticalDifference) -> None:
    for at, (first, last) in enumerate(test.bars):
        ends = [test.mean_ranks[first] - 0.04, test.mean_ranks[last] + 0.04]
        axes.plot(ends, [-0.25 - 0.2 * at] * 2, color=OURS, linewidth=3)
    axes.plot([1, 1 + test.distance], [1.6, 1.6], color=PAPER, linewidth=2)
    told = f"critical difference {number(test.distance)}; Friedman {number(test.statistic)}, p = {number(test.p)}"
    axes.text(1, 1.75, told, fontsize=8)


def save(figure: Figure, path: Path) -> str:
    """The same drawing, the same file: no date, and no names drawn at random."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": "xaibench", "svg.fonttype": "none"}):
        figure.savefig(path, metadata={"Date": None})
    return path.name
