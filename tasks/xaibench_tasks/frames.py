"""An image and its masks, cut and resized together."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from scipy.sparse import csr_array

from xaibench.errors import DataError
from xaibench_tasks.records import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xaibench.contracts import Floats, Mask


@dataclass(frozen=True, eq=False)
class Frame:
    """An image with its lesions on the way through the steps."""

    image: Floats  # [H, W] or [H, W, 3] in [0, 1]
    masks: tuple[Mask, ...] = ()
    rescued: int = 0  # lesions that vanished in resizing and were kept at one pixel

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.image.shape[0], self.image.shape[1]


class Step(Protocol):
    """A change of image and masks. Its `repr` is part of the identity of what it makes."""

    def __call__(self, frame: Frame) -> Frame:
        """The frame after the step."""


@dataclass(frozen=True)
class Resize:
    """To rows x columns: area average for the image, nearest neighbour for masks; no lesion is lost."""

    rows: int
    columns: int
    how: Literal["area", "points"] = "area"  # points: four neighbours of every new pixel, blind to what lies between

    def __call__(self, frame: Frame) -> Frame:
        """Stretches; put a crop or a pad before it to keep proportions."""
        if frame.shape == (self.rows, self.columns):
            return frame
        kept = [self._mask(mask) for mask in frame.masks]
        resize = resized if self.how == "area" else sampled
        image = resize(frame.image, self.rows, self.columns)
        rescued = frame.rescued + sum(was_lost for _, was_lost in kept)
        return replace(frame, image=image, masks=tuple(mask for mask, _ in kept), rescued=rescued)

    def _mask(self, mask: Mask) -> tuple[Mask, bool]:
        """The small mask; one that vanished keeps the pixel of its centre."""
        small = nearest(mask, (self.rows, self.columns))
        if small.any() or not mask.any():
            return small, False
        small = small.copy()
        row, column = (
            min(int((where.mean() + 0.5) * new / old), new - 1)
            for where, new, old in zip(np.nonzero(mask), small.shape, mask.shape, strict=True)
        )
        small[row, column] = True
        return small, True


def resized(image: Floats, rows: int, columns: int) -> Floats:
    """Along an axis that shrinks, the mean of the area under a new pixel; along one that grows, linear."""
    for axis, new in enumerate((rows, columns)):
        image = _averaged(image, axis, new) if new < image.shape[axis] else _interpolated(image, axis, new)
    return np.clip(image, 0, 1)


def sampled(image: Floats, rows: int, columns: int) -> Floats:
    """Bilinear without any smoothing, as several imaging libraries do by default: shrinking by it aliases."""
    for axis, new in enumerate((rows, columns)):
        image = _interpolated(image, axis, new)
    return image


def _averaged(image: Floats, axis: int, new: int) -> Floats:
    lines = np.moveaxis(image, axis, 0)
    flat = _area_weights(lines.shape[0], new) @ np.ascontiguousarray(lines).reshape(len(lines), -1)
    return np.moveaxis(np.asarray(flat, np.float32).reshape(new, *lines.shape[1:]), 0, axis)


@lru_cache(maxsize=64)
def _area_weights(old: int, new: int) -> Any:
    """[new, old]: which share of a new pixel each old one covers."""
    edges = np.arange(new + 1) * (old / new)
    first, last = np.floor(edges[:-1]).astype(int), np.ceil(edges[1:]).astype(int)
    rows = np.repeat(np.arange(new), last - first)
    columns = np.concatenate([np.arange(low, high) for low, high in zip(first, last, strict=True)])
    covered = np.minimum(columns + 1, edges[rows + 1]) - np.maximum(columns, edges[rows])
    held = columns < old
    shares = (covered * (new / old)).astype(np.float32)
    return csr_array((shares[held], (rows[held], columns[held])), shape=(new, old))


def _interpolated(image: Floats, axis: int, new: int) -> Floats:
    old = image.shape[axis]
    if new == old:
        return image
    where = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    low = np.minimum(where.astype(np.int64), max(old - 2, 0))
    share = (where - low).astype(np.float32).reshape([-1 if at == axis else 1 for at in range(image.ndim)])
    high = np.minimum(low + 1, old - 1)
    return np.asarray((1 - share) * image.take(low, axis) + share * image.take(high, axis), np.float32)


@dataclass(frozen=True)
class Crop:
    """Rows top to bottom, columns left to right, the last ones outside; what reaches over the edge is cut."""

    top: int
    left: int
    bottom: int
    right: int

    def __call__(self, frame: Frame) -> Frame:
        """The part of image and masks; a lesion outside it leaves an empty mask."""
        rows, columns = slice(max(0, self.top), max(0, self.bottom)), slice(max(0, self.left), max(0, self.right))
        image = frame.image[rows, columns]
        if 0 in image.shape:
            raise DataError(f"{self} is no part of an image of {frame.shape[0]} x {frame.shape[1]} pixels")
        return replace(frame, image=image, masks=tuple(mask[rows, columns] for mask in frame.masks))


@dataclass(frozen=True)
class CropToLesions:
    """A square round all lesions, `context` times their extent, at least `least` pixels; inside the film if it fits."""

    context: float = 1.5
    least: int = 64

    def __call__(self, frame: Frame) -> Frame:
        """An image without a lesion stays whole."""
        found = np.nonzero(np.logical_or.reduce([np.zeros(frame.shape, np.bool_), *frame.masks]))
        if not found[0].size:
            return frame
        extent = max(int(np.ptp(where)) + 1 for where in found)
        side = max(self.least, math.ceil(self.context * extent))
        centre = [(int(where.min()) + int(where.max()) + 1) / 2 for where in found]
        return square(frame.shape, centre[0], centre[1], side)(frame)


def square(shape: tuple[int, int], row: float, column: float, side: int) -> Crop:
    """A square of this side round a point, moved inwards where it would leave the image."""
    top, left = (
        max(0, min(round(middle - side / 2), whole - side)) for middle, whole in zip((row, column), shape, strict=True)
    )
    return Crop(top, left, min(top + side, shape[0]), min(left + side, shape[1]))


def run(frame: Frame, steps: Sequence[Step]) -> Frame:
    """All steps in order."""
    for step in steps:
        frame = step(frame)
    return frame
