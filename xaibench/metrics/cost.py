"""What a map costs, whatever it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xaibench.contracts import MetricCard

if TYPE_CHECKING:
    from xaibench.contracts import Case, Scores


def _card(name: str, summary: str, unit: str) -> MetricCard:
    return MetricCard(
        name=name,
        summary=summary,
        unit=unit,
        family="cost",
        higher_is_better=False,
        highest=None,
        worst=None,
        uses_map=False,
        claims_quality=False,
    )


class Seconds:
    """Wall time of a map."""

    card = _card("seconds", "Wall time of one map, on this machine, as the share of its batch", "s")

    def score(self, case: Case) -> Scores:
        """One value per image."""
        return case.seconds


class ForwardSamples:
    """Images passed forward through the network for one map: a cost that no hardware changes."""

    card = _card("forward-samples", "Images passed forward through the network for one map", "samples")

    def score(self, case: Case) -> Scores:
        """One value per image."""
        return case.forward


class BackwardSamples:
    """Images passed backward through the network for one map."""

    card = _card("backward-samples", "Images passed backward through the network for one map", "samples")

    def score(self, case: Case) -> Scores:
        """One value per image."""
        return case.backward
