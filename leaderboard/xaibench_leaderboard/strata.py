"""Scores by the size of the lesions, and by whether the model was right: a mean over all hides both."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xaibench_leaderboard.statistics import Estimate, estimates

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from xaibench.contracts import Prediction, Result, Results

    Chosen = NDArray[np.bool_]

SIZES = ("small lesions", "medium lesions", "large lesions")
ANSWERS = ("model right", "model wrong")
SUBJECT = ("task", "fold", "model", "precision")


@dataclass(frozen=True)
class Stratum:
    """One score on some of its images."""

    labels: Mapping[str, str]
    key: str
    stratum: str
    low: float | None  # share of the image that lesions cover, from and to; None where size does not matter
    high: float | None
    estimate: Estimate | None  # None: no image of the stratum has a value


def strata_of(results: Results) -> Iterator[Stratum]:
    """Every score of a metric that needs a lesion, by thirds of lesion size and by the model's answer."""
    predictions = {_names(one.labels): one for one in results.predictions}
    groups: dict[tuple[object, ...], list[Result]] = defaultdict(list)
    for one in results.scores:
        if one.status == "ok" and one.ids and "mask" in one.cards.get("metric", {}).get("needs", ()):
            groups[(*_names(one.labels), one.ids, one.patients, one.shares)].append(one)
    for group in groups.values():
        yield from _strata(group, predictions.get(_names(group[0].labels)))


def _names(labels: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(labels.get(name, "") for name in SUBJECT)


def _strata(group: Sequence[Result], prediction: Prediction | None) -> Iterator[Stratum]:
    """Of scores on the same images."""
    values = np.array([one.values for one in group], dtype=np.float64)
    patients = np.array(group[0].patients)
    for stratum, low, high, chosen in _parts(group[0], prediction):
        found = estimates(values[:, chosen], patients[chosen].tolist())
        for one, estimate in zip(group, found, strict=True):
            yield Stratum(one.labels, one.key, stratum, low, high, estimate)


def _parts(result: Result, prediction: Prediction | None) -> Iterator[tuple[str, float | None, float | None, Chosen]]:
    """Names, ends and images of the strata that there are."""
    if result.shares:
        shares = np.array(result.shares)
        edges = np.quantile(shares, [0, 1 / 3, 2 / 3, 1])
        third = np.searchsorted(edges[1:3], shares, side="left")  # on an edge: the smaller third
        for at, name in enumerate(SIZES):
            yield name, float(edges[at]), float(edges[at + 1]), third == at
    if prediction:
        right = {
            image: int(np.argmax(logits)) == truth
            for image, truth, logits in zip(prediction.ids, prediction.truth, prediction.logits, strict=True)
        }
        for name, wanted in zip(ANSWERS, (True, False), strict=True):
            yield name, None, None, np.array([right.get(image) is wanted for image in result.ids])
