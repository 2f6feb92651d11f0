"""Means with intervals that respect patients: two films of one breast are no two opinions.

Every interval is a percentile bootstrap over patients. A replicate draws as many patients as there are, with
replacement, and takes each with all of its images; only how often a patient was drawn matters, so a replicate is a row
of counts, and all of them are one matrix product with the sums of the patients.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from xaibench.seeds import derive

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from numpy.typing import NDArray

    from xaibench.contracts import Prediction

    Doubles: TypeAlias = NDArray[np.float64]

REPLICATES = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean, and where 95 % of the bootstrap replicates lie; no interval (None) for fewer than two patients."""

    mean: float
    low: float | None
    high: float | None
    images: int
    patients: int


@lru_cache(maxsize=20_000)  # the reports of one run ask for the same intervals, one after the other
def mean_estimate(values: tuple[float | None, ...], patients: tuple[str, ...], key: str) -> Estimate | None:
    """Mean over images of the values that are defined; None if none is. `key` is the seed's name."""
    defined = [(value, who) for value, who in zip(values, patients, strict=True) if value is not None]
    if not defined:
        return None
    numbers = np.array([value for value, _ in defined], dtype=np.float64)
    index, count = _index([who for _, who in defined])
    sums = np.bincount(index, weights=numbers, minlength=count)
    sizes = np.bincount(index, minlength=count).astype(np.float64)
    mean = float(numbers.mean())
    if count < 2:
        return Estimate(mean, None, None, len(numbers), count)
    draws = resamples(count, key)
    return Estimate(mean, *_percentiles((draws @ sums) / (draws @ sizes)), len(numbers), count)


def balanced_accuracy(prediction: Prediction) -> Estimate | None:
    """Mean over the classes of the share of their images that the model gets right; None without images.

    A class without images does not count, neither in the mean nor in a replicate which happened to draw none of it.
    """
    if not prediction.truth:
        return None
    truth = np.array(prediction.truth)
    right = np.array(prediction.logits).argmax(axis=1) == truth
    index, count = _index(prediction.patients)
    shape = (count, len(prediction.classes))
    sizes, hits = np.zeros(shape), np.zeros(shape)
    np.add.at(sizes, (index, truth), 1.0)
    np.add.at(hits, (index, truth), right.astype(np.float64))
    mean = float(_mean_recall(hits.sum(axis=0, keepdims=True), sizes.sum(axis=0, keepdims=True))[0])
    if count < 2:
        return Estimate(mean, None, None, len(truth), count)
    draws = resamples(count, prediction.key)
    return Estimate(mean, *_percentiles(_mean_recall(draws @ hits, draws @ sizes)), len(truth), count)


def coverage(failed: Sequence[bool]) -> float | None:
    """Share of the maps that did not fail; None if there are no maps."""
    return 1 - sum(failed) / len(failed) if failed else None


def resamples(patients: int, key: str) -> Doubles:
    """How often each patient is drawn [replicates, patients]; each row sums to the number of patients."""
    rng = np.random.default_rng(derive("bootstrap", key))
    drawn = rng.integers(patients, size=(REPLICATES, patients))
    flat = (drawn + patients * np.arange(REPLICATES)[:, None]).ravel()
    counts: Doubles = np.bincount(flat, minlength=REPLICATES * patients).reshape(drawn.shape).astype(np.float64)
    return counts


def _mean_recall(hits: Doubles, sizes: Doubles) -> Doubles:
    """Balanced accuracy of each row, over the classes that the row has."""
    present = sizes > 0
    recall = np.divide(hits, sizes, out=np.zeros_like(hits), where=present)
    mean: Doubles = recall.sum(axis=1) / present.sum(axis=1)
    return mean


def _percentiles(replicates: Doubles) -> tuple[float, float]:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail])
    return float(low), float(high)


def _index(patients: Sequence[str]) -> tuple[NDArray[np.intp], int]:
    """The patients as numbers from 0, and how many there are."""
    names, index = np.unique(np.array(patients), return_inverse=True)
    return index, len(names)
