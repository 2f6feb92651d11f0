"""A film from outside, read and prepared as a task prepares its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xaibench.contracts import Entry, Sample
from xaibench.errors import DataError
from xaibench.explaining.films import Film
from xaibench_tasks.frames import Frame, Resize, run
from xaibench_tasks.pictures import Picture, decode
from xaibench_tasks.records import nearest
from xaibench_tasks.steps import Clahe, Equalise, Grey, Normalise, Rgb, Stretch
from xaibench_tasks.tissue import KeepBreast, RemovePectoral

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from xaibench.contracts import Floats, Mask
    from xaibench_tasks.frames import Step

# What these leave has its place on the film: a map stretched over the film lies where it should.
IN_PLACE = (Grey, Rgb, Clahe, Equalise, Stretch, Normalise, KeepBreast, RemovePectoral, Resize)
MASK_ABOVE = 0.5  # of white


def read_film(
    film: Path, mask: Path | None, steps: Sequence[Step], shape: tuple[int, int, int], after: Step | None = None
) -> Film:
    """Decode a film, take it through the steps of a task, and check that what comes out is what its networks expect.

    `after` is what the task does to images that are prepared, such as bringing them to the training set's mean.
    """
    picture = _decoded(film)
    drawn = None if mask is None else _mask(mask, picture.pixels)
    done = run(Frame(picture.pixels, () if drawn is None else (drawn,)), steps)
    image = channels_first(done.image)
    if image.shape != shape:
        raise DataError(f"{film} is {image.shape} after all steps of the task, not {shape}: give a film of that kind")
    done = Frame(image, done.masks)
    done = done if after is None else after(done)
    sample = Sample(Entry(film.stem, "", 0), done.image, tuple(one for one in done.masks if one.any()))
    if all(isinstance(step, IN_PLACE) for step in steps):
        return Film(sample, picture.pixels, drawn, whole=True, note=picture.note)
    return Film(sample, _shown(done.image), _first(sample), whole=False, note=picture.note)


def channels_first(image: Floats) -> Floats:
    """[H, W] or [H, W, C] as [C, H, W]."""
    moved = image[None] if image.ndim == 2 else np.moveaxis(image, -1, 0)
    return np.ascontiguousarray(moved, np.float32)


def _decoded(file: Path) -> Picture:
    return decode(str(file), file.read_bytes())


def _mask(file: Path, pixels: Floats) -> Mask:
    """The mask at the size of its film."""
    found = _decoded(file).pixels
    mask = (found if found.ndim == 2 else found.max(axis=2)) > MASK_ABOVE
    if not mask.any():
        raise DataError(f"{file} marks nothing: a mask is white where the lesion is, and black elsewhere")
    rows, columns = pixels.shape[:2]
    shape = (rows, columns)
    if abs(mask.shape[0] / mask.shape[1] - rows / columns) > 0.02 * rows / columns:
        raise DataError(f"{file} is {mask.shape[1]} x {mask.shape[0]}, its film {columns} x {rows}: not the same view")
    return mask if mask.shape == shape else nearest(mask, shape)


def _shown(image: Floats) -> Floats:
    return image[0] if len(image) == 1 else np.moveaxis(image, 0, -1)


def _first(sample: Sample) -> Mask | None:
    return sample.lesions[0] if sample.lesions else None
