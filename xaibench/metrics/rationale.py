"""Is what the map highlights necessary, and is it enough?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xaibench.contracts import Curved, MetricCard
from xaibench.errors import UsageError
from xaibench.infills import Infill
from xaibench.metrics.removal import Removal, fitted
from xaibench.metrics.responses import Output, checked_output

if TYPE_CHECKING:
    from xaibench.contracts import Case, Scores
    from xaibench.metrics.removal import Counts

PERCENTAGES = "1,5,10,20,50"


def _card(name: str, summary: str, **others: Any) -> MetricCard:
    return MetricCard(
        name=name,
        summary=summary,
        paper="ERASER: A Benchmark to Evaluate Rationalized NLP Models (DeYoung et al., 2020)",
        family="faithfulness",
        lowest=-1.0,
        needs=frozenset({"model"}),
        curve=tuple(_shares(name, PERCENTAGES).tolist()),
        curve_axis="share of pixels highlighted",
        default=False,
        **others,
    )


def _shares(metric: str, percentages: str) -> Scores:
    try:
        shares = np.array([float(text) / 100 for text in str(percentages).split(",")])
    except ValueError:
        shares = np.array([np.nan])
    if not ((shares > 0) & (shares <= 1)).all():
        raise UsageError(
            f"{metric}: percentages is {percentages!r}; give numbers above 0, up to 100, separated by commas, "
            f'such as "{PERCENTAGES}".'
        )
    return shares


class _Rationale:
    """What the output loses, averaged over rationales of several sizes."""

    card: MetricCard

    def __init__(self, percentages: str = PERCENTAGES, infill: str = "mean", output: str = "probability") -> None:
        self.parts = _shares(self.card.name, percentages)
        self.infill = Infill(infill)
        self.output: Output = checked_output(self.card.name, output)
        self.card = fitted(self.card, self.parts, self.output)

    def score(self, case: Case) -> Curved:
        """One value per image, and its curve."""
        removal = Removal(case, self.infill)
        counts = removal.counts(self.parts)
        untouched = removal.without_top(np.zeros_like(counts[:, :1]), self.output)
        curves = untouched - self.left(removal, counts)
        return Curved(curves.mean(axis=1), curves)

    def left(self, removal: Removal, counts: Counts) -> Scores:
        """What is left of the output [B, T]."""
        raise NotImplementedError


class Comprehensiveness(_Rationale):
    """What the output loses without the most relevant pixels: are they necessary?"""

    card = _card(
        "comprehensiveness",
        "What the output of the class loses without the most relevant pixels, on average over several shares",
        higher_is_better=True,
        worst=-1.0,
    )

    def left(self, removal: Removal, counts: Counts) -> Scores:
        """Output [B, T] without them."""
        return removal.without_top(counts, self.output)


class Sufficiency(_Rationale):
    """What the output loses with nothing but the most relevant pixels: are they enough?"""

    card = _card(
        "sufficiency",
        "What the output of the class loses with the most relevant pixels alone, on average over several shares",
        higher_is_better=False,
        worst=1.0,
    )

    def left(self, removal: Removal, counts: Counts) -> Scores:
        """Output [B, T] of them alone."""
        return removal.only_top(counts, self.output)
