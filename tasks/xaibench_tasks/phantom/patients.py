"""Who is on the films: what both views of a patient share, and the index of a split."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from xaibench.seeds import derive
from xaibench_tasks.phantom.parenchyma import DENSITIES

if TYPE_CHECKING:
    from numpy.random import Generator

    from xaibench.contracts import Split
    from xaibench_tasks.phantom.lesions import Kind

CLASSES = ("normal", "benign", "malignant")
NORMAL, BENIGN, MALIGNANT = range(3)


@dataclass(frozen=True)
class Patient:
    """What the two views have in common."""

    label: int
    right: bool
    density: int  # index into DENSITIES
    kind: Kind
    areas: tuple[float, ...]  # of the lesions, as parts of the image; none for a normal patient


def label_of(seed: int, split: Split, index: int) -> int:
    """Class of a patient: each run of three patients has all three classes, in an order of its own."""
    return _order(seed, split, index // 3)[index % 3]


@lru_cache(maxsize=4096)
def _order(seed: int, split: Split, block: int) -> list[int]:
    rng = np.random.default_rng(derive("phantom", seed, split, "classes", block))
    return [int(label) for label in rng.permutation(len(CLASSES))]


def patient_of(seed: int, split: Split, index: int) -> Patient:
    """All that is known of a patient before a film is drawn."""
    label = label_of(seed, split, index)
    rng = np.random.default_rng(derive("phantom", seed, split, "patient", index))
    right, density = bool(rng.random() < 0.5), int(rng.integers(len(DENSITIES)))
    kind: Kind = "mass" if rng.random() < 0.7 else "calcifications"
    areas = _areas(rng, kind)
    return Patient(label, right, density, kind, areas if label != NORMAL else ())


def _areas(rng: Generator, kind: Kind) -> tuple[float, ...]:
    """Mostly one lesion; masses from 1 to 8 percent of the image, clusters from 0.1 percent."""
    count = int(rng.choice([1, 2, 3], p=[0.75, 0.18, 0.07]))
    low, high = (0.0105, 0.078) if kind == "mass" else (0.0012, 0.05)
    drawn = low * (high / count / low) ** rng.random(count) ** 0.4
    return tuple(float(area) for area in np.maximum(drawn, low))
