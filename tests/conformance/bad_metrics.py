"""Metrics that break one promise each; every other promise is kept."""

import os
import random

import numpy as np
import torch

from xaibench.contracts import Curved, MetricCard


def card(name, **more):
    values = {"summary": name, "family": "localisation", "higher_is_better": True, "needs": frozenset({"mask"}), **more}
    return MetricCard(name=name, **values)


def energy(case):
    maps = case.maps.astype(np.float64)
    return (maps * case.masks).sum(axis=(1, 2)) / maps.sum(axis=(1, 2))


class Sound:
    card = card("sound")

    def score(self, case):
        return energy(case)


class SoundCurve:
    card = card("sound-curve", curve=(0.2, 0.5, 0.8))

    def score(self, case):
        parts = [(case.maps >= place) for place in self.card.curve]
        curves = np.stack([(part & case.masks).sum(axis=(1, 2)) / part.sum(axis=(1, 2)) for part in parts], axis=1)
        return Curved(curves.mean(axis=1), curves)


class SoundLoss:
    card = card("sound-loss", higher_is_better=False, worst=1.0)

    def score(self, case):
        return 1 - energy(case)


class OddCard(Sound):
    card = card("odd", needs=frozenset({"lesion"}))


class UpsideDownCard(Sound):
    card = card("upside-down", lowest=1.0, highest=0.0, worst=1.0)


class OddVariant(Sound):
    card = card("odd-variant", variants=("seed:one",))


class OddDefault(Sound):
    def __init__(self, levels=frozenset({0.5})):
        self.levels = levels


class OneForAll(Sound):
    def score(self, case):
        return energy(case).mean()


class NeverDefined(Sound):
    def score(self, case):
        return energy(case) * np.nan


class FailingPays(Sound):
    card = card("failing-pays", worst=0.5)


class HidesItsCurve(SoundCurve):
    def score(self, case):
        return super().score(case).values


class ShortCurve(SoundCurve):
    def score(self, case):
        answer = super().score(case)
        return Curved(answer.values, answer.curves[:, 1:])


class LeavesItsRange(Sound):
    def score(self, case):
        return 5 * energy(case)


class DrawsAnew(Sound):
    def score(self, case):
        return energy(case) * np.random.default_rng().random(len(case.maps))


class IgnoresTheMap(Sound):
    card = card("ignores", family="complexity")

    def score(self, case):
        return case.masks.mean(axis=(1, 2))


class SecretlyUsesTheMap(Sound):
    card = card("secretly", uses_map=False)


class ScalesByTheBatch(Sound):
    def score(self, case):
        found = (case.raw.astype(np.float64) * case.masks).sum(axis=(1, 2))
        return energy(case) * found / found.max()


class CountsPlaces(Sound):
    def score(self, case):
        return energy(case) / np.arange(1, len(case.maps) + 1)


class MeansOverTheBatch(Sound):
    def score(self, case):
        return energy(case) / len(case.maps)


class Backwards(Sound):
    card = card("backwards", higher_is_better=False, worst=1.0)


class BreaksTiesByPlace(Sound):
    def score(self, case):
        weights = np.linspace(0.5, 1, case.maps.shape[2])
        return (case.maps * case.masks * weights).sum(axis=(1, 2)) / case.maps.sum(axis=(1, 2), dtype=np.float64)


class FearsFullMasks(Sound):
    def score(self, case):
        outside = (~case.masks).sum(axis=(1, 2))
        if not outside.all():
            raise ZeroDivisionError("no pixel lies outside")
        return energy(case)


class WritesIntoTheCase(Sound):
    def score(self, case):
        values = energy(case)
        case.maps[:] = case.maps > 0.5
        return values


class TrainsTheNetwork(Sound):
    card = card("trains", needs=frozenset({"mask", "model"}))

    def score(self, case):
        next(case.classifier.network.parameters()).requires_grad_()
        return energy(case)


class Prints(Sound):
    def score(self, case):
        print("scoring")
        return energy(case)


class DrawsGlobally(Sound):
    def score(self, case):
        for seed in case.seeds:
            random.seed(seed)
            random.random()  # noqa: S311  # this is the fault
        return energy(case)


class ChangesTheType(Sound):
    def score(self, case):
        torch.set_default_dtype(torch.float64)
        return energy(case)


class DependsOnTheProcess(Sound):
    def score(self, case):
        return energy(case) / os.getpid()


SOUND = [Sound, SoundCurve, SoundLoss]
BAD = [
    (OddCard, "card"),
    (UpsideDownCard, "card"),
    (OddVariant, "card"),
    (OddDefault, "parameters"),
    (OneForAll, "works"),
    (NeverDefined, "works"),
    (FailingPays, "worst"),
    (HidesItsCurve, "curve"),
    (ShortCurve, "curve"),
    (LeavesItsRange, "bounds"),
    (DrawsAnew, "same-again"),
    (IgnoresTheMap, "map-matters"),
    (SecretlyUsesTheMap, "map-matters"),
    (ScalesByTheBatch, "neighbours"),
    (CountsPlaces, "order"),
    (MeansOverTheBatch, "batch-size"),
    (Backwards, "direction"),
    (BreaksTiesByPlace, "flip"),
    (FearsFullMasks, "degenerate"),
    (WritesIntoTheCase, "case-untouched"),
    (TrainsTheNetwork, "network-untouched"),
    (Prints, "quiet"),
    (DrawsGlobally, "generators"),
    (ChangesTheType, "settings"),
    (DependsOnTheProcess, "elsewhere"),
]
