"""What is known of an image before any pixel is read: its class, its patient, and where its lesions are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from scipy.ndimage import binary_fill_holes
from skimage.draw import polygon2mask

from xaibench.errors import DataError
from xaibench_tasks.pictures import decode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xaibench.contracts import Mask, Split
    from xaibench_tasks.sources import Source


@dataclass(frozen=True)
class Circle:
    """Pixels at most `radius` from a centre."""

    row: float
    column: float
    radius: float


@dataclass(frozen=True)
class Box:
    """Rows top to bottom and columns left to right; the last ones are outside."""

    top: float
    left: float
    bottom: float
    right: float


@dataclass(frozen=True)
class Polygon:
    """Corners as (row, column); one or two of them make a point or a line."""

    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class MaskFile:
    """An image file that is bright where the lesion is. `above` is a share of white; None: half of its own maximum."""

    name: str
    above: float | None = 0.5
    codes: tuple[int, ...] = ()  # if given: the 8-bit values that count as lesion


@dataclass(frozen=True)
class FilledOutline:
    """An image file with a closed contour; the lesion is the contour and what it encloses."""

    name: str
    above: float = 0.5


Outline: TypeAlias = Circle | Box | Polygon | MaskFile | FilledOutline
Official: TypeAlias = 'Split | Literal[""]'


@dataclass(frozen=True)
class Record:
    """One image."""

    id: str  # unique and stable
    patient: str
    label: int  # index into the classes
    image: str  # name in the source
    lesions: tuple[Outline, ...] = ()
    official: Official = ""  # the split its publisher put it in
    extra: Mapping[str, str] = field(default_factory=dict, hash=False)

    def files(self) -> tuple[str, ...]:
        """Every file it needs."""
        return (self.image, *(each.name for each in self.lesions if isinstance(each, MaskFile | FilledOutline)))


def draw(outline: Outline, shape: tuple[int, int], source: Source) -> Mask:
    """The lesion as pixels of its film. A mask file of another size is brought to the film's by nearest neighbour."""
    rows, columns = shape
    if isinstance(outline, Circle):
        down, across = np.ogrid[:rows, :columns]
        near = (down - outline.row) ** 2 + (across - outline.column) ** 2 <= outline.radius**2
        return np.asarray(near, np.bool_)
    if isinstance(outline, Box):
        return _box(outline, shape)
    if isinstance(outline, Polygon):
        return _polygon(outline, shape)
    mask = mask_of(outline, source)
    if mask.shape == shape:
        return mask
    return nearest(mask, shape)


def nearest(mask: Mask, shape: tuple[int, int]) -> Mask:
    """A mask at another size; every pixel is that of the place it comes from."""
    rows, columns = ((np.arange(new) * 2 + 1) * old // (2 * new) for new, old in zip(shape, mask.shape, strict=True))
    return mask[np.ix_(rows, columns)]


def mask_of(outline: MaskFile | FilledOutline, source: Source) -> Mask:
    """The mask at its own size."""
    pixels = decode(outline.name, source.read(outline.name)).pixels
    grey = pixels if pixels.ndim == 2 else pixels.max(axis=2)
    if isinstance(outline, FilledOutline):
        return np.asarray(binary_fill_holes(grey > outline.above), np.bool_)
    if outline.codes:
        return np.isin(np.rint(grey * 255).astype(np.int64), outline.codes)
    limit = float(grey.max()) / 2 if outline.above is None else outline.above
    return np.asarray(grey > limit, np.bool_)


def _box(box: Box, shape: tuple[int, int]) -> Mask:
    mask = np.zeros(shape, np.bool_)
    top, left = max(0, round(box.top)), max(0, round(box.left))
    mask[top : max(0, round(box.bottom)), left : max(0, round(box.right))] = True
    return mask


def _polygon(polygon: Polygon, shape: tuple[int, int]) -> Mask:
    """Corners count as inside, so that a single point is a lesion of one pixel; what lies outside the film is cut."""
    if not polygon.points:
        raise DataError("a polygon without points has no place")
    mask = np.asarray(polygon2mask(shape, polygon.points), np.bool_)  # type: ignore[no-untyped-call]
    for row, column in polygon.points:
        if 0 <= round(row) < shape[0] and 0 <= round(column) < shape[1]:
            mask[round(row), round(column)] = True
    return mask
