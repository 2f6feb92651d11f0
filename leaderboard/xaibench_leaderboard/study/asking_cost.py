"""What an explanation costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xaibench_leaderboard.study.answering import NOT_RUN, Answer, Grid, counted, listed
from xaibench_leaderboard.study.places import REFERENCES, tried
from xaibench_leaderboard.study.sources import explained
from xaibench_leaderboard.wording import number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xaibench_leaderboard.statistics import Estimate
    from xaibench_leaderboard.study.places import Place, Studies

    Costs = tuple[Estimate | None, ...]  # one of each figure

FIGURES = ("seconds", "forward-samples", "backward-samples")
UNCOUNTED = "What went back was not counted everywhere."
IN_PAPERS = ("gradcam", "gradcam++", "scorecam", "kernel-shap", "lime")


def cost(studies: Studies) -> Answer:
    """Seconds and passes of one explanation."""
    question = "What does each cost?"
    every: dict[tuple[Place, str], Costs] = {}  # of each figure the first place of a name that has it counts
    for place, done in tried(studies):
        for name in done.rows("explainer", place.model):
            found = tuple(explained(done, place.model, name, figure) for figure in FIGURES)
            if name not in REFERENCES and any(found):
                key = next((one for one in every if (one[0].name, one[1]) == (place.name, name)), (place, name))
                before = every.get(key, (None,) * len(FIGURES))
                every[key] = tuple(one or other for one, other in zip(before, found, strict=True))
    if not every:
        return Answer(question, NOT_RUN)
    first = {key: costs for key, costs in every.items() if key[1] in IN_PAPERS}
    rest = {key: costs for key, costs in every.items() if key not in first}
    grids = [_grid(first, ""), _grid(rest, f"All other explainers ({len(rest)} rows)")]
    return Answer(question, _told(every), tuple(grid for grid in grids if grid.rows))


def _grid(costs: Mapping[tuple[Place, str], Costs], fold: str) -> Grid:
    rows = tuple(
        (place.name, name, _passes(forward), _passes(backward), "-" if time is None else number(time.mean))
        for (place, name), (time, forward, backward) in costs.items()
    )
    heads = ("data and network", "explainer", "images passed forward per map", "and back", "seconds per map, median")
    note = (
        "Seconds depend on the machine and on what else it does; how many images pass the network does not: that is up "
        "to the explainer's settings, and for some to network and film, whose channels or segments they go through. "
        f"{counted([one for both in costs.values() for one in both])}"
    )
    return Grid(heads, rows, note, tuple(dict.fromkeys(place.source for place, _ in costs)), fold)


def _passes(estimate: Estimate | None) -> str:
    return "-" if estimate is None else f"{estimate.mean:,.0f}"


def _told(costs: Mapping[tuple[Place, str], Costs]) -> str:
    """By passes, which no machine changes."""
    spans: dict[str, list[Costs]] = {}
    for (_, name), (_, *passes) in costs.items():
        if passes[0]:
            spans.setdefault(name, []).append(tuple(passes))
    papers, others = (
        _clauses({name: one for name, one in spans.items() if (name in IN_PAPERS) == of}) for of in (True, False)
    )
    told = [f"**Images passed through the network for one map: {papers}.**" if papers else "Seconds, by explainer."]
    told += [f"The others: {others}."] if others else []
    told += [UNCOUNTED] if any(back is None for several in spans.values() for _, back in several) else []
    return " ".join(told)


def _clauses(spans: Mapping[str, Sequence[Costs]]) -> str:
    """Cheap ones first, those that cost the same together."""
    groups: dict[str, list[str]] = {}
    for name, counts in sorted(spans.items(), key=lambda one: max(_sum(both) for both in one[1])):
        forward, back = (_ends([both[at] for both in counts]) for at in (0, 1))
        count = forward if back in ("0", "") else f"{forward} and {back} back"
        groups.setdefault(count, []).append(f"`{name}`")
    return "; ".join(f"{count} for {listed(names)}" for count, names in groups.items())


def _ends(counts: Sequence[Estimate | None]) -> str:
    known = [one.mean for one in counts if one]
    return " to ".join(dict.fromkeys(f"{end:,.0f}" for end in (min(known), max(known)))) if known else ""


def _sum(counts: Costs) -> float:
    return sum(one.mean for one in counts if one)
