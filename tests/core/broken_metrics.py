"""Metrics that must not be believed, each for another reason, and sound ones to compare with."""

import numpy as np

from xaibench.contracts import MetricCard


def card(name, **more):
    return MetricCard(name=name, summary=name, family="localisation", higher_is_better=True, **more)


class IgnoresTheMap:
    card = card("ignores-the-map")

    def score(self, case):
        return case.masks.mean(axis=(1, 2))


class RewardsArea:
    card = card("rewards-area")

    def score(self, case):
        return (case.maps > 0.5).mean(axis=(1, 2))


class RewardsSmallness:
    card = card("rewards-smallness")

    def score(self, case):
        return 1 - (case.maps > 0.5).mean(axis=(1, 2))


class DependsOnNeighbours:
    card = card("depends-on-neighbours")

    def score(self, case):
        share = (case.raw * case.masks).sum(axis=(1, 2)) / case.raw.sum(axis=(1, 2))
        return share * case.raw.max(axis=(1, 2)) / case.raw.max()


class BreaksTiesByPosition:
    card = card("breaks-ties-by-position")

    def score(self, case):
        return [mask.flat[one.argmax()] * 1.0 for one, mask in zip(case.maps, case.masks, strict=True)]


class DependsOnTheDay:
    card = card("depends-on-the-day")
    day = 0

    def score(self, case):
        type(self).day += 1
        return energy(case) * (1 + 1e-3 * self.day) / 2


class LeavesItsRange:
    card = card("leaves-its-range")

    def score(self, case):
        return 2 * energy(case)


class ForgivesFailure:
    card = card("forgives-failure", worst=1.0)

    def score(self, case):
        return energy(case)


class Raises:
    card = card("raises")

    def score(self, case):
        raise KeyError("lesion")


class Backwards:
    card = MetricCard(name="backwards", summary="backwards", family="localisation", higher_is_better=False, worst=1.0)

    def score(self, case):
        return energy(case)


class Sound:
    card = card("sound")

    def score(self, case):
        return energy(case)


class SoundLoss:
    card = MetricCard(name="sound-loss", summary="loss", family="localisation", higher_is_better=False, worst=1.0)

    def score(self, case):
        return 1 - energy(case)


def energy(case):
    return (case.maps * case.masks).sum(axis=(1, 2)) / case.maps.sum(axis=(1, 2), dtype=np.float64)
