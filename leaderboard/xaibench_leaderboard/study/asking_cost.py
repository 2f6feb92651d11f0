"""What an explanation costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xaibench_leaderboard.study.answering import NOT_RUN, Answer, Grid, counted, listed, measured
from xaibench_leaderboard.study.places import REFERENCES, tried
from xaibench_leaderboard.study.sources import explained
from xaibench_leaderboard.wording import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xaibench_leaderboard.statistics import Estimate
    from xaibench_leaderboard.study.places import Place, Studies

    Costs = tuple[Place, str, Estimate | None, Estimate | None]

FIGURES = ("seconds", "forward-samples")
IN_PAPERS = ("gradcam", "gradcam++", "scorecam", "kernel-shap", "lime")


def cost(studies: Studies) -> Answer:
    """Seconds and passes of one explanation."""
    question = "What does each cost?"
    every: dict[tuple[str, str], Costs] = {}  # the first place that has a figure counts
    for place, done in tried(studies):
        for name in done.rows("explainer", place.model):
            time, passes = (explained(done, place.model, name, figure) for figure in FIGURES)
            if name not in REFERENCES and (time or passes):
                every.setdefault((place.name, name), (place, name, time, passes))
    known = list(every.values())
    if not known:
        return Answer(question, NOT_RUN)
    first = [one for one in known if one[1] in IN_PAPERS]
    rest = [one for one in known if one[1] not in IN_PAPERS]
    grids = [_grid(first, ""), _grid(rest, f"All other explainers ({len(rest)} rows)")]
    return Answer(question, _told(known), tuple(grid for grid in grids if grid.rows))


def _grid(costs: Sequence[Costs], fold: str) -> Grid:
    rows = tuple(
        (place.name, name, measured(passes), _middle(time), measured(time)) for place, name, time, passes in costs
    )
    heads = ("data and network", "explainer", "images passed forward per map", "seconds per map, median", "mean")
    note = (
        "Seconds depend on the machine and on what else it does; how many images pass the network does not. "
        f"{counted([one for _, _, *both in costs for one in both])}"
    )
    return Grid(heads, rows, note, tuple(dict.fromkeys(place.source for place, *_ in costs)), fold)


def _middle(time: Estimate | None) -> str:
    return "-" if time is None or time.median is None else number(time.median)


def _told(costs: Sequence[Costs]) -> str:
    """By passes, which no machine changes."""
    spans: dict[str, list[float]] = {}
    for _, name, _, passes in costs:
        spans.setdefault(name, []).extend([passes.mean] if passes else [])
    groups: dict[str, list[str]] = {}
    for name, counts in sorted(spans.items(), key=lambda one: max(one[1], default=0.0)):
        if counts:
            ends = list(dict.fromkeys(f"{count:,.0f}" for count in (min(counts), max(counts))))
            groups.setdefault(" to ".join(ends), []).append(f"`{name}`")
    clauses = "; ".join(f"{count} for {listed(names)}" for count, names in groups.items())
    return f"**Images passed through the network for one map: {clauses}.**" if clauses else "Seconds, by explainer."
