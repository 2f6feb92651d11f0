"""Can a probability be believed? Only if the same weights were tested."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xaibench.errors import DataError
from xaibench.results import load_results
from xaibench_leaderboard.page.models import calibration_error, probabilities

if TYPE_CHECKING:
    from xaibench.contracts import Prediction
    from xaibench.explaining.subject import Subject
    from xaibench.places import Location

UNKNOWN = "not known to be calibrated: a probability is no risk"


@dataclass(frozen=True)
class Calibration:
    """How far probabilities of these weights were from how often they were right."""

    error: float  # mean distance over bins of confidence (ECE)
    accuracy: float
    images: int
    task: str

    def text(self) -> str:
        """For a sheet."""
        return (
            f"calibration error (ECE) {self.error:.3f}, accuracy {self.accuracy:.3f}, "
            f"on {self.images} test images of {self.task}"
        )


def calibration_of(subject: Subject, folder: Location) -> Calibration | None:
    """From the test predictions of the very same weights in a results folder; the largest test counts."""
    try:
        predictions = load_results(folder).predictions
    except DataError:  # no results folder, or of another version: nothing is known
        return None
    same = [one for one in predictions if one.weights == subject.weights and one.truth]
    return _measured(max(same, key=lambda one: len(one.ids))) if same else None


def _measured(prediction: Prediction) -> Calibration:
    truth, shares = np.array(prediction.truth), probabilities(np.array(prediction.logits, dtype=np.float64))
    accuracy = float((shares.argmax(axis=1) == truth).mean())
    error = calibration_error(truth, shares)
    return Calibration(error, accuracy, len(truth), prediction.labels["task"])
