"""Where the breast is on the film: outline, depth below the skin, pectoral muscle.

Everything is drawn as if the chest wall were on the left; films of the right side are mirrored at the very end.
Lengths are in film widths, so that a film has the same anatomy at every size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.special import expit

if TYPE_CHECKING:
    from numpy.random import Generator

    from xaibench.contracts import Floats, Mask

View = Literal["cc", "mlo"]


@dataclass(frozen=True, eq=False)
class Breast:
    """The places on a film."""

    mask: Mask  # [H, W] breast and muscle
    depth: Floats  # [H, W] distance to the skin
    muscle: Floats  # [H, W] how much of the pixel is pectoral muscle
    room: Mask  # [H, W] where the centre of a lesion may be


@lru_cache(maxsize=8)
def grid(size: int) -> Floats:
    """Centres of the pixels along one side, in film widths."""
    centres = ((np.arange(size) + 0.5) / size).astype(np.float32)
    centres.flags.writeable = False
    return centres


def draw_breast(rng: Generator, view: View, size: int, least: float) -> Breast:
    """Draw a breast that reaches at least so far from the chest wall."""
    y = grid(size)
    edge = _edge_cc(rng, y, least) if view == "cc" else _edge_mlo(rng, y, least)
    mask = grid(size)[None, :] < (edge * _wobble(rng, y))[:, None]
    depth = (distance_transform_edt(mask) / size).astype(np.float32)
    muscle = _muscle(rng, size, float(edge[0])) if view == "mlo" else np.zeros((size, size), np.float32)
    return Breast(mask, depth, muscle * mask, mask & (muscle < 0.5) & (depth > 0.03))


def _edge_cc(rng: Generator, y: Floats, least: float) -> Floats:
    """Reach of the breast from the chest wall, per row, seen from above: half an oval."""
    reach, half, middle = rng.uniform(least, 0.88), rng.uniform(0.34, 0.5), rng.uniform(0.44, 0.56)
    power = rng.uniform(1.8, 2.6)
    return _oval((y - middle) / half, reach, power)


def _edge_mlo(rng: Generator, y: Floats, least: float) -> Floats:
    """Reach per row, seen obliquely: it widens from the armpit to the nipple and rounds off below."""
    reach, nipple, bottom = rng.uniform(least, 0.88), rng.uniform(0.5, 0.68), rng.uniform(0.85, 1.0)
    top = reach * rng.uniform(0.45, 0.7)
    rise = np.clip(y / nipple, 0, 1)
    above = top + (reach - top) * np.sin(rise * np.pi / 2) ** 1.5
    below = _oval((y - nipple) / (bottom - nipple), reach, rng.uniform(1.8, 2.4))
    return np.where(y < nipple, above, below).astype(np.float32)


def _oval(t: Floats, reach: float, power: float) -> Floats:
    return np.asarray(reach * np.clip(1 - np.abs(t) ** power, 0, 1) ** 0.5, np.float32)


def _wobble(rng: Generator, y: Floats) -> Floats:
    """No breast is an ellipse."""
    phase = rng.uniform(0, 2 * np.pi, 2)
    wave = 0.02 * np.sin(7 * y + phase[0]) + 0.008 * np.sin(17 * y + phase[1])
    return np.asarray(1 + wave, np.float32)


def _muscle(rng: Generator, size: int, top: float) -> Floats:
    """The pectoral muscle: a slightly bulging triangle in the upper corner at the chest wall."""
    width, height = top * rng.uniform(0.6, 0.95), rng.uniform(0.4, 0.75)
    x, y = grid(size)[None, :] / width, grid(size)[:, None] / height
    inside = 1 - x - y + rng.uniform(0.0, 0.5) * x * y
    return np.asarray(expit(inside / 0.02), np.float32)
