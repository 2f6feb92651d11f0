"""What `xaibench explain` found, as JSON can hold it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xaibench import __version__
from xaibench.explaining.statistics import agreement, statistics
from xaibench.workbench import union
from xaibench_leaderboard.explaining.calibration import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xaibench.contracts import Mask
    from xaibench.explaining.maps import Explanation
    from xaibench.explaining.session import Explained, Session
    from xaibench.explaining.subject import Subject
    from xaibench_leaderboard.explaining.calibration import Calibration

CAUTION = (
    "A heatmap shows what moved this network's score, not where disease is. Research only: not for diagnosis. "
    "Every map is stretched to its own range: colours of two maps cannot be compared."
)


@dataclass(frozen=True, eq=False)
class Told:
    """What holds for all films of one call."""

    session: Session
    calibration: Calibration | None

    @property
    def subject(self) -> Subject:
        """The network."""
        return self.session.subject

    def warnings(self) -> list[str]:
        """What a reader must not overlook."""
        if not self.subject.trained:
            return ["THIS NETWORK IS UNTRAINED: prediction and maps mean nothing"]
        if self.subject.learned_here and self.subject.task.card.get("scenario"):
            return [
                f"This network learned on drawn images ({self.subject.task.label}): of a real film it knows nothing"
            ]
        return []

    def calibration_note(self) -> str:
        """Whether its probabilities can be believed."""
        return self.calibration.text() if self.calibration else UNKNOWN


def report_of(told: Told, explained: Explained, files: Mapping[str, str]) -> dict[str, Any]:
    """One film: prediction, maps, numbers; `files` are the maps by explainer."""
    subject, sample = told.subject, explained.film.sample
    classes = subject.classifier.classes
    mask = union(sample.lesions, sample.image.shape[1:]) if sample.lesions else None
    return {
        "film": explained.name,
        "path": str(explained.path),
        "model": subject.model.label,
        "task": subject.task.label,
        "fold": subject.fold,
        "weights": {"digest": subject.weights, "trained": subject.trained, "origin": subject.origin},
        "warnings": told.warnings(),
        "predicted": classes[int(np.argmax(explained.probabilities))],
        "probabilities": dict(zip(classes, explained.probabilities, strict=True)),
        "calibration": asdict(told.calibration) if told.calibration else None,
        "calibration_note": told.calibration_note(),
        "explained_class": classes[explained.target],
        "seed": told.session.seed,
        "sign": told.session.sign,
        "reading": explained.film.note,
        "map_pixels": list(sample.image.shape[1:]),
        "film_pixels": list(explained.film.shown.shape[:2]),
        "maps_cover_the_whole_film": explained.film.whole,
        "maps": [_map(one, told.session.sign, mask, files) for one in explained.explanations],
        "agreement": agreement({one.explainer: one.raw for one in sound(explained) if one.raw is not None}),
        "xaibench": __version__,
        "caution": CAUTION,
    }


def sound(explained: Explained) -> list[Explanation]:
    """The maps that can be shown."""
    return [one for one in explained.explanations if one.status == "ok"]


def _map(one: Explanation, sign: Any, mask: Mask | None, files: Mapping[str, str]) -> dict[str, Any]:
    known = one.status == "ok" and one.raw is not None
    return {
        "explainer": one.explainer,
        "status": one.status,
        "reason": one.reason,
        "seconds": one.seconds,
        "forward": one.forward,
        "backward": one.backward,
        "seed": one.seed,
        "file": files.get(one.explainer),
        "statistics": statistics(one.raw, sign, mask) if known and one.raw is not None else None,
    }
