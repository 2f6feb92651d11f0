"""Pixels restored from those around them: every removed pixel is the weighted mean of its neighbours.

That is one sparse linear system per mask. Its matrix is symmetric and positive definite as long as one pixel is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import splu

if TYPE_CHECKING:
    from numpy.typing import NDArray

BESIDE, ACROSS = 1 / 6, 1 / 12
WEIGHTS = {(r, c): BESIDE if r * c == 0 else ACROSS for r in (-1, 0, 1) for c in (-1, 0, 1) if (r, c) != (0, 0)}


def harmonic(image: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """The image [C, H, W] with the pixels that a mask [M, H, W] does not keep restored from the others: [M, C, H, W].

    If nothing is kept, nothing can be restored: the answer is the mean of each channel.
    """
    pixels = image.detach().cpu().double().numpy()
    filled = np.stack([_restored(pixels, mask) for mask in kept.cpu().numpy().astype(bool)])
    return torch.from_numpy(filled).to(image)


def _restored(image: NDArray[np.float64], kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    if kept.all():
        return image
    if not kept.any():
        return np.broadcast_to(image.mean(axis=(1, 2), keepdims=True), image.shape)
    matrix, known = _system(image, kept)
    factors = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    restored = image.copy()
    restored[:, ~kept] = factors.solve(known).T
    return restored


def _system(image: NDArray[np.float64], kept: NDArray[np.bool_]) -> tuple[csc_matrix, NDArray[np.float64]]:
    """Weights among the removed pixels, and what the kept ones give them."""
    around = np.pad(~kept, 1)
    rows, columns = np.nonzero(around)
    count = len(rows)
    number = np.full(around.shape, -1)
    number[rows, columns] = np.arange(count)
    exists = np.pad(np.ones_like(kept), 1)
    values = np.pad(image * kept, ((0, 0), (1, 1), (1, 1)))
    diagonal, known = np.zeros(count), np.zeros((count, len(image)))
    entries = []
    for (row, column), weight in WEIGHTS.items():
        place = rows + row, columns + column
        diagonal += weight * exists[place]
        known += weight * values[:, place[0], place[1]].T
        (unknown,) = np.nonzero(number[place] >= 0)
        entries.append((unknown, number[place][unknown], np.full(len(unknown), -weight)))
    entries.append((np.arange(count), np.arange(count), diagonal))
    at, to, weights = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    return csc_matrix((weights, (at, to)), shape=(count, count)), known
