"""Figures of classifiers with intervals: every figure is a function of how often each patient is drawn.

Repeats and folds are drawn together: a woman who is drawn twice counts twice in every training that was tested on her.
A figure is the mean over trainings, as papers report it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xaibench_leaderboard.statistics import Estimate, bca, resamples

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from xaibench.contracts import Prediction
    from xaibench_leaderboard.statistics import Doubles

    Figure: TypeAlias = Callable[["Said", Doubles], Doubles]

MACRO = "macro_"
OF_CLASSES = ("precision", "recall", "f1", "specificity", "auc")
IBA_ALPHA = 0.1


class Said:
    """What one training said of its test images."""

    def __init__(self, prediction: Prediction) -> None:
        logits = np.array(prediction.logits, dtype=np.float64)
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        self.shares: Doubles = shifted / shifted.sum(axis=1, keepdims=True)
        self.truth, self.said = np.array(prediction.truth), logits.argmax(axis=1)
        self.classes, self.patients = prediction.classes, prediction.patients

    def count(self, weights: Doubles, true: int | None = None, said: int | None = None) -> Doubles:
        """How many images, under each row of weights, are of this class, and are said to be of that."""
        chosen = np.ones(len(self.truth), dtype=bool)
        if true is not None:
            chosen &= self.truth == true
        if said is not None:
            chosen &= self.said == said
        counted: Doubles = weights[:, chosen].sum(axis=1)
        return counted


def share(part: Doubles, whole: Doubles) -> Doubles:
    """NaN where there is nothing to take a share of."""
    found: Doubles = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
    return found


def of_class(name: str, at: int) -> Figure:
    """A figure of one class against the rest."""

    def figure(one: Said, weights: Doubles) -> Doubles:
        if name == "auc":
            return _auc(one, weights, at)
        hits, true, said = (
            one.count(weights, at, at),
            one.count(weights, true=at),
            one.count(weights, said=at),
        )
        rest = one.count(weights) - true
        if name == "recall":
            return share(hits, true)
        if name == "specificity":
            return share(rest - (said - hits), rest)
        if name == "precision":  # nothing said to be of the class: 0, as papers count it
            return np.where(true > 0, np.nan_to_num(share(hits, said)), np.nan)
        return np.where(true > 0, share(2 * hits, true + said), np.nan)

    return figure


def _auc(one: Said, weights: Doubles, at: int) -> Doubles:
    """The chance that an image of the class has a higher share than another one; half a chance if they tie."""
    true = one.truth == at
    if true.all() or not true.any():
        return np.full(len(weights), np.nan)
    above = one.shares[true, at][:, None] - one.shares[~true, at]
    wins = (above > 0) + 0.5 * (above == 0)
    inside, outside = weights[:, true], weights[:, ~true]
    return share(((inside @ wins) * outside).sum(axis=1), inside.sum(axis=1) * outside.sum(axis=1))


def overall(name: str) -> Figure:
    """A figure of all classes together; `macro_` is the plain mean over the classes that have images."""

    def figure(one: Said, weights: Doubles) -> Doubles:
        labels = range(len(one.classes))
        if name == "accuracy":
            return share(sum((one.count(weights, at, at) for at in labels), np.zeros(len(weights))), one.count(weights))
        if name == "majority":
            return share(np.max([one.count(weights, true=at) for at in labels], axis=0), one.count(weights))
        if name == "g_mean":
            recalls = np.array([of_class("recall", at)(one, weights) for at in labels])
            product: Doubles = np.prod(recalls, axis=0) ** (1 / len(recalls))
            return product
        if name == "iba":
            return _iba(one, weights)
        kind = "recall" if name == "balanced_accuracy" else name.removeprefix(MACRO)
        return _mean([of_class(kind, at)(one, weights) for at in labels])

    return figure


def _iba(one: Said, weights: Doubles) -> Doubles:
    """Index of balanced accuracy per class, weighted by the images of the class, as imbalanced-learn reports it."""
    total = np.zeros(len(weights))
    for at in range(len(one.classes)):
        recall, specificity = (of_class(name, at)(one, weights) for name in ("recall", "specificity"))
        value = (1 + IBA_ALPHA * (recall - specificity)) * recall * specificity
        total += np.nan_to_num(value) * one.count(weights, true=at)
    return share(total, one.count(weights))


def _mean(columns: Sequence[Doubles]) -> Doubles:
    """Mean over what is defined; NaN where nothing is."""
    table = np.array(columns)
    known = ~np.isnan(table)
    return share(np.where(known, table, 0.0).sum(axis=0), known.sum(axis=0).astype(np.float64))


def estimate(trainings: Sequence[Said], figure: Figure) -> Estimate | None:
    """The mean of a figure over trainings, with its interval over patients; None if it is defined nowhere."""
    names = tuple(sorted({patient for one in trainings for patient in one.patients}))
    places = {name: at for at, name in enumerate(names)}
    index = [np.array([places[patient] for patient in one.patients]) for one in trainings]

    def drawn(counts: Doubles) -> Doubles:
        return _mean([figure(one, counts[:, at]) for one, at in zip(trainings, index, strict=True)])

    value = drawn(np.ones((1, len(names))))
    if np.isnan(value[0]):
        return None
    each = [float(figure(one, np.ones((1, len(one.patients))))[0]) for one in trainings]
    sd = float(np.nanstd(each, ddof=1)) if len(each) > 1 else None
    images = len({(patient, number) for one in trainings for number, patient in enumerate(one.patients)})
    if len(names) < 2:
        return Estimate(float(value[0]), None, None, images, len(names), sd)
    low, high = _interval(value, drawn, names)
    return Estimate(float(value[0]), low, high, images, len(names), sd)


def _interval(value: Doubles, drawn: Callable[[Doubles], Doubles], names: tuple[str, ...]) -> tuple[float, float]:
    """A draw without the class in question has no value of its own: it takes that of all."""
    replicates, left_out = (_filled(drawn(counts), value[0]) for counts in (resamples(names), 1 - np.eye(len(names))))
    low, high = bca(value, replicates, left_out, np.ones((1, len(names)), dtype=bool))
    return float(low[0]), float(high[0])


def _filled(values: Doubles, otherwise: float) -> Doubles:
    found: Doubles = np.where(np.isnan(values), otherwise, values)[None]
    return found
