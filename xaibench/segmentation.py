"""Superpixels: parts of an image that are switched on and off together.

Grey images are seen as the colour images they look like, so that the same picture has the same segments with one
channel and with three. Nothing falls back silently: SLIC of a constant image is a grid, which is what its algorithm
gives there; the other methods may find a single segment, and whoever needs more must say so.
"""

from __future__ import annotations

import hashlib
import warnings
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np
import torch
from skimage import segmentation

from xaibench.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from xaibench.contracts import Floats

    Labels: TypeAlias = NDArray[np.int32]
    Switches: TypeAlias = NDArray[np.bool_]

Segmentation: TypeAlias = Literal["slic", "quickshift", "felzenszwalb", "grid"]
METHODS: tuple[Segmentation, ...] = get_args(Segmentation)
C_INT = 2**31  # quickshift takes no larger seed
KEPT = 128  # segmentations in memory; 25 MB at 224 pixels

_cache: dict[object, Labels] = {}


def segment(
    image: Floats,
    method: Segmentation = "slic",
    count: int = 100,
    compactness: float = 10.0,
    iterations: int = 10,
    sigma: float = 1.0,
    seed: int = 0,
) -> Labels:
    """Label the pixels of an image [C, H, W] by segment: [H, W], from 0 on without gaps.

    `count` is how many segments `slic` and `grid` aim at; `quickshift` and `felzenszwalb` find their own number, with
    the parameters that LIME uses. `compactness`, `iterations` and `sigma`, by how many pixels the image is smoothed
    first, are those of SLIC; without smoothing, noise tears its segments to shreds, which it then melts into few or
    one. Only quickshift, which breaks ties at random, needs the seed.
    """
    check(method, count, compactness, iterations, sigma)
    if not np.isfinite(image).all():
        raise DataError("An image with NaN or infinite pixels cannot be segmented; see to the data.")
    key = (_digest(image), image.shape, method, count, compactness, iterations, sigma, seed * (method == "quickshift"))
    if (labels := _cache.get(key)) is None:
        labels = _contiguous(_found(image, method, count, compactness, iterations, sigma, seed))
        while len(_cache) >= KEPT:
            _cache.pop(next(iter(_cache)), None)
        _cache[key] = labels
    return labels.copy()  # whoever writes into it must not spoil it for the next


def check(method: str, count: int, compactness: float = 10.0, iterations: int = 10, sigma: float = 1.0) -> None:
    """Refuse parameters that no image can be segmented with: an explainer does so when it is made."""
    if method not in METHODS:
        raise UsageError(f"Segmentation {method!r} is not known; choose one of: {', '.join(METHODS)}.")
    if count < 1 or iterations < 1 or not compactness > 0 or not 0 <= sigma < np.inf:
        raise UsageError(
            f"Segments: count is {count}, iterations {iterations}, compactness {compactness}, sigma {sigma}; "
            "count and iterations must be 1 or more, compactness above 0, sigma not negative."
        )


def segment_masks(
    labels: Labels, coalitions: Switches, device: torch.device, chunk: int = 64
) -> Iterator[torch.Tensor]:
    """Masks [m, H, W] for `Classifier.masked`, chunk by chunk: 1 where a coalition [M, S] keeps the segment.

    They are composed on the device from one row of switches each, so that any number of them needs little memory.
    """
    places = torch.from_numpy(np.ascontiguousarray(labels, dtype=np.int64)).to(device).flatten()
    for start in range(0, len(coalitions), chunk):
        rows = torch.from_numpy(coalitions[start : start + chunk].astype(np.float32)).to(device)
        yield rows.index_select(1, places).reshape(len(rows), *labels.shape)


def _found(
    image: Floats, method: Segmentation, count: int, compactness: float, iterations: int, sigma: float, seed: int
) -> NDArray[np.integer]:
    if method == "grid":
        return _grid(image.shape[1:], count)
    channels = np.repeat(image, 3, axis=0) if len(image) == 1 else image
    picture = np.ascontiguousarray(channels.transpose(1, 2, 0), dtype=np.float64)
    found: NDArray[np.integer]
    if method == "slic":
        found = segmentation.slic(picture, count, compactness, iterations, sigma, start_label=0, channel_axis=-1)
    elif method == "felzenszwalb":
        with warnings.catch_warnings():
            # It says so of every image with more than three channels, and does it right.
            warnings.filterwarnings("ignore", "Got image with third dimension", RuntimeWarning)
            found = segmentation.felzenszwalb(picture, scale=100, channel_axis=-1)
    else:
        colour = picture.shape[2] == 3
        found = segmentation.quickshift(  # type: ignore[no-untyped-call]
            picture, kernel_size=4, max_dist=200, ratio=0.2, convert2lab=colour, rng=seed % C_INT, channel_axis=-1
        )
    return found


def _grid(size: tuple[int, ...], count: int) -> NDArray[np.integer]:
    """About `count` cells, as square as the image allows; at least one pixel each."""
    height, width = size
    rows = min(height, max(1, round((count * height / width) ** 0.5)))
    columns = min(width, max(1, round(count / rows)))
    row, column = np.arange(height) * rows // height, np.arange(width) * columns // width
    cells: NDArray[np.integer] = np.add.outer(row * columns, column)
    return cells


def _contiguous(labels: NDArray[np.integer]) -> Labels:
    numbers: NDArray[np.integer] = np.unique(labels, return_inverse=True)[1]
    return numbers.reshape(labels.shape).astype(np.int32)


def _digest(image: Floats) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(image).tobytes(), digest_size=16).digest()
