"""What a map costs, whatever it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xaibench.contracts import MetricCard

if TYPE_CHECKING:
    from xaibench.contracts import Case, Scores


def _card(name: str, summary: str, unit: str, default: bool = True) -> MetricCard:
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
        default=default,
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


class PeakBytes:
    """Device memory that the call which made the map took at its peak, beyond what lay there before it.

    A call makes the maps of a whole batch, so the value grows with the batch size. Not measured on a CPU.
    """

    card = _card("peak-bytes", "Device memory at the peak of the call that made the map", "B", default=False)

    def score(self, case: Case) -> Scores:
        """One value per image; undefined where nothing was measured."""
        return _measured(case, case.peak_bytes)


class Overhead:
    """Time of a map over the time that its passes alone would take.

    A pass backward to the pixels is counted as one forward. The bare pass is the fastest batch of the predictions,
    measured on the same machine. At 1 the passes cost all there is; small batches, and work beside the network, add
    to it, and a copy of the network that is faster forward can take from it.
    """

    card = _card("overhead", "Time of a map over that of its bare passes, forward and backward", "", default=False)

    def score(self, case: Case) -> Scores:
        """One value per image; undefined for maps without any pass, and where the bare pass was not measured."""
        passes = (case.forward + case.backward) * _measured(case, case.bare_seconds)
        return np.asarray(case.seconds / np.where(passes > 0, passes, np.nan), dtype=np.float64)


def _measured(case: Case, values: Scores | None) -> Scores:
    return np.full(len(case.maps), np.nan) if values is None else values
