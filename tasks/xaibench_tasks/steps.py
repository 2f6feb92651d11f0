"""Preprocessing: every step there is. Each moves an image and its masks together."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from skimage.exposure import equalize_adapthist, equalize_hist

from xaibench.errors import UsageError
from xaibench_tasks.frames import Crop, CropToLesions, Frame, Resize, Step, resized, run, square
from xaibench_tasks.tissue import CropToBreast, FaceRight, KeepBreast, RemovePectoral

__all__ = [
    "Clahe",
    "Crop",
    "CropToBreast",
    "CropToLesions",
    "Equalise",
    "FaceRight",
    "Frame",
    "Grey",
    "KeepBreast",
    "Normalise",
    "RemovePectoral",
    "Resize",
    "Rgb",
    "Step",
    "Stretch",
    "named",
    "resized",
    "run",
    "square",
]


@dataclass(frozen=True)
class Grey:
    """Colour to grey, by the luminance of Rec. 601; grey stays as it is."""

    def __call__(self, frame: Frame) -> Frame:
        """One channel."""
        if frame.image.ndim == 2:
            return frame
        return replace(frame, image=frame.image @ np.array([0.299, 0.587, 0.114], np.float32))


@dataclass(frozen=True)
class Rgb:
    """Grey to three equal channels; colour stays as it is."""

    def __call__(self, frame: Frame) -> Frame:
        """Three channels."""
        return frame if frame.image.ndim == 3 else replace(frame, image=np.stack([frame.image] * 3, axis=-1))


@dataclass(frozen=True)
class Clahe:
    """Contrast-limited adaptive histogram equalisation; `limit` counts in mean bin heights, as is usual.

    scikit-image spreads grey values over the whole range before and after; other libraries do not.
    """

    limit: float = 2.0
    tiles: int = 8

    def __call__(self, frame: Frame) -> Frame:
        """Colour is equalised in its brightness alone."""
        kernel = tuple(max(1, side // self.tiles) for side in frame.shape)
        image = equalize_adapthist(frame.image, kernel_size=kernel, clip_limit=self.limit / 256, nbins=256)
        return replace(frame, image=np.asarray(image, np.float32))


@dataclass(frozen=True)
class Equalise:
    """Histogram equalisation of all that is not black."""

    def __call__(self, frame: Frame) -> Frame:
        """Black stays black."""
        lit = frame.image > 0
        if not lit.any():
            return frame
        flat = equalize_hist(frame.image, mask=lit)  # type: ignore[no-untyped-call]
        return replace(frame, image=np.where(lit, flat, 0).astype(np.float32))


@dataclass(frozen=True)
class Stretch:
    """Spread grey values so that the darkest and brightest percent become black and white."""

    def __call__(self, frame: Frame) -> Frame:
        """An image of one tone stays as it is."""
        low, high = np.percentile(frame.image, (1, 99))
        if high <= low:
            return frame
        image = np.clip((frame.image - low) / (high - low), 0, 1)
        return replace(frame, image=np.asarray(image, np.float32))


@dataclass(frozen=True)
class Normalise:
    """Bring a given mean to the middle and `reach` standard deviations to black and white: pixels stay in [0, 1]."""

    mean: float = 0.5
    deviation: float = 0.25
    reach: float = 3.0

    def __call__(self, frame: Frame) -> Frame:
        """What lies farther out is cut."""
        image = np.clip(0.5 + (frame.image - self.mean) / (2 * self.reach * self.deviation), 0, 1)
        return replace(frame, image=np.asarray(image, np.float32))


NAMED: dict[str, type[Any]] = {
    "breast": KeepBreast,
    "crop": CropToBreast,
    "lesions": CropToLesions,
    "face": FaceRight,
    "pectoral": RemovePectoral,
    "clahe": Clahe,
    "equalise": Equalise,
    "stretch": Stretch,
    "normalise": Normalise,
}


def named(text: str) -> tuple[Step, ...]:
    """The steps of a comma list, in its order; numbers follow a colon: "breast,clahe:2:8,normalise:0.4:0.2"."""
    return tuple(_one_named(text, *item.split(":")) for item in map(str.strip, text.split(",")) if item)


def _one_named(text: str, name: str, *numbers: str) -> Step:
    if name not in NAMED:
        raise UsageError(f"steps={text!r}: there is no step {name!r}; there are {', '.join(NAMED)}")
    try:
        step: Step = NAMED[name](*(float(number) if "." in number else int(number) for number in numbers))
    except (TypeError, ValueError) as error:
        known = ":".join(field.name for field in fields(NAMED[name]))
        raise UsageError(f"steps={text!r}: {name} takes {f'the numbers {known}' if known else 'no numbers'}") from error
    return step
