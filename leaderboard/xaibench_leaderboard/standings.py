"""From panels to rankings.

Within a metric explainers are ranked by their means; a family's rank is the mean over its metrics, and the mean rank is
the weighted mean over families, so that ten overlap metrics count no more than one measure of stability. Places have
intervals because all of it is done again for every bootstrap draw of the patients.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from xaibench_leaderboard.board import boards_of
from xaibench_leaderboard.comparisons import (
    agreement,
    agreement_of_boards,
    critical_difference,
    pairwise,
    pareto,
    ranked,
)
from xaibench_leaderboard.panel import PANEL, Panel, panels_of
from xaibench_leaderboard.ranking import Ranking, Rankings, Standing, Unranked
from xaibench_leaderboard.remembering import per_results
from xaibench_leaderboard.statistics import LEVEL, replicated, resamples
from xaibench_leaderboard.weights import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from xaibench.contracts import Results
    from xaibench_leaderboard.board import Board
    from xaibench_leaderboard.panel import Measure
    from xaibench_leaderboard.ranking import Pareto
    from xaibench_leaderboard.statistics import Doubles

DRAWS = 500  # for places, which are whole numbers; a mean has a thousand
DIGITS = 9  # of a mean rank: beyond these, equals differ by the order of their sums
PATIENTS, BOARDS = "patients", "boards"


@dataclass(frozen=True, eq=False)
class Ranked:
    """Mean ranks of the explainers of one panel, and the same under every draw."""

    panel: Panel
    weights: Mapping[str, float]

    @cached_property
    def families(self) -> tuple[str, ...]:
        """Families in which the panel has a metric."""
        return tuple(dict.fromkeys(one.family for one in self.panel.measures))

    @cached_property
    def by_family(self) -> dict[str, Doubles]:
        """Mean rank of every explainer in each family."""
        return {
            family: _mean_of([ranked(_steady(one.sums.sum(axis=1))) for one in self._of(family)])
            for family in self.families
        }

    @cached_property
    def means(self) -> Doubles:
        """Mean rank of every explainer."""
        return _weighted(self.by_family, self.weights) if self.families else np.ones(len(self.panel.explainers))

    @cached_property
    def drawn(self) -> Doubles:
        """The same under every draw [replicates, explainers]."""
        draws = resamples(self.panel.patients)[:DRAWS]
        shape = (len(draws), len(self.panel.explainers))
        counted = [family for family in self.families if self.weights.get(family, 0.0)]
        ranks = {family: np.zeros(shape) for family in counted}
        for family in counted:
            for one in (measures := self._of(family)):
                ranks[family] += ranked(_drawn(one, draws)) / len(measures)
        return _weighted(ranks, self.weights) if counted else np.zeros(shape)

    @cached_property
    def blocks(self) -> Doubles:
        """Mean ranks within each patient [patients, explainers], over the metrics that apply to her images."""
        total = np.zeros((len(self.panel.patients), len(self.panel.explainers)))
        weight = np.zeros((len(self.panel.patients), 1))
        for family in self.families:
            sums, counts = np.zeros_like(total), np.zeros_like(weight)
            for one in self._of(family):
                seen = one.sizes > 0
                sums[seen] += ranked(_steady(one.sums[:, seen] / one.sizes[seen]).T)
                counts[seen] += 1
            own = self.weights.get(family, 0.0) * (counts > 0)
            total += own * np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
            weight += own
        kept = weight[:, 0] > 0
        blocks: Doubles = np.round(total[kept] / weight[kept], DIGITS)
        return blocks

    def only(self, explainers: tuple[str, ...]) -> Ranked:
        """Some of the explainers, ranked among themselves."""
        return self if explainers == self.panel.explainers else Ranked(self.panel.only(explainers), self.weights)

    def _of(self, family: str) -> list[Measure]:
        return [one for one in self.panel.measures if one.family == family]


def rankings_of(results: Results, weights: Mapping[str, float] = DEFAULT) -> Rankings:
    """Every ranking of the results."""
    return _rankings(results, tuple(weights.items()))


@per_results
def _rankings(results: Results, weighed: tuple[tuple[str, float], ...]) -> Rankings:
    weights, boards = dict(weighed), boards_of(results)
    found = [Ranked(panel, weights) for panel in panels_of(results)]
    each = tuple(_ranking(one, _boards_of(one.panel, boards)) for one in found)
    return Rankings(_overall(found, boards, weights), each)


def _boards_of(panel: Panel, boards: Iterable[Board]) -> list[Board]:
    return [board for board in boards if all(board.labels[name] == panel.labels[name] for name in PANEL)]


def _ranking(found: Ranked, boards: Sequence[Board]) -> Ranking:
    panel, weights = found.panel, found.weights
    enough = len(panel.patients) > 1
    standings = _standings(panel.explainers, found.means, found.drawn if enough else None, found.by_family)
    scores = found.blocks
    return Ranking(
        labels=panel.labels,
        weights={family: weights.get(family, 0.0) for family in found.families},
        metrics={f: tuple(m.column.label for m in panel.measures if m.family == f) for f in found.families},
        standings=_with_quality(standings, _qualities(boards, weights)),
        unranked=panel.unranked,
        notes=(*panel.notes, *_notes(panel, found)),
        limited=panel.limited,
        patients=len(panel.patients),
        critical=critical_difference(panel.explainers, scores, PATIENTS),
        pairwise=pairwise(panel.explainers, scores, PATIENTS),
        agreement=agreement([one.column.label for one in panel.measures], _goodness(panel)),
        pareto=_paretos(found),
    )


def _standings(
    explainers: Sequence[str], means: Doubles, drawn: Doubles | None, families: Mapping[str, Doubles]
) -> list[Standing]:
    """In the order of mean ranks, then of names."""
    means = np.round(means, DIGITS)
    order = sorted(range(len(explainers)), key=lambda at: (means[at], explainers[at]))
    places, ties = ranked(means), _ties(order, drawn)
    lows, highs = _place_intervals(drawn) if drawn is not None else (None, None)
    return [
        Standing(
            explainer=explainers[at],
            place=float(places[at]),
            low=None if lows is None else int(lows[at]),
            high=None if highs is None else int(highs[at]),
            tied=ties[at],
            mean_rank=float(means[at]),
            families={family: float(ranks[at]) for family, ranks in families.items()},
            quality=None,
        )
        for at in order
    ]


def _place_intervals(drawn: Doubles) -> tuple[Doubles, Doubles]:
    """The places within which 95 % of the draws put each explainer, rounded outwards."""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(ranked(np.round(drawn, DIGITS)), [tail, 1 - tail], axis=0)
    return np.floor(low), np.ceil(high)


def _ties(order: Sequence[int], drawn: Doubles | None) -> dict[int, int]:
    """Number the groups: a new one begins with who is clearly worse than the first of the last."""
    groups: dict[int, int] = {}
    first = order[0] if order else 0
    for at in order:
        worse = drawn is not None and np.quantile(drawn[:, at] - drawn[:, first], (1 - LEVEL) / 2) > 0
        first = at if worse else first
        groups[at] = len({*groups.values()}) + bool(worse or not groups)
    return groups


def _overall(every: Sequence[Ranked], boards: Sequence[Board], weights: Mapping[str, float]) -> Ranking | None:
    """Over the boards that can be taken together, for the explainers that are ranked on all of these."""
    panels = [one.panel for one in every]
    chosen, notes = _comparable(panels)
    common = set.intersection(*(set(panel.explainers) for panel in chosen)) if chosen else set()
    if len(chosen) < 2 or not common:
        return None
    names = tuple(sorted(common))
    found = [one.only(names) for one in every if one.panel in chosen]
    scores = np.round([one.means for one in found], DIGITS)
    families = dict.fromkeys(family for one in found for family in one.families)
    drawn = sum(one.drawn for one in found) / len(found)
    by_family = {
        family: _mean_of([one.by_family[family] for one in found if family in one.by_family]) for family in families
    }
    standings = _standings(names, scores.mean(axis=0), np.asarray(drawn), by_family)
    used = [board for panel in chosen for board in _boards_of(panel, boards)]
    agreements = [agreement([m.column.label for m in one.panel.measures], _goodness(one.panel)) for one in found]
    return Ranking(
        labels={},
        weights={family: weights.get(family, 0.0) for family in families},
        metrics={f: tuple(dict.fromkeys(m.column.label for one in found for m in one._of(f))) for f in families},
        standings=_with_quality(standings, _qualities(used, weights)),
        unranked=_not_everywhere(panels, chosen, names),
        notes=tuple(notes),
        limited=any(panel.limited for panel in chosen),
        patients=len(chosen),
        critical=critical_difference(names, scores, BOARDS),
        pairwise=pairwise(names, scores, BOARDS),
        agreement=agreement_of_boards([one for one in agreements if one]),
        pareto=(),
    )


def _comparable(panels: Sequence[Panel]) -> tuple[list[Panel], list[str]]:
    """The boards with one target and precision, the full ones among them if there are any; and what is left out."""
    ranking = [panel for panel in panels if panel.explainers and panel.measures]
    kinds = Counter((panel.labels["target"], panel.labels["precision"]) for panel in ranking)
    if not kinds:
        return [], []
    target, precision = min(kinds, key=lambda kind: (-kinds[kind], kind))
    alike = [one for one in ranking if (one.labels["target"], one.labels["precision"]) == (target, precision)]
    full = [panel for panel in alike if not panel.limited] or alike
    notes = [f"{_name(panel)} is left out: nobody can be ranked there" for panel in panels if panel not in ranking]
    notes += [f"{_name(panel)} is left out: another target or precision" for panel in ranking if panel not in alike]
    notes += [f"{_name(panel)} is left out: a limited run" for panel in alike if panel not in full]
    return full, notes


def _name(panel: Panel) -> str:
    return f"{panel.labels['model']} on {panel.labels['task']}"


def _not_everywhere(panels: Sequence[Panel], chosen: Sequence[Panel], names: Sequence[str]) -> tuple[Unranked, ...]:
    """Who is missing over all, and where it was not ranked."""
    everyone = sorted(
        {name for panel in panels for name in (*panel.explainers, *(one.explainer for one in panel.unranked))}
        - {*names}
    )
    return tuple(
        Unranked(name, f"not ranked on {', '.join(_name(panel) for panel in chosen if name not in panel.explainers)}")
        for name in everyone
    )


def _notes(panel: Panel, found: Ranked) -> list[str]:
    """What a reader must know of the ranking itself."""
    notes = []
    if panel.limited:
        notes.append("this run was limited: it is no part of a ranking over full boards")
    if panel.explainers and not panel.measures:
        notes.append("no metric is left to rank by")
    elif panel.explainers and not any(found.weights.get(family, 0.0) for family in found.families):
        notes.append("every family that was measured has weight 0: all share one place")
    if len(panel.patients) == 1:
        notes.append("one patient: places have no intervals, and nobody can be told apart")
    if 0 < len(panel.explainers) < 3:
        notes.append("Friedman's test needs three explainers")
    return notes


def _paretos(found: Ranked) -> tuple[Pareto, ...]:
    """Mean rank over what is no cost, against each cost."""
    quality = {family: weight for family, weight in found.weights.items() if family != "cost"}
    costs = [one for one in found.panel.measures if one.family == "cost"]
    if not any(quality.get(family) for family in found.families):
        return ()
    ranks = _weighted(found.by_family, quality).tolist()
    return tuple(
        pareto(
            one.column.label, str(one.column.card.get("unit", "")), found.panel.explainers, ranks, one.means.tolist()
        )
        for one in costs
    )


def _qualities(boards: Sequence[Board], weights: Mapping[str, float]) -> dict[str, float]:
    """Weighted mean over families of the normalised scores, for whoever has one in every family that has any."""
    scores: dict[str, dict[str, list[float]]] = {}
    for board in boards:
        for row in board.methods:
            for column, score in zip(board.columns, row.scores, strict=True):
                family = str(column.card.get("family", ""))
                if score and score.normalised is not None and weights.get(family, 0.0):
                    scores.setdefault(row.explainer, {}).setdefault(family, []).append(score.normalised)
    families = {family for found in scores.values() for family in found}
    return {
        name: sum(weights[family] * sum(own[family]) / len(own[family]) for family in sorted(families))
        / sum(weights[family] for family in sorted(families))
        for name, own in scores.items()
        if own.keys() == families
    }


def _with_quality(standings: Iterable[Standing], qualities: Mapping[str, float]) -> tuple[Standing, ...]:
    return tuple(replace(one, quality=qualities.get(one.explainer)) for one in standings)


def _goodness(panel: Panel) -> Doubles:
    """Means [metrics, explainers] of which more is better."""
    means = [_steady(-one.sums.sum(axis=1)) for one in panel.measures]
    return np.array(means).reshape(len(means), len(panel.explainers))


def _drawn(measure: Measure, draws: Doubles) -> Doubles:
    """Means [replicates, explainers] under every draw."""
    sizes = np.broadcast_to(measure.sizes, measure.sums.shape)
    return _steady(replicated(measure.sums, sizes, draws).T)


def _steady(values: Doubles) -> Doubles:
    """Scores, however large or small, without the last bits, in which equals differ by the order of their sums."""
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0:
        return values
    steady: Doubles = np.round(values / largest, 11) * largest
    return steady


def _mean_of(ranks: Sequence[Doubles]) -> Doubles:
    mean: Doubles = np.mean(np.array(ranks), axis=0)
    return mean


def _weighted(families: Mapping[str, Doubles], weights: Mapping[str, float]) -> Doubles:
    """Weighted mean over families; with all weights 0 everybody is equal."""
    total = sum(weights.get(family, 0.0) for family in families)
    summed = sum((weights.get(family, 0.0) * ranks for family, ranks in families.items()), start=np.zeros(()))
    shape = np.broadcast_shapes(*(ranks.shape for ranks in families.values()))
    mean: Doubles = np.broadcast_to(summed, shape) / total if total else np.ones(shape)
    return mean
