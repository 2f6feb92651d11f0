"""What can be said of a map in numbers, without claiming that it is right."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from xaibench.metrics.thresholds import otsu
from xaibench.normalise import normalise

if TYPE_CHECKING:
    from xaibench.contracts import Floats, Mask, Scores
    from xaibench.normalise import SignPolicy

TOP = 0.1  # of the pixels


def statistics(raw: Floats, sign: SignPolicy, mask: Mask | None) -> dict[str, Any]:
    """Of a sound map [H, W]: its own values, then what of it lies where, once it is stretched to [0, 1]."""
    shape = normalise(raw[None], sign)[0].astype(np.float64)
    told: dict[str, Any] = {
        "minimum": float(raw.min()),
        "maximum": float(raw.max()),
        "mean": float(raw.mean(dtype=np.float64)),
        "energy_in_top_10_percent": top_share(shape),
        "centre_of_mass": centre_of_mass(shape),
        "threshold": (level := otsu(shape.ravel())),
        "box": box_of(shape >= level),
        "area_above_threshold": float((shape >= level).mean()),
    }
    if mask is not None and mask.any():
        told["mass_in_mask"] = float(shape[mask].sum() / shape.sum())
        told["mask_area"] = float(mask.mean())
        told["peak_in_mask"] = bool(mask.ravel()[int(shape.argmax())])
    return told


def top_share(shape: Scores) -> float:
    """What share lies in the strongest tenth of the pixels: 0.1 if all are alike, 1 if nothing is outside."""
    values = np.sort(shape.ravel())[::-1]
    return float(values[: math.ceil(TOP * values.size)].sum() / values.sum())


def centre_of_mass(shape: Scores) -> list[float]:
    """Row and column of the middle, counted in pixels from the upper left corner of the image."""
    rows, columns = np.indices(shape.shape) + 0.5
    return [float((shape * where).sum() / shape.sum()) for where in (rows, columns)]


def box_of(inside: Mask) -> list[int]:
    """Top, left, bottom, right of the smallest rectangle round some pixels; the last two are outside."""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return [int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1]


def agreement(maps: dict[str, Floats]) -> dict[str, float | None]:
    """Rank correlation of every two maps: 1, the same order of pixels; 0, no relation. None where one has one value."""
    ranks = {name: _ranks(one) for name, one in maps.items()}
    names = list(ranks)
    pairs = [(first, second) for at, first in enumerate(names) for second in names[at + 1 :]]
    return {f"{first} / {second}": _correlation(ranks[first], ranks[second]) for first, second in pairs}


def _ranks(values: Floats) -> Scores:
    """Ranks from 0, equal values sharing theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Scores = (np.cumsum(counts) - (counts + 1) / 2)[place.ravel()]
    return ranks


def _correlation(first: Scores, second: Scores) -> float | None:
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])
