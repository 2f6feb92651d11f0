"""How alike two maps are: the measures that stability, robustness and sanity share.

Maps are in [0, 1]. A map without contrast, as a spoilt network may give, is in no order: its rank correlation with
any other is 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata
from skimage.metrics import structural_similarity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xaibench.contracts import Floats, Scores

    Likeness = Callable[[Floats, Floats], Scores]

WINDOW = 7  # side, in pixels, of the places that the structural similarity compares


def standing(maps: Floats) -> Scores:
    """The ranks of the pixels [B, N], ties at their mean, less their mean and of length 1: products are correlations.

    A flat map stands nowhere: zeros.
    """
    ranks = np.stack([rankdata(one, method="average") for one in maps])
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred / np.where(length > 0, length, 1), dtype=np.float64)


def spearman(one: Floats, other: Floats) -> Scores:
    """Rank correlation of the pixels of two maps, per image."""
    return np.asarray(np.clip((standing(one) * standing(other)).sum(axis=1), -1, 1), dtype=np.float64)


def ssim(one: Floats, other: Floats) -> Scores:
    """Structural similarity of two maps, per image, in windows of 7 pixels a side, or 5 or 3 if no more fit."""
    side = min(WINDOW, *one.shape[1:])
    window = side - (side + 1) % 2
    values = [
        structural_similarity(a, b, win_size=window, data_range=1.0)  # type: ignore[no-untyped-call]
        for a, b in zip(one, other, strict=True)
    ]
    return np.array(values)


def iou(one: Floats, other: Floats, threshold: float = 0.5) -> Scores:
    """Intersection over union of what reaches the threshold in two maps; 1 if nothing does in either."""
    a, b = one >= threshold, other >= threshold
    both, either = np.count_nonzero(a & b, axis=(1, 2)), np.count_nonzero(a | b, axis=(1, 2))
    return np.asarray(np.where(either > 0, both / np.maximum(either, 1), 1.0), dtype=np.float64)


def length(maps: Floats) -> Scores:
    """The Euclidean norm of all that belongs to an image."""
    return np.asarray(np.sqrt(np.square(maps.reshape(len(maps), -1).astype(np.float64)).sum(axis=1)))


def mean_over_pairs(maps: Sequence[Floats], likeness: Likeness) -> Scores:
    """The mean over all pairs of several maps of the same images."""
    pairs = [likeness(one, other) for place, one in enumerate(maps) for other in maps[place + 1 :]]
    return np.asarray(np.mean(pairs, axis=0), dtype=np.float64)


def mean_rank_correlation(maps: Sequence[Floats]) -> Scores:
    """The same for the rank correlation, with each map ranked once: the pairs are what the square of the sum holds."""
    stands = [standing(one) for one in maps]
    squares = sum(np.square(one).sum(axis=1) for one in stands)
    total = np.square(np.sum(stands, axis=0)).sum(axis=1)
    count = len(maps)
    return np.asarray(np.clip((total - squares) / (count * (count - 1)), -1, 1), dtype=np.float64)
