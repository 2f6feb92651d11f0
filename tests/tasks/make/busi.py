"""BUSI in small: folders and names exactly as published, with drawn scans.

Quirks kept: blanks and brackets in names; masks in modes 1, L, RGB and RGBA; second and third masks of one picture; a
mask of another size than its picture (555 x 465 beside 416 x 416, scaled down here); pictures as RGB, RGBA and L;
normal masks that are all black.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from xaibench.seeds import derive

if TYPE_CHECKING:
    from pathlib import Path

ROOT = "Dataset_BUSI_with_GT"
Disc = tuple[float, float, float]  # row, column and radius, as shares of the height, the width and the smaller side


@dataclass(frozen=True)
class Scan:
    """One picture: its mode and size, and per mask its mode, disc and size."""

    name: str  # "benign (1)"
    discs: tuple[Disc, ...] = ()
    modes: tuple[str, ...] = ("1",)  # of the masks
    mode: str = "RGB"
    size: tuple[int, int] = (56, 47)  # width, height
    mask_sizes: tuple[tuple[int, int], ...] = field(default=())  # as the picture's, unless given


ONE: tuple[Disc, ...] = ((0.5, 0.4, 0.2),)
TWO: tuple[Disc, ...] = ((0.4, 0.3, 0.15), (0.6, 0.7, 0.2))
SCANS = (
    Scan("benign (1)", ONE),
    Scan("benign (2)", ONE, ("L",)),
    Scan("benign (3)", ONE, ("RGB",)),
    Scan("benign (4)", TWO, ("1", "1"), size=(42, 42), mask_sizes=((42, 42), (55, 47))),
    Scan("benign (5)", ONE, mode="RGBA"),
    Scan("benign (6)", ONE, mode="L"),
    Scan("malignant (1)", ONE),
    Scan("malignant (2)", (*TWO, (0.2, 0.8, 0.1)), ("1", "1", "1")),
    Scan("malignant (3)", ONE, ("RGBA",)),
    Scan("malignant (4)", ONE),
    Scan("malignant (10)", ONE),
    Scan("normal (1)", (), ("RGB",)),
    Scan("normal (2)", (), ("RGB",)),
    Scan("normal (3)", (), ("RGB",)),
    Scan("normal (4)", (), ("RGB",)),
)


def make(root: Path, scans: tuple[Scan, ...] = SCANS) -> Path:
    """Write pictures and masks."""
    for scan in scans:
        folder = root / ROOT / scan.name.split()[0]
        folder.mkdir(parents=True, exist_ok=True)
        _speckle(scan).convert(scan.mode).save(folder / f"{scan.name}.png")
        for at, mode in enumerate(scan.modes):
            size = scan.mask_sizes[at] if scan.mask_sizes else scan.size
            disc = scan.discs[at] if scan.discs else None
            mask_of(disc, size, mode).save(folder / f"{scan.name}_mask{f'_{at}' if at else ''}.png")
    return root


def mask_of(disc: Disc | None, size: tuple[int, int], mode: str) -> Image.Image:
    """A white disc on black, or black alone. RGBA masks are opaque, their discs white."""
    mask = Image.new("L", size, 0)
    if disc:
        width, height = size
        row, column, radius = disc[0] * height, disc[1] * width, disc[2] * min(size)
        ImageDraw.Draw(mask).ellipse((column - radius, row - radius, column + radius, row + radius), fill=255)
    return mask.convert(mode)


def _speckle(scan: Scan) -> Image.Image:
    """Grey speckle, another for every name, darker where the lesions are."""
    random = np.random.default_rng(derive("busi", scan.name))
    width, height = scan.size
    grey = random.integers(60, 200, (height, width), dtype=np.uint8)
    for disc in scan.discs:
        grey[np.asarray(mask_of(disc, scan.size, "L")) > 0] //= 4
    return Image.fromarray(np.repeat(grey[..., None], 3, axis=2))
