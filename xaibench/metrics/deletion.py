"""How fast the output falls as the relevant pixels go, and how fast it comes as they are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xaibench.contracts import Curved, MetricCard
from xaibench.infills import Infill
from xaibench.metrics.removal import Removal, area, fitted, shares
from xaibench.metrics.responses import Output, checked_count, checked_output

if TYPE_CHECKING:
    from xaibench.contracts import Case, Scores
    from xaibench.metrics.removal import Counts

PAPER = "RISE: Randomized Input Sampling for Explanation of Black-box Models (Petsiuk et al., 2018)"


class _Curve:
    """The output over the share of pixels that is removed or shown, most relevant first."""

    card: MetricCard

    def __init__(self, steps: int = 32, infill: str = "mean", output: str = "probability") -> None:
        self.parts = shares(checked_count(self.card.name, "steps", steps))
        self.infill = Infill(infill)
        self.output: Output = checked_output(self.card.name, output)
        self.card = fitted(self.card, self.parts, self.output)

    def score(self, case: Case) -> Curved:
        """One value per image, and its curve."""
        removal = Removal(case, self.infill)
        counts = removal.counts(self.parts)
        curves = self.curve(removal, counts)
        return Curved(area(curves, counts / removal.pieces[:, None]), curves)

    def curve(self, removal: Removal, counts: Counts) -> Scores:
        """Output [B, T] at these numbers of pixels."""
        raise NotImplementedError


class Deletion(_Curve):
    """Area under the output as the most relevant pixels are replaced, step by step, until none is left.

    The curve of probabilities starts at the untouched image. Where steps do not divide the pixels, the nearest whole
    number of them is removed, and the area is taken over the shares that were.
    """

    card = MetricCard(
        name="deletion",
        dear=True,
        summary="Area under the output of the class as the most relevant pixels are replaced step by step",
        paper=PAPER,
        family="faithfulness",
        higher_is_better=False,
        worst=1.0,
        needs=frozenset({"model"}),
        curve_axis="share of pixels removed",
        curve=tuple(shares(32)),
        profiles={"quick": {"steps": 20}, "paper": {"steps": 224}},
    )

    def curve(self, removal: Removal, counts: Counts) -> Scores:
        """Output [B, T] without so many pixels."""
        return removal.without_top(counts, self.output)


class Insertion(_Curve):
    """Area under the output as the most relevant pixels are shown, step by step, until all are."""

    card = MetricCard(
        name="insertion",
        dear=True,
        summary="Area under the output of the class as the most relevant pixels are shown step by step",
        paper=PAPER,
        family="faithfulness",
        higher_is_better=True,
        needs=frozenset({"model"}),
        curve_axis="share of pixels shown",
        curve=tuple(shares(32)),
        profiles={"quick": {"steps": 20}, "paper": {"steps": 224}},
    )

    def curve(self, removal: Removal, counts: Counts) -> Scores:
        """Output [B, T] of so many pixels alone."""
        return removal.only_top(counts, self.output)
