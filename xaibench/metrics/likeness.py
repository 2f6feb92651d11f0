"""How alike two maps are: the measures that stability, robustness and sanity share.

Maps are in [0, 1]. A map without contrast, as a spoilt network may give, is in no order: its rank correlation with
any other is 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
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
    ranks = np.stack([mean_ranks(one.ravel()) for one in maps])
    centred = ranks - (ranks.shape[1] + 1) / 2
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred / np.where(length > 0, length, 1), dtype=np.float64)


def mean_ranks(values: Floats) -> Scores:
    """The place of each value in their order, from 1; equal ones share the mean of their places."""
    order = np.argsort(values)
    is_new = np.diff(values[order], prepend=np.nan) != 0
    starts = np.flatnonzero(is_new)
    stops = np.append(starts[1:], len(values))
    ranks = np.empty(len(values))
    ranks[order] = ((starts + 1 + stops) / 2)[np.cumsum(is_new) - 1]
    return ranks


def spearman(one: Floats, other: Floats) -> Scores:
    """Rank correlation of the pixels of two maps, per image."""
    return correlation(standing(one), standing(other))


def correlation(one: Scores, other: Scores) -> Scores:
    """Of maps whose standing is known."""
    return np.asarray(np.clip((one * other).sum(axis=1), -1, 1), dtype=np.float64)


def spearman_with_each(plain: Floats, others: Sequence[Floats]) -> Scores:
    """Rank correlations of the plain maps with several others [B, others]; the plain ones are ranked once."""
    own = standing(plain)
    return np.stack([correlation(own, standing(other)) for other in others], axis=1)


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
