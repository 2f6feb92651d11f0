"""Steps that know what a breast is: find it, keep it alone, turn it, cut the pectoral muscle away."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.feature import canny
from skimage.filters import threshold_otsu
from skimage.transform import hough_line, hough_line_peaks

from xaibench_tasks.frames import Crop, Frame, resized
from xaibench_tasks.records import nearest

if TYPE_CHECKING:
    from xaibench.contracts import Floats, Mask

WORKING = 224  # pixels of the longer side at which shapes are looked for
EIGHT = np.ones((3, 3), np.bool_)  # pixels that touch at corners belong together


def breast_mask(image: Floats, grow: int = 4) -> Mask:
    """The largest bright object, smooth and without holes, grown by `grow` pixels on a grid of 224.

    Labels, markers and scratches are smaller objects, and are not in it.
    """
    grey = image if image.ndim == 2 else image.mean(axis=2)
    scale = WORKING / max(grey.shape)
    small = grey if scale >= 1 else resized(grey, *(max(1, round(side * scale)) for side in grey.shape))
    if float(np.ptp(small)) == 0:
        return np.zeros(grey.shape, np.bool_)
    bright = _smooth(small > threshold_otsu(small))  # type: ignore[no-untyped-call]
    return nearest(_grown(_largest(bright), grow), grey.shape)


def ellipse(side: int) -> Mask:
    """A disk of odd side as a structuring element."""
    radius = side // 2
    down = np.arange(-radius, radius + 1)
    half = np.rint(np.sqrt(radius**2 - down**2))
    return np.asarray(np.abs(down)[None, :] <= half[:, None], np.bool_)


def _smooth(mask: Mask) -> Mask:
    """Closing, then opening; the film's edge counts neither as breast nor as background."""
    element = ellipse(5)
    closed = ndimage.binary_erosion(ndimage.binary_dilation(mask, element), element, border_value=1)
    return np.asarray(ndimage.binary_dilation(ndimage.binary_erosion(closed, element, border_value=1), element))


def _largest(mask: Mask) -> Mask:
    """The largest object, filled."""
    filled = ndimage.binary_fill_holes(mask)
    labels, count = ndimage.label(filled, EIGHT)
    if not count:
        return mask
    return np.asarray(labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:])), np.bool_)


def _grown(mask: Mask, pixels: int) -> Mask:
    """Everything within a distance."""
    if not pixels or not mask.any():
        return mask
    return np.asarray(ndimage.distance_transform_edt(~mask) <= pixels + 0.5, np.bool_)


def _box(mask: Mask) -> tuple[slice, slice]:
    """The smallest rectangle round a mask that is not empty."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def faces_right(mask: Mask) -> bool:
    """Whether the chest wall is at the left edge: the side where the breast is."""
    third = max(1, mask.shape[1] // 3)
    return int(mask[:, :third].sum()) >= int(mask[:, -third:].sum())


@dataclass(frozen=True)
class KeepBreast:
    """Black out whatever is no breast: labels, markers, frames."""

    grow: int = 4

    def __call__(self, frame: Frame) -> Frame:
        """Masks stay: a lesion that the breast mask misses is still a lesion."""
        keep = breast_mask(frame.image, self.grow)
        keep = keep if frame.image.ndim == 2 else keep[..., None]
        return replace(frame, image=np.where(keep, frame.image, np.float32(0)))


@dataclass(frozen=True)
class CropToBreast:
    """The smallest rectangle round breast and lesions."""

    def __call__(self, frame: Frame) -> Frame:
        """A film without a breast stays whole."""
        kept = np.logical_or.reduce([breast_mask(frame.image), *frame.masks])
        if not kept.any():
            return frame
        rows, columns = _box(kept)
        return Crop(rows.start, columns.start, rows.stop, columns.stop)(frame)


@dataclass(frozen=True)
class FaceRight:
    """Mirror a film whose chest wall is at the right edge, masks with it."""

    def __call__(self, frame: Frame) -> Frame:
        """All breasts point right."""
        if faces_right(breast_mask(frame.image)):
            return frame
        masks = tuple(np.ascontiguousarray(mask[:, ::-1]) for mask in frame.masks)
        return replace(frame, image=np.ascontiguousarray(frame.image[:, ::-1]), masks=masks)


@dataclass(frozen=True)
class RemovePectoral:
    """Black out the pectoral muscle: the bright corner behind a straight edge from the top to the chest wall.

    Where no such edge is found nothing is removed. Masks stay: lesions occur in front of the muscle.
    """

    def __call__(self, frame: Frame) -> Frame:
        """Both orientations are handled."""
        grey = frame.image if frame.image.ndim == 2 else frame.image.mean(axis=2)
        breast = breast_mask(grey)
        if not breast.any():
            return frame
        box = _box(breast)  # films may have a black margin beyond the chest wall
        order = slice(None, None, 1 if faces_right(breast) else -1)
        corner = np.zeros(grey.shape, np.bool_)
        corner[box] = pectoral_mask(grey[box][:, order])[:, order]
        corner = corner if frame.image.ndim == 2 else corner[..., None]
        return replace(frame, image=np.where(corner, np.float32(0), frame.image))


def pectoral_mask(grey: Floats) -> Mask:
    """The muscle on a breast whose chest wall is at the left edge."""
    scale = WORKING / max(grey.shape)
    small = resized(grey, *(max(8, round(side * scale)) for side in grey.shape))
    rows, columns = small.shape
    part = small[: rows * 3 // 4, : columns * 2 // 3]
    angles = np.deg2rad(np.linspace(10, 60, 101))  # of the normal: a muscle edge runs down towards the chest wall
    edges = canny(part, sigma=2)  # type: ignore[no-untyped-call]
    votes, thetas, distances = hough_line(edges, theta=angles)  # type: ignore[no-untyped-call]
    peaks = hough_line_peaks(votes, thetas, distances, num_peaks=8)  # type: ignore[no-untyped-call]
    down, across = np.mgrid[:rows, :columns]
    for _, theta, distance in zip(*peaks, strict=True):
        corner = across * np.cos(theta) + down * np.sin(theta) < distance
        if 0.01 < corner.mean() < 0.35 and _is_muscle(small, corner):
            return nearest(np.asarray(corner, np.bool_), (grey.shape[0], grey.shape[1]))
    return np.zeros(grey.shape, np.bool_)


def _is_muscle(grey: Floats, corner: Mask) -> bool:
    """Bright, and brighter than what lies right behind its edge."""
    beyond = _grown(corner, 8) & ~corner
    inside = float(np.median(grey[corner]))
    return bool(inside > 0.3 and inside > 1.15 * float(np.median(grey[beyond])))
