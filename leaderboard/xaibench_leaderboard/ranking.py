"""What a ranking says, before anyone draws it: who stands where, how sure that is, and who is not ranked and why.

One ranking per task, model, target and precision (folds together), and one over all of them. `standings.py` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Standing:
    """One ranked explainer. Places count from 1, the best; a smaller mean rank is better."""

    explainer: str
    place: float  # by mean rank; equals share the mean of their places
    low: int | None  # where 95 % of the bootstrap replicates place it; None: too few patients (or boards) to tell
    high: int | None
    tied: int  # the group it is in, 1 the best: nobody in a group is clearly worse than the first of the group
    mean_rank: float  # weighted mean over families
    families: Mapping[str, float]  # mean rank in each family, those of weight 0 included
    quality: float | None  # weighted mean over families of the normalised scores: 0 the floors, 1 the ceiling


@dataclass(frozen=True)
class Unranked:
    """An explainer that is not ranked."""

    explainer: str
    reason: str
    gated: bool = False  # it failed a sanity gate, rather than being incomplete


@dataclass(frozen=True)
class CriticalDifference:
    """Friedman's test over blocks, and the Nemenyi test after it. Names are in the order of their mean ranks."""

    explainers: tuple[str, ...]
    mean_ranks: tuple[float, ...]  # over the blocks: not the mean ranks over families
    blocks: int
    unit: str  # what a block is: "patients", "boards"
    level: float
    statistic: float  # Friedman's chi-square, corrected for ties
    p: float
    distance: float  # mean ranks further apart than this differ
    pairs: tuple[tuple[float, ...], ...]  # Nemenyi's p of each pair
    bars: tuple[tuple[int, int], ...]  # first and last explainer of each bar: nobody under one bar differs


@dataclass(frozen=True)
class Pairwise:
    """Wilcoxon's signed-rank test of each pair over blocks, adjusted by Holm."""

    explainers: tuple[str, ...]
    blocks: int
    unit: str
    p: tuple[tuple[float, ...], ...]  # adjusted; 1 on the diagonal
    better: tuple[tuple[float, ...], ...]  # share of blocks in which the row's explainer beats the column's


@dataclass(frozen=True)
class Agreement:
    """Kendall's tau-b between metrics over the explainers: do they rank alike? None: a metric that tells none apart."""

    metrics: tuple[str, ...]
    tau: tuple[tuple[float | None, ...], ...]
    explainers: int  # how many were compared; over all: the fewest of any board


@dataclass(frozen=True)
class ParetoPoint:
    """An explainer between quality and cost. On the front: nobody is both better and cheaper."""

    explainer: str
    quality: float  # mean rank over the families that are no cost: smaller is better
    cost: float
    front: bool


@dataclass(frozen=True)
class Pareto:
    """Quality against one cost."""

    metric: str
    unit: str
    points: tuple[ParetoPoint, ...]


@dataclass(frozen=True)
class Ranking:
    """A table of places."""

    labels: Mapping[str, str]  # task, model, target, precision; empty: over all
    weights: Mapping[str, float]  # of every family that was measured
    metrics: Mapping[str, tuple[str, ...]]  # family -> the metrics that took part
    standings: tuple[Standing, ...]  # by mean rank, then by name
    unranked: tuple[Unranked, ...]
    notes: tuple[str, ...]  # what a reader must know: metrics left out, limited runs, too few patients
    limited: bool
    patients: int  # that the ranking rests on; over all: boards
    critical: CriticalDifference | None  # None: a note says why
    pairwise: Pairwise | None
    agreement: Agreement | None
    pareto: tuple[Pareto, ...]  # one per cost metric

    @property
    def title(self) -> str:
        """What is ranked."""
        return f"{self.labels['model']} on {self.labels['task']}" if self.labels else "Over all"


@dataclass(frozen=True)
class Rankings:
    """All rankings of a results folder."""

    overall: Ranking | None  # None: fewer than two boards can be ranked together
    each: tuple[Ranking, ...]
