"""Lesions and their masks: circumscribed and spiculated masses, calcification clusters of both kinds.

Every lesion is a *level* over its surroundings: small inside, growing outwards. Its mask is the set of the n pixels of
breast with the smallest level, so the area is exact wherever the lesion lies. The drawing follows the same level and
changes no pixel outside the mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.spatial import ConvexHull

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.random import Generator
    from numpy.typing import NDArray

    from xaibench.contracts import Floats, Mask
    from xaibench_tasks.phantom.outline import Breast

    Numbers: TypeAlias = NDArray[np.float64]
    Specks: TypeAlias = tuple[Numbers, Numbers, Numbers]  # centres [n, 2] as x, y; widths [n]; heights [n]

Kind = Literal["mass", "calcifications"]


@dataclass(frozen=True)
class Wanted:
    """What to draw."""

    kind: Kind
    malignant: bool
    area: float  # of the image
    contrast: float = 1.0


@dataclass(frozen=True, eq=False)
class Spot:
    """The surroundings of a lesion's centre: a cut of the film, with coordinates in pixels from the centre."""

    rows: slice
    columns: slice
    x: Floats
    y: Floats
    breast: Mask

    @property
    def cut(self) -> tuple[slice, slice]:
        """Index of the surroundings in the film."""
        return self.rows, self.columns


def draw_lesion(rng: Generator, image: Floats, breast: Breast, wanted: Wanted, taken: Mask) -> Mask | None:
    """Draw one into the image, clear of `taken`, and return its mask; None if there is no room."""
    size = image.shape[0]
    pixels = max(4, round(wanted.area * size * size))
    for _ in range(12):
        spot = _find(rng, breast, 3.2 * np.sqrt(pixels / np.pi))
        mask = np.zeros(image.shape, bool)
        local, glow = _draw(rng, spot, wanted, pixels)
        mask[spot.cut] = local
        if not (mask & taken).any():
            image[spot.cut] += glow * np.where(spot.breast, wanted.contrast, 0)
            return mask
    return None


def _find(rng: Generator, breast: Breast, reach: float) -> Spot:
    """Any place in the breast, all equally likely."""
    size = breast.mask.shape[0]
    places = np.flatnonzero(breast.room)
    row, column = divmod(int(places[rng.integers(len(places))]), size)
    half = int(np.ceil(reach))
    rows = slice(max(0, row - half), min(size, row + half + 1))
    columns = slice(max(0, column - half), min(size, column + half + 1))
    y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - row
    x = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] - column
    return Spot(rows, columns, x, y, breast.mask[rows, columns])


def _draw(rng: Generator, spot: Spot, wanted: Wanted, pixels: int) -> tuple[Mask, Floats]:
    if wanted.kind == "calcifications":
        return _cluster(rng, spot, wanted.malignant, pixels)
    return (_spiculated if wanted.malignant else _circumscribed)(rng, spot, pixels)


def _threshold(level: Floats, spot: Spot, pixels: int) -> float:
    """The level below which lie just so many pixels of breast."""
    inside = np.sort(level[spot.breast])
    return float(inside[min(pixels, len(inside) - 1)])


def _circumscribed(rng: Generator, spot: Spot, pixels: int) -> tuple[Mask, Floats]:
    """A smooth oval of even brightness, with a sharp margin."""
    r, theta = np.hypot(spot.x, spot.y), np.arctan2(spot.y, spot.x) + rng.uniform(0, 2 * np.pi)
    flat, lobes = rng.uniform(0.0, 0.2), rng.uniform(0.0, 0.06)
    outline = 1 + flat * np.cos(2 * theta) + lobes * np.cos(3 * theta + rng.uniform(0, 6.3))
    level = np.asarray(r / outline, np.float32)
    level /= max(_threshold(level, spot, pixels), 1e-6)
    margin = np.clip((1 - level) * np.sqrt(pixels / np.pi) / 1.5, 0, 1)
    dome = 0.75 + 0.25 * np.sqrt(np.clip(1 - level**2, 0, 1))
    glow = rng.uniform(0.36, 0.46) * margin * dome
    return (level < 1) & spot.breast, glow.astype(np.float32)


