"""Steps that cut a window out of a film: round a lesion, or beside all of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from xaibench.errors import DataError
from xaibench_tasks.frames import Crop, Frame
from xaibench_tasks.tissue import breast_mask

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    from xaibench.contracts import Mask

    Counts: TypeAlias = NDArray[np.int64]

GRID = 32  # cells to a side of a window: as finely as places are searched


@dataclass(frozen=True)
class BoundingBox:
    """The lesion's bounding box, at least `least` pixels wide and high, `context` times its size added on all sides."""

    context: float = 0.0
    least: int = 8

    def __call__(self, frame: Frame) -> Frame:
        """The lesion fills its patch, however large it is: its size is lost."""
        ends = []
        for low, high in _extent(frame):
            more = max((high - low) * self.context, (self.least - (high - low)) / 2)
            ends.append((int(low - more), int(np.ceil(high + more))))
        (top, bottom), (left, right) = ends
        return Crop(top, left, bottom, right)(frame)


@dataclass(frozen=True)
class LesionWindow:
    """A square of `side` pixels that holds the lesion at a place drawn by lot; of a larger lesion, its middle."""

    side: int
    seed: int = 0

    def __call__(self, frame: Frame) -> Frame:
        """The same scale for every lesion, and none is always in the middle."""
        rng = np.random.default_rng(self.seed)
        starts = []
        for (low, high), length in zip(_extent(frame), frame.shape, strict=True):
            side = min(self.side, length)
            first, last = max(0, high - side), min(low, length - side)
            middle = min(max(0, (low + high - side) // 2), length - side)
            starts.append(int(rng.integers(first, last + 1)) if first <= last else middle)
        top, left = starts
        return Crop(top, left, top + self.side, left + self.side)(frame)


@dataclass(frozen=True)
class BackgroundWindow:
    """A square of `side` pixels without any lesion, at least `tissue` of it breast, at a place drawn by lot.

    Where no place has so much breast, the one that has most is taken.
    """

    side: int
    tissue: float = 0.5
    seed: int = 0

    def __call__(self, frame: Frame) -> Frame:
        """The lesions are only avoided: the patch has no masks."""
        side = min(self.side, *frame.shape)
        cell = max(1, side // GRID)
        count = -(-side // cell)
        lesions = _cells(np.logical_or.reduce([np.zeros(frame.shape, np.bool_), *frame.masks]), cell)
        free = _window_sums(lesions, count) == 0
        if not free.any():
            raise DataError(
                f"a film of {frame.shape[1]} x {frame.shape[0]} has no {side} x {side} place off its lesions"
            )
        share = _window_sums(_cells(breast_mask(frame.image, grow=0), cell), count) / count**2
        enough = free & (share >= self.tissue)
        if not enough.any():
            enough = free & (share == share[free].max())
        places = np.argwhere(enough)
        top, left = (int(at) * cell for at in places[np.random.default_rng(self.seed).integers(len(places))])
        return Crop(top, left, top + side, left + side)(replace(frame, masks=()))


def _extent(frame: Frame) -> list[tuple[int, int]]:
    """First and one past the last row, and the same of columns, of all lesions."""
    found = np.nonzero(np.logical_or.reduce([np.zeros(frame.shape, np.bool_), *frame.masks]))
    if not found[0].size:
        raise DataError("the lesion's mask is empty, so its place is not known")
    return [(int(where.min()), int(where.max()) + 1) for where in found]


def _cells(mask: Mask, cell: int) -> Counts:
    """Cells of which any pixel is on; what is left over at the lower and right edges is not searched."""
    rows, columns = (length // cell for length in mask.shape)
    blocks = mask[: rows * cell, : columns * cell].reshape(rows, cell, columns, cell)
    return np.asarray(blocks.any(axis=(1, 3)), np.int64)


def _window_sums(cells: Counts, count: int) -> Counts:
    """Sums over all windows of count x count cells."""
    summed = np.pad(cells.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    above = summed[count:] - summed[:-count]
    return np.asarray(above[:, count:] - above[:, :-count], np.int64)
