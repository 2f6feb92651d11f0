"""Removal with interpolated replacement, which leaks less of a mask's shape and frightens the network less than black.

The number of removed pixels is exact, whatever is tied: on a rectified map that is zero nearly everywhere, a cut at
the value of a percentile would remove everything or nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xaibench.contracts import Curved, MetricCard
from xaibench.infills import Infill
from xaibench.metrics.removal import Removal, fitted, shares
from xaibench.metrics.responses import Output, checked_count, checked_output

if TYPE_CHECKING:
    from xaibench.contracts import Case, Scores


def _inner(steps: int) -> Scores:
    """Equal steps, without nothing and everything: 10 % to 90 % for 9."""
    return shares(steps + 1)[1:-1]


def _card(name: str, summary: str, **others: Any) -> MetricCard:
    return MetricCard(
        name=name,
        summary=summary,
        paper="A Consistent and Efficient Evaluation Strategy for Attribution Methods (Rong et al., 2022)",
        family="faithfulness",
        needs=frozenset({"model"}),
        curve=tuple(_inner(9).tolist()),
        curve_axis="share of pixels removed",
        profiles={"paper": {"output": "accuracy"}},
        dear=True,
        **others,
    )


class _Road:
    """Mean of a curve over the share of removed pixels."""

    card: MetricCard

    def __init__(self, steps: int = 9, infill: str = "noisy-linear", output: str = "probability") -> None:
        self.parts = _inner(checked_count(self.card.name, "steps", steps))
        self.infill = Infill(infill)
        self.output: Output = checked_output(self.card.name, output)
        self.card = fitted(self.card, self.parts, self.output)

    def score(self, case: Case) -> Curved:
        """One value per image, and its curve."""
        curves = self.curve(Removal(case, self.infill))
        return Curved(curves.mean(axis=1), curves)

    def curve(self, removal: Removal) -> Scores:
        """What is read off the network [B, T]."""
        raise NotImplementedError

    def most_relevant_first(self, removal: Removal) -> Scores:
        """Output [B, T] without the most relevant share."""
        return removal.without_top(removal.counts(self.parts), self.output)

    def least_relevant_first(self, removal: Removal) -> Scores:
        """Output [B, T] without the least relevant share."""
        return removal.only_top(removal.pieces[:, None] - removal.counts(self.parts), self.output)


class Road(_Road):
    """How much more is left of the output if the least relevant pixels go than if the most relevant ones do."""

    card = _card(
        "road",
        "Output without the least relevant pixels minus output without the most relevant ones, interpolated",
        higher_is_better=True,
        lowest=-1.0,
        worst=-1.0,
        # Scattered pixels are restored by interpolation: small evidence is told from noise, but not noise from noise.
        default=False,
    )

    def curve(self, removal: Removal) -> Scores:
        """The difference [B, T]."""
        return self.least_relevant_first(removal) - self.most_relevant_first(removal)


class RoadMost(_Road):
    """What is left of the output as the most relevant pixels go."""

    card = _card(
        "road-morf",
        "Output after removal of the most relevant pixels, interpolated: how far it falls",
        higher_is_better=False,
        worst=1.0,
        default=False,
    )

    def curve(self, removal: Removal) -> Scores:
        """Output [B, T]."""
        return self.most_relevant_first(removal)


class RoadLeast(_Road):
    """What is left of the output as the least relevant pixels go."""

    card = _card(
        "road-lerf",
        "Output after removal of the least relevant pixels, interpolated: how well it holds",
        higher_is_better=True,
        # Small evidence is kept to the end by any map that is better than chance: by itself this half cannot rank.
        claims_quality=False,
        default=False,
    )

    def curve(self, removal: Removal) -> Scores:
        """Output [B, T]."""
        return self.least_relevant_first(removal)
