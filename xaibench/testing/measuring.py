"""A metric on trial: the cases it is given, and its values."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from xaibench.contracts import Curved
from xaibench.guard import Guard
from xaibench.isolation import isolated_randomness
from xaibench.normalise import normalise
from xaibench.testing.networks import ToyCNN, classifier_of
from xaibench.testing.planted import case_of, lesion_maps, noise_maps, planted_samples
from xaibench.testing.trying import Trial

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xaibench.classifier import TorchClassifier
    from xaibench.contracts import Case, Floats, Mask, Sample, Scores

COUNT = 4


class MetricTrial(Trial):
    """One metric."""

    @cached_property
    def samples(self) -> list[Sample]:
        """Images that the metric applies to."""
        return planted_samples(COUNT, normal="normal" in self.card["needs"])

    @cached_property
    def classifier(self) -> TorchClassifier | None:
        """A toy network, if the card asks for one."""
        return classifier_of(ToyCNN(1)) if "model" in self.card["needs"] else None

    @property
    def blurred(self) -> Floats:
        """Maps that show the lesion, with noise."""
        return lesion_maps(self.samples) + noise_maps(self.samples)

    def truth(self) -> Floats:
        """What the metric looks for: the lesion, or the region that it is about."""
        region = self.card["region"]
        return self.case().regions[region].astype(np.float32) if region else lesion_maps(self.samples)

    def case(self, raw: Floats | None = None) -> Case:
        """A sound case."""
        maps = self.blurred if raw is None else raw
        return case_of(self.samples, maps, self.card["variants"], self.classifier)

    def values(self, case: Case) -> Scores:
        """One value per image, whatever form they come in."""
        answer = self.answer(case)
        return np.asarray(answer.values if isinstance(answer, Curved) else answer, dtype=np.float64)

    def answer(self, case: Case) -> Any:
        """One call, as the harness makes it."""
        with isolated_randomness(case.seeds[0]):
            return self.made.plugin.score(case)

    @cached_property
    def first(self) -> First:
        """The first call of all, watched."""
        return First(self)

    def evidence(self) -> dict[str, NDArray[Any]]:
        """What another process must find too."""
        return {"values": self.values(self.case())}


class First:
    """An answer, and what was seen meanwhile."""

    def __init__(self, trial: MetricTrial) -> None:
        self.case, self.copy = trial.case(), trial.case()
        guard = Guard(trial.classifier.network) if trial.classifier else None
        trial.made  # noqa: B018  # made outside of what is watched
        with trial.watch():
            self.answer = trial.made.plugin.score(self.case)
        self.changes = guard.changes() if guard else ""


def with_maps(case: Case, raw: Floats) -> Case:
    """The case of other maps."""
    return replace(case, raw=raw, maps=normalise(raw))


def with_masks(case: Case, masks: Mask) -> Case:
    """The case of other lesions."""
    return replace(case, masks=masks, lesions=tuple((mask,) for mask in masks))


def flipped(case: Case, axis: int) -> Case:
    """The case in a mirror."""

    def turn(array: Any) -> Any:
        return np.ascontiguousarray(np.flip(array, axis))

    return replace(
        case,
        **{name: turn(getattr(case, name)) for name in ("maps", "raw", "images", "masks")},
        lesions=tuple(tuple(map(turn, lesions)) for lesions in case.lesions),
        regions={name: turn(region) for name, region in case.regions.items()},
        variants={name: turn(maps) for name, maps in case.variants.items()},
    )


def arrays_of(case: Case) -> dict[str, NDArray[Any]]:
    """All that a metric could write into."""
    plain = {name: value for name, value in vars(case).items() if isinstance(value, np.ndarray)}
    lesions = {f"lesions[{row}]": np.array(masks) for row, masks in enumerate(case.lesions)}
    return plain | lesions | dict(case.regions) | dict(case.variants)
