"""A contact sheet: images of a task side by side, each as it is and with its lesions outlined."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_dilation, zoom

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xaibench.contracts import Floats, Mask, Sample, Split, Task

TILE, CAPTION, GAP = 224, 16, 6  # pixels
PAPER, INK = (255, 255, 255), (20, 20, 20)
LESION, REGION = (255, 64, 64), (64, 200, 255)


def contact_sheet(task: Task, split: Split, count: int) -> Image.Image:
    """Draw the first images of a split, four to a row."""
    entries = list(task.entries(split, 0))[:count]
    pairs = [_pair(task.load(entry), f"{task.classes[entry.label]}  {entry.id}") for entry in entries]
    columns = min(4, len(pairs))
    rows = -(-len(pairs) // columns)
    width, height = pairs[0].width + 2 * GAP, pairs[0].height + GAP
    sheet = Image.new("RGB", (columns * width, rows * height + GAP), PAPER)
    for at, pair in enumerate(pairs):
        sheet.paste(pair, ((at % columns) * width + GAP, (at // columns) * height + GAP))
    return sheet


def _pair(sample: Sample, caption: str) -> Image.Image:
    """The image, beside it the same with outlines, below it the caption."""
    plain = np.stack([_enlarged(sample.image.mean(axis=0), 1)] * 3, axis=-1)
    pixels = (np.clip(plain, 0, 1) * 255).astype(np.uint8)
    marked = pixels.copy()
    for masks, colour in ((sample.regions.values(), REGION), (sample.lesions, LESION)):
        for mask in masks:
            marked[_outline(mask)] = colour
    tile = Image.new("RGB", (2 * TILE + 2, TILE + CAPTION), PAPER)
    tile.paste(Image.fromarray(pixels), (0, 0))
    tile.paste(Image.fromarray(marked), (TILE + 2, 0))
    ImageDraw.Draw(tile).text((1, TILE + 2), caption, INK, ImageFont.load_default())
    return tile


def _enlarged(pixels: Floats, order: int) -> Floats:
    """Resize to a tile; non-square images are stretched."""
    factors = [TILE / side for side in pixels.shape]
    return np.asarray(zoom(pixels, factors, order=order, grid_mode=True, mode="nearest"), np.float32)


def _outline(mask: Mask) -> NDArray[np.bool_]:
    """The pixels just outside a mask, so that the lesion itself stays visible."""
    inside = _enlarged(mask.astype(np.float32), 0) > 0.5
    return np.asarray(binary_dilation(inside, iterations=2) & ~binary_dilation(inside), bool)