def _spiculated(rng: Generator, spot: Spot, pixels: int) -> tuple[Mask, Floats]:
    """An irregular core, brightest in the middle, with fine spicules radiating from it."""
    r, theta = np.hypot(spot.x, spot.y), np.arctan2(spot.y, spot.x)
    radius = np.sqrt(pixels / np.pi)
    lobes = [rng.uniform(0.05, 0.15) * np.cos(k * theta + rng.uniform(0, 6.3)) for k in (2, 3, 5)]
    core = 0.55 * (1 + np.sum(lobes, axis=0))
    reach, lines = _spicules(rng, r / radius, theta, 0.6 / radius)
    level = r / np.maximum(core, reach)
    scale = max(_threshold(level, spot, pixels), 1e-6)
    body = np.clip(1.15 - r / (core * scale), 0, 1) ** 0.7
    glow = rng.uniform(0.45, 0.6) * np.maximum(body, 0.75 * lines * np.clip(1 - level / scale, 0, 1) ** 0.4)
    inside = level < scale
    return inside & spot.breast, (glow * inside).astype(np.float32)


def _spicules(rng: Generator, r: Floats, theta: Floats, thin: float) -> tuple[Floats, Floats]:
    """How far the spicules' surroundings reach per angle, and the fine lines themselves (lengths in mean radii)."""
    count = int(rng.integers(11, 19))
    turns = (np.arange(count) + rng.uniform(-0.4, 0.4, count)) * 2 * np.pi / count
    bends = rng.uniform(-0.15, 0.15, count)
    reach, lines = np.zeros_like(r), np.zeros_like(r)
    for turn, bend, length in zip(turns, bends, rng.uniform(0.8, 1.6, count), strict=True):
        away = np.abs((theta - turn - bend * r + np.pi) % (2 * np.pi) - np.pi)
        reach = np.maximum(reach, length * np.clip(1.1 - away / 0.3, 0, 1))
        lines = np.maximum(lines, np.exp(-((r * away / max(0.05, thin)) ** 2)))
    return reach, lines


def _cluster(rng: Generator, spot: Spot, malignant: bool, pixels: int) -> tuple[Mask, Floats]:
    """Specks, and as the mask their convex hull with a margin."""
    specks = points, _, _ = (_segment if malignant else _scatter)(rng, pixels)
    points *= np.sqrt(0.55 * pixels / ConvexHull(points).volume)  # in the plane, `volume` is the area
    hull = ConvexHull(points).equations
    level = np.max([a * spot.x + b * spot.y + c for a, b, c in hull], axis=0)
    mask = (level < _threshold(level, spot, pixels)) & spot.breast
    return mask, _specks(spot, specks) * mask


def _scatter(rng: Generator, pixels: int) -> Specks:
    """Benign: a handful of larger round ones, far apart."""
    radius, count = np.sqrt(pixels / np.pi), int(rng.integers(3, 6))
    turns = (np.arange(count) + rng.uniform(-0.25, 0.25, count)) * 2 * np.pi / count + rng.uniform(0, 6.3)
    far = radius * rng.uniform(0.55, 0.85, count)
    points = np.stack([far * np.cos(turns), far * np.sin(turns)], axis=1)
    sigma = np.clip(radius * rng.uniform(0.13, 0.19, count), 0.8, None)
    return points, sigma, rng.uniform(0.75, 0.95, count)


def _segment(rng: Generator, pixels: int) -> Specks:
    """Malignant: many fine ones of all shapes (each is two that overlap), along a line."""
    radius, count = np.sqrt(pixels / np.pi), min(int(rng.integers(16, 28)), max(6, pixels // 4))
    angle = rng.uniform(0, np.pi)
    along, across = radius * rng.uniform(-1.3, 1.3, count), radius * rng.uniform(-0.4, 0.4, count)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    first = np.stack([along, across], axis=1) @ turn
    second = first + rng.normal(0, max(0.5, 0.06 * radius), first.shape)
    sigma = np.clip(radius * rng.uniform(0.02, 0.07, 2 * count), 0.45, None)
    return np.concatenate([first, second]), sigma, rng.uniform(0.35, 0.65, 2 * count)


def _specks(spot: Spot, specks: Specks) -> Floats:
    """Sum of round bumps, as one product of matrices."""
    points, sigma, height = specks
    gx = np.exp(-(((spot.x[0] - points[:, :1]) / sigma[:, None]) ** 2) / 2)
    gy = np.exp(-(((spot.y[:, 0] - points[:, 1:]) / sigma[:, None]) ** 2) / 2)
    return np.asarray((gy * height[:, None]).T @ gx, np.float32)
