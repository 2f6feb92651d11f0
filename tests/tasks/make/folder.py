"""A user's folder in small: images of every format with their masks, and the table that names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from tests.tasks.make.inbreast import write_dicom

if TYPE_CHECKING:
    from pathlib import Path

FORMATS = ("png", "pgm", "tif", "jpg", "dcm")
HEIGHT, WIDTH = 60, 48
LESION = (slice(20, 40), slice(10, 30))


def pixels(number: int) -> np.ndarray:
    """Blocks of grey that differ from image to image; the odd ones carry a bright square."""
    rng = np.random.default_rng(number)
    image = rng.integers(40, 120, (HEIGHT // 6, WIDTH // 6), dtype=np.uint8).repeat(6, axis=0).repeat(6, axis=1)
    if number % 2:
        image[LESION] = 240
    return image


def write(folder: Path, count: int = 20, patients: bool = True) -> Path:
    """Even images are `fine`, odd ones are `ill` and have a mask; two images per patient."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    lines = ["image,label,mask" + (",patient" if patients else "")]
    for number in range(count):
        kind = FORMATS[number // 2 % len(FORMATS)]
        file = folder / "images" / f"{number:02d}.{kind}"
        if kind == "dcm":
            write_dicom(file, pixels(number).astype(np.uint16) * 16, bits=12)
        else:
            Image.fromarray(pixels(number)).save(file)
        mask = ""
        if number % 2:
            mask = f"masks/{number:02d}.png"
            drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
            drawn[LESION] = 1  # as annotation tools write it: 1, not 255
            Image.fromarray(drawn).save(folder / mask)
        whose = f",P{number // 4}" if patients else ""
        lines.append(f"images/{file.name},{'ill' if number % 2 else 'fine'},{mask}{whose}")
    (folder / "index.csv").write_text("\n".join(lines) + "\n")
    return folder
