"""The metrics of Quantus on stored maps: one image at a time, with seeds of their own, and failures that are shown.

One at a time because in the library a batch's extremes normalise every map in it, a NaN in one map changes the values
of others, and some metrics score the first batch only (docs/quantus.md says which). Several metrics describe a whole
batch, or call the explainer again; they cannot be had here, and say so.
"""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xaibench.contracts import MetricCard
from xaibench.errors import Unsupported, UsageError
from xaibench.isolation import isolated_randomness
from xaibench.seeds import derive

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xaibench.contracts import Case, MetricNeed, Scores

AGAIN = "calls the explainer again on other inputs or other weights, but a metric here is given maps that are stored"
WHOLE = "compares the images of a batch with each other: it has no value per image"
MOSAICS = "asks for maps of mosaics that are put together from several images"


@dataclass(frozen=True)
class Known:
    """What one has to know of a metric of the library before the library is imported."""

    family: str
    higher_is_better: bool
    unsupported: str = ""  # why it cannot be had


def _all(family: str, higher: Iterable[str] = (), lower: Iterable[str] = (), unsupported: str = "") -> dict[str, Known]:
    return {name: Known(family, True, unsupported) for name in higher} | {
        name: Known(family, False, unsupported) for name in lower
    }


METRICS: dict[str, Known] = {
    **_all(
        "faithfulness",
        ("FaithfulnessCorrelation", "FaithfulnessEstimate", "Monotonicity", "MonotonicityCorrelation", "IROF"),
        ("PixelFlipping", "RegionPerturbation", "Selectivity", "ROAD", "Infidelity"),
    ),
    **_all("faithfulness", ("SensitivityN", "Sufficiency"), unsupported=WHOLE),
    **_all(
        "robustness",
        (),
        ("Continuity", "LocalLipschitzEstimate", "MaxSensitivity", "AvgSensitivity", "RelativeInputStability",
         "RelativeOutputStability", "RelativeRepresentationStability"),
        unsupported=AGAIN,
    ),
    **_all("robustness", (), ("Consistency",), unsupported=WHOLE),
    **_all(
        "localisation",
        ("PointingGame", "TopKIntersection", "RelevanceMassAccuracy", "RelevanceRankAccuracy",
         "AttributionLocalisation", "AUC"),
    ),
    **_all("localisation", ("Focus",), unsupported=MOSAICS),
    **_all("complexity", ("Sparseness",), ("Complexity", "EffectiveComplexity")),
    **_all("sanity", ("EfficientMPRT",), ("MPRT", "SmoothMPRT", "RandomLogit"), unsupported=AGAIN),
    **_all("sanity", ("Completeness",), ("NonSensitivity",)),
    **_all("sanity", ("InputInvariance",), unsupported=AGAIN),
}  # fmt: skip
RUNS_THE_MODEL = ("faithfulness", "sanity")


class Quantus:
    """One metric of the library, by the name of its class; other parameters are handed on to it.

    Metrics that remove pixels do so one by one unless told otherwise, which takes as many passes as there are pixels;
    here they are told to take `steps` steps or a few less, unless `features_in_step` is given. Where the library
    answers with a curve the value is the area under it, its x axis running from 0 to 1.
    """

    def __init__(self, metric: str = "FaithfulnessCorrelation", steps: int = 64, **options: float | str | bool) -> None:
        if metric not in METRICS:
            raise UsageError(f"quantus: there is no metric {metric!r}; there are {', '.join(METRICS)}.")
        if steps < 1:
            raise UsageError(f"quantus: steps is {steps}; at least one is needed.")
        self.metric, self.steps, self.options = metric, steps, options
        self.card = _card(metric)

    def score(self, case: Case) -> Scores:
        """One value per image."""
        if why := METRICS[self.metric].unsupported:
            raise Unsupported(f"{self.metric} {why}")
        return np.array([self._one(case, row) for row in range(len(case.maps))], dtype=np.float64)

    def _one(self, case: Case, row: int) -> float:
        with isolated_randomness(derive("quantus", self.metric, case.seeds[row])), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the library warns of deprecations of its own, and of every default
            metric = self._made(case.maps[row].size)
            return number(
                metric(
                    model=None if case.classifier is None else case.classifier.network,
                    x_batch=case.images[row : row + 1].copy(),
                    y_batch=case.targets[row : row + 1].copy(),
                    a_batch=case.maps[row : row + 1, None].copy(),
                    s_batch=case.masks[row : row + 1, None].copy(),
                    channel_first=True,
                    device=None if case.classifier is None else str(case.classifier.device),
                )
            )

    def _made(self, pixels: int) -> Any:
        """The library's object."""
        try:
            import quantus  # it takes seconds and pulls in half a dozen libraries
        except ImportError as error:
            raise UsageError(f"quantus: {error}. Install it with: pip install 'xaibench[quantus]'") from error
        factory = getattr(quantus, self.metric)
        options = dict(self.options)
        # NonSensitivity can only step by one pixel (docs/quantus.md).
        if "features_in_step" in inspect.signature(factory).parameters and self.metric != "NonSensitivity":
            options.setdefault("features_in_step", step(pixels, self.steps))
        return factory(disable_warnings=True, display_progressbar=False, **options)


def _card(metric: str) -> MetricCard:
    known = METRICS[metric]
    needs: frozenset[MetricNeed] = frozenset({"mask"}) if known.family == "localisation" else frozenset()
    return MetricCard(
        name="quantus",
        summary=f"{metric} as Quantus computes it, one image at a time",
        paper="Quantus: An Explainable AI Toolkit for Responsible Evaluation of Neural Network Explanations and Beyond "
        "(Hedström et al., 2023)",
        licence="LGPL-3.0-or-later (quantus)",
        family=known.family,
        higher_is_better=known.higher_is_better,
        lowest=None,
        highest=None,
        worst=None,
        needs=needs | ({"model"} if known.family in RUNS_THE_MODEL else frozenset()),
        claims_quality=known.family != "complexity",
        default=False,
    )


def step(pixels: int, steps: int) -> int:
    """The least number of pixels per step that divides them all and takes no more steps than allowed."""
    return next(size for size in range(1, pixels + 1) if pixels % size == 0 and pixels // size <= steps)


def number(answer: Any) -> float:
    """The library answers with numbers, truth values, curves, or a value per percentage."""
    values = answer.values() if isinstance(answer, dict) else answer
    curve = np.asarray(list(values), dtype=np.float64).ravel()
    if len(curve) == 1:
        return float(curve[0])
    return float(np.mean((curve[1:] + curve[:-1]) / 2))
