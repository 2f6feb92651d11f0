"""How far a classifier gets that sees nothing of an image but its sharpness: if far, the crops give the class away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import laplace
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from xaibench.seeds import derive

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from xaibench.contracts import Entry, Floats, Scores, Task

RESAMPLES = 2000
RIDGE = 1e-3
TINY = 1e-12


@dataclass(frozen=True)
class Figure:
    """A measure with its 95 percent interval, and what it is without looking at the image."""

    name: str
    value: float
    low: float
    high: float
    baseline: float


@dataclass(frozen=True)
class Shortcut:
    """What sharpness alone says about the classes of a task."""

    task: str
    images: int
    patients: int
    folds: int
    figures: tuple[Figure, ...]

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {**vars(self), "figures": [vars(figure) for figure in self.figures]}


def as_text(shortcut: Shortcut, asked: str) -> str:
    """A small table."""
    head = (
        f"{asked}: sharpness alone, {shortcut.images} images of {shortcut.patients} patients, {shortcut.folds} fold(s)"
    )
    rows = [
        f"{figure.name:34}  {figure.value:6.3f}  [{figure.low:.3f}, {figure.high:.3f}]  {figure.baseline:8.3f}"
        for figure in shortcut.figures
    ]
    return "\n".join([head, f"{'':34}  {'value':>6}  {'95 % interval':14}  {'majority':>8}", *rows])


def sharpness(image: Floats) -> Scores:
    """Two numbers that know neither brightness nor contrast: Laplacian variance, and energy at high frequencies."""
    grey = image.mean(axis=0, dtype=np.float64)
    variance = float(grey.var()) + TINY
    edges = float(laplace(grey, mode="nearest").var()) / variance
    window = np.outer(*(np.hanning(side) for side in grey.shape))
    power = np.abs(np.fft.rfft2((grey - grey.mean()) * window)) ** 2
    radius = np.hypot(np.fft.fftfreq(grey.shape[0])[:, None], np.fft.rfftfreq(grey.shape[1])[None, :])
    high = float(power[radius > 0.125].sum()) / (float(power.sum()) + TINY)
    return np.log(np.array([edges, high]) + TINY)


def measure(task: Task) -> Shortcut:
    """Fit on train and val, judge on test, fold by fold; intervals by resampling patients."""
    known: dict[str, Scores] = {}
    truth, probabilities, patients = [], [], []
    for fold in range(task.folds):
        learned = [*task.entries("train", fold), *task.entries("val", fold)]
        tested = task.entries("test", fold)
        weights = fit(_features(task, learned, known), _labels(learned), len(task.classes))
        probabilities.append(predict(weights, _features(task, tested, known)))
        truth.append(_labels(tested))
        patients += [entry.patient for entry in tested]
    figures = _figures(np.concatenate(truth), np.concatenate(probabilities), patients)
    return Shortcut(task.card.name, len(patients), len(set(patients)), task.folds, figures)


def _labels(entries: Sequence[Entry]) -> NDArray[np.int64]:
    return np.array([entry.label for entry in entries], np.int64)


def _features(task: Task, entries: Sequence[Entry], known: dict[str, Scores]) -> Scores:
    for entry in entries:
        if entry.id not in known:
            known[entry.id] = sharpness(task.load(entry).image)
    return np.stack([known[entry.id] for entry in entries])


@dataclass(frozen=True, eq=False)
class Weights:
    """A logistic regression on standardised features and their squares."""

    mean: Scores
    spread: Scores
    matrix: Scores  # [1 + 2 F, K]


def fit(features: Scores, labels: NDArray[np.int64], classes: int) -> Weights:
    """Maximum likelihood with a little ridge."""
    mean, spread = features.mean(axis=0), features.std(axis=0) + TINY
    design = _design((features - mean) / spread)
    hot = np.eye(classes)[labels]

    def loss(flat: Scores) -> tuple[float, Scores]:
        matrix = flat.reshape(design.shape[1], classes)
        logits = design @ matrix
        value = -float((hot * log_softmax(logits, axis=1)).sum()) / len(labels) + RIDGE * float((matrix**2).sum())
        slope = design.T @ (softmax(logits, axis=1) - hot) / len(labels) + 2 * RIDGE * matrix
        return value, slope.ravel()

    found = minimize(loss, np.zeros(design.shape[1] * classes), jac=True, method="L-BFGS-B")
    return Weights(mean, spread, found.x.reshape(design.shape[1], classes))


def predict(weights: Weights, features: Scores) -> Scores:
    """Class probabilities [N, K]."""
    design = _design((features - weights.mean) / weights.spread)
    probabilities: Scores = softmax(design @ weights.matrix, axis=1)
    return probabilities


def _design(standard: Scores) -> Scores:
    return np.concatenate([np.ones((len(standard), 1)), standard, standard**2], axis=1)


def _figures(truth: NDArray[np.int64], probabilities: Scores, patients: Sequence[str]) -> tuple[Figure, ...]:
    majority = np.full(len(truth), np.bincount(truth).argmax())
    chosen = probabilities.argmax(axis=1)
    lesion = 1 - probabilities[:, 0]

    measures: dict[str, tuple[Callable[[NDArray[np.int64]], float], float]] = {
        "accuracy": (lambda at: float((truth[at] == chosen[at]).mean()), float((truth == majority).mean())),
        "balanced accuracy": (lambda at: balanced(truth[at], chosen[at]), balanced(truth, majority)),
        "first class against the rest: AUC": (lambda at: auc(truth[at] > 0, lesion[at]), 0.5),
    }
    samples = list(_resampled(patients))
    return tuple(_figure(name, each, baseline, samples, len(truth)) for name, (each, baseline) in measures.items())


def _figure(
    name: str,
    compute: Callable[[NDArray[np.int64]], float],
    baseline: float,
    samples: Sequence[NDArray[np.int64]],
    count: int,
) -> Figure:
    low, high = np.nanpercentile([compute(at) for at in samples], (2.5, 97.5))
    return Figure(name, compute(np.arange(count)), float(low), float(high), baseline)


def _resampled(patients: Sequence[str]) -> list[NDArray[np.int64]]:
    """Row numbers of resamples in which patients are drawn whole, with replacement."""
    rows: dict[str, list[int]] = {}
    for at, patient in enumerate(patients):
        rows.setdefault(patient, []).append(at)
    groups = [np.array(each, np.int64) for each in rows.values()]
    rng = np.random.default_rng(derive("sharpness", len(groups)))
    return [
        np.concatenate([groups[at] for at in rng.integers(len(groups), size=len(groups))]) for _ in range(RESAMPLES)
    ]


def balanced(truth: NDArray[np.int64], chosen: NDArray[np.int64]) -> float:
    """Mean recall of the classes that occur."""
    return float(np.mean([(chosen[truth == label] == label).mean() for label in np.unique(truth)]))


def auc(positive: NDArray[np.bool_], score: Scores) -> float:
    """Chance that a positive one scores above a negative one, ties counting half; NaN if one kind is missing."""
    if positive.all() or not positive.any():
        return float("nan")
    order = np.sort(score[~positive])
    below, upto = (np.searchsorted(order, score[positive], side) for side in ("left", "right"))
    return float((below + upto).mean() / 2 / len(order))
