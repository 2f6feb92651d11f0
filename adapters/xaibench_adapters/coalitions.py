"""Which segments to switch on together: the choice of samples decides how much a pass tells.

All rows are [M, S] bool. "Opposite" rows switch on exactly what their partner switches off: whatever of the network's
answer does not change sign with the coalition, such as interactions of two segments, cancels between the two.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from scipy.linalg import hadamard
from scipy.special import comb

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Switches: TypeAlias = NDArray[np.bool_]
    Doubles: TypeAlias = NDArray[np.float64]

Spread: TypeAlias = Literal["leverage", "shapley"]


def coin_flips(count: int, segments: int, rng: np.random.Generator) -> Switches:
    """As LIME draws them: the whole image, then every segment on or off by a coin."""
    rows = rng.integers(0, 2, size=(count, segments)).astype(bool)
    rows[0] = True
    return rows


def balanced(count: int, segments: int, rng: np.random.Generator) -> Switches:
    """The whole image, then opposite pairs in which segments are on equally often and independently of each other.

    The pairs are rows of Hadamard matrices, each with its columns chosen, ordered and inverted at random: within a
    matrix any two segments are on together exactly as often as not.
    """
    order = 2 ** int(segments).bit_length()
    blocks = [np.ones((1, segments), dtype=bool)]
    while sum(map(len, blocks)) < count:
        columns = 1 + rng.permutation(order - 1)[:segments]
        signs = hadamard(order)[rng.permutation(order)][:, columns] * rng.choice([-1, 1], segments)
        blocks.append(np.stack([signs > 0, signs < 0], axis=1).reshape(-1, segments))
    return np.concatenate(blocks)[:count]


@dataclass(frozen=True, eq=False)
class Pairs:
    """One row of each opposite pair; `weights` make a sum over the drawn pairs one over all pairs there are."""

    rows: Switches
    weights: Doubles
    complete: bool  # every pair there is


def opposite_pairs(count: int, segments: int, rng: np.random.Generator, spread: Spread) -> Pairs:
    """Distinct pairs of coalitions that are neither whole nor empty, for Kernel SHAP.

    `spread` says how pairs are shared among sizes: as Shapley's kernel weighs them, or evenly, which is what the
    leverage scores of that regression ask for. Sizes that can be had in full are, as if drawn without replacement.
    """
    sizes = np.arange(1, segments // 2 + 1)
    existing = comb(segments, sizes) / np.where(2 * sizes == segments, 2, 1)
    wishes = np.where(2 * sizes == segments, 1.0, 2.0) / (sizes * (segments - sizes) if spread == "shapley" else 1)
    expected = _shared(count, wishes, existing)
    numbers = _rounded(expected, rng)
    drawn = [_distinct(int(number), segments, int(size), rng) for number, size in zip(numbers, sizes, strict=True)]
    kernel = (segments - 1) / (comb(segments, sizes) * sizes * (segments - sizes))
    weights = np.repeat(kernel * existing / expected, numbers)
    empty = np.empty((0, segments), dtype=bool)
    return Pairs(np.concatenate([empty, *drawn]), weights, complete=bool(count >= existing.sum()))


def _shared(count: int, wishes: Doubles, existing: Doubles) -> Doubles:
    """How many pairs of each size, in proportion to the wishes but never more than exist."""
    if count >= existing.sum():
        return existing
    full = np.zeros(len(wishes), dtype=bool)
    while True:
        shares = np.where(full, existing, wishes * (count - existing[full].sum()) / wishes[~full].sum())
        over = ~full & (shares > existing)
        if not over.any():
            return shares
        full |= over


def _rounded(expected: Doubles, rng: np.random.Generator) -> NDArray[np.int64]:
    """Whole numbers with these expectations and the same total."""
    edges = np.concatenate([[0.0], np.cumsum(expected - np.floor(expected))])
    return (np.floor(expected) + np.diff(np.floor(edges + rng.random() - 1e-9))).astype(np.int64)


def _distinct(number: int, segments: int, size: int, rng: np.random.Generator) -> Switches:
    """As many different coalitions of one size, every segment in about as many; of two opposite ones only one."""
    halves = 2 * size == segments
    existing = comb(segments, size, exact=True) // (2 if halves else 1)
    if existing <= 4 * number:
        first = itertools.combinations(range(segments), size)
        members = np.array(list(itertools.islice(first, existing)))
        return _switched(members[np.sort(rng.permutation(existing)[:number])], segments)
    kept: dict[bytes, NDArray[np.bool_]] = {}
    each = segments // size  # an order of the segments is cut into as many coalitions
    while len(kept) < number:
        orders = rng.random((-(-number // each), segments)).argsort(axis=1)
        rows = _switched(orders[:, : each * size].reshape(-1, size), segments)
        if halves:
            rows ^= ~rows[:, :1]  # the one of the two that has the first segment
        kept |= {row.tobytes(): row for row in rows}
    chosen = np.array(list(itertools.islice(kept.values(), number)), dtype=bool)
    return chosen.reshape(number, segments)


def _switched(members: NDArray[np.int64], segments: int) -> Switches:
    rows = np.zeros((len(members), segments), dtype=bool)
    np.put_along_axis(rows, members, True, axis=1)
    return rows
