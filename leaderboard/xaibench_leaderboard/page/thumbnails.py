"""Small pictures: an image, a map over it, and where the lesions are."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from numpy.typing import NDArray

    from xaibench.contracts import Floats, Mask

    Pixels: TypeAlias = NDArray[np.uint8]

TILE = 128
QUALITY = 82
OUTLINE = (0, 229, 255)
# From transparent black over red and orange to pale yellow: light grows with the value, for all eyes.
HEAT = np.array([[0, 0, 0], [110, 10, 60], [205, 55, 35], [250, 150, 20], [255, 250, 170]], dtype=np.float64)


def plain(image: Floats, mask: Mask) -> Pixels:
    """The image [C, H, W] with its lesions outlined."""
    return outlined(_resized(_colours(image), Image.Resampling.BILINEAR), mask)


def overlaid(image: Floats, heatmap: Floats, mask: Mask) -> Pixels:
    """A map in [0, 1], of any size, over the grey image: the stronger, the less of the image is seen."""
    ground = _resized(_colours(image), Image.Resampling.BILINEAR).astype(np.float64).mean(axis=2, keepdims=True)
    heat = shrunk(heatmap)
    places = heat * (len(HEAT) - 1)
    colour = np.stack([np.interp(places, range(len(HEAT)), HEAT[:, channel]) for channel in range(3)], axis=2)
    weight = np.minimum(1.0, 0.15 + heat)[:, :, None] * (heat > 0.02)[:, :, None]
    return outlined(((1 - weight) * ground + weight * colour).round().astype(np.uint8), mask)


def failed(image: Floats, mask: Mask) -> Pixels:
    """The image under a cross: its map was flat or not finite."""
    made = (plain(image, mask) // 3).astype(np.uint8)
    steps = np.arange(TILE)
    made[steps, steps] = made[steps, TILE - 1 - steps] = 255
    return made


def sprite(tiles: Sequence[Pixels]) -> bytes:
    """Several pictures side by side, as one WebP file."""
    content = io.BytesIO()
    Image.fromarray(np.concatenate(tiles, axis=1)).save(content, "WEBP", quality=QUALITY, method=4)
    return content.getvalue()


def outlined(picture: Pixels, mask: Mask) -> Pixels:
    """A line around every lesion."""
    small = shrunk(mask.astype(np.float32)) > 0.5
    if mask.any() and not small.any():
        small = shrunk(mask.astype(np.float32)) > 0  # a lesion smaller than a pixel of the picture
    padded = np.pad(small, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    made = picture.copy()
    made[small & ~inside] = OUTLINE
    return made


def _colours(image: Floats) -> Pixels:
    """[C, H, W] in [0, 1] as red, green, blue; one channel is grey."""
    channels = image if len(image) == 3 else np.repeat(image[:1], 3, axis=0)
    made: Pixels = (np.clip(channels, 0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)
    return made


def _resized(picture: Pixels, how: Image.Resampling) -> Pixels:
    return np.asarray(Image.fromarray(picture).resize((TILE, TILE), how))


def shrunk(field: Floats) -> Floats:
    """[H, W] in [0, 1] at the size of a tile."""
    picture = Image.fromarray(np.ascontiguousarray(field, dtype=np.float32))
    small: Floats = np.clip(np.asarray(picture.resize((TILE, TILE), Image.Resampling.BOX)), 0, 1)
    return small
