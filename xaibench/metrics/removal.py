"""Hiding an image piece by piece, in the order that a map gives.

The pieces are pixels, the cells of a grid, or segments, each worth its mean relevance. Of pieces that are tied, a
random one goes first, drawn from the image's own seed: an exact expectation over all orders would need a pass for
each of them. Exactly as many pieces are removed as a step asks for, whatever is tied.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch

from xaibench.metrics.responses import BOUNDED, Looks, Output, digest, read, responses
from xaibench.seeds import derive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from xaibench.contracts import Case, Floats, MetricCard, Scores
    from xaibench.infills import Infill

    Labels: TypeAlias = NDArray[np.int32]  # [H, W]: to which piece a pixel belongs, from 0 without gaps
    Counts: TypeAlias = NDArray[np.int64]


def grid(shape: tuple[int, ...], cells: int) -> Labels:
    """Pieces of nearly equal size: `cells` along each side, or as many as there are pixels; 0: every pixel its own."""
    rows, columns = (np.arange(side) * min(cells or side, side) // side for side in shape)
    return np.asarray(rows[:, None] * (columns[-1] + 1) + columns, dtype=np.int32)


def sums(heatmap: Floats, labels: Labels) -> Scores:
    """Relevance of every piece."""
    return np.asarray(np.bincount(labels.ravel(), weights=heatmap.ravel()), dtype=np.float64)


def ranking(heatmap: Floats, seed: int, labels: Labels | None = None) -> Labels:
    """The place [H, W] of each pixel's piece in the order of removal: 0 is the most relevant."""
    worth = heatmap.ravel() if labels is None else _means(heatmap, labels)
    order = np.random.default_rng(derive("ties", seed)).permutation(len(worth))
    order = order[_stable_order(0 - worth[order])]
    ranks = np.empty(len(worth), dtype=np.int32)
    ranks[order] = np.arange(len(worth), dtype=np.int32)
    return (ranks if labels is None else ranks[labels]).reshape(heatmap.shape)


def _stable_order(values: Scores | Floats) -> Counts:
    """From the smallest on, the first of equals first.

    Single precision is sorted by the lower and then by the upper half of its bits: numbers so short are counted into
    their places, not compared, which takes a fifth of the time.
    """
    if values.dtype != np.float32:
        return np.argsort(values, kind="stable")
    bits = values.view(np.uint32)
    # In the order of the numbers: negative ones come first, and the larger their bits the smaller they are.
    keys = np.where(bits >> 31, ~bits, bits | 0x80000000)
    order = np.argsort(keys.astype(np.uint16), kind="stable")
    return order[np.argsort((keys >> 16).astype(np.uint16)[order], kind="stable")]


def _means(heatmap: Floats, labels: Labels) -> Scores:
    """Mean relevance of every piece. Sums are rounded: what is equal to six decimals is tied."""
    return np.asarray(np.round(sums(heatmap, labels) / np.bincount(labels.ravel()), 6))


def shares(steps: int) -> Scores:
    """From nothing to everything in equal steps."""
    return np.linspace(0, 1, steps + 1)


class Removal:
    """Every image of a case with its pieces in order, and the network's answers to what is hidden."""

    def __init__(self, case: Case, infill: Infill, labels: Sequence[Labels] | None = None) -> None:
        self.case, self.infill = case, infill
        pieces: Sequence[Labels | None] = labels or [None] * len(case.maps)
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            given = zip(case.maps, case.seeds, pieces, strict=True)
            self.ranks = list(pool.map(lambda one: ranking(*one), given))
        self.pieces = np.array([ranks.max() + 1 for ranks in self.ranks], dtype=np.int64)

    def counts(self, parts: Scores) -> Counts:
        """How many pieces of each image [B, T] are nearest to these shares of them."""
        return np.floor(self.pieces[:, None] * parts + 0.5).astype(np.int64)

    def without_top(self, removed: Counts, output: Output) -> Scores:
        """Output [B, T] with so many [B, T] of the most relevant pieces hidden."""
        return self._outputs(removed, output)

    def only_top(self, shown: Counts, output: Output) -> Scores:
        """Output [B, T] with all hidden but so many [B, T] of the most relevant pieces."""
        pieces = np.broadcast_to(self.pieces[:, None], shown.shape)
        return self._outputs(np.where(shown == 0, pieces, np.where(shown == pieces, 0, -shown)), output)

    def _outputs(self, numbers: Counts, output: Output) -> Scores:
        """Masks have numbers: n hides the n most relevant pieces, -n shows only these; 0 is the untouched image."""
        asked = [self._looks(ranks, some[some != 0]) for ranks, some in zip(self.ranks, numbers, strict=True)]
        answers = responses(self.case, self.infill, asked)
        return np.stack([self._read(row, numbers[row], answers[row], output) for row in range(len(numbers))])

    def _looks(self, ranks: Labels, numbers: Counts) -> Looks:
        device = self.case.classifier.device if self.case.classifier else None
        places = torch.from_numpy(ranks).to(device)
        return Looks(digest("ranking", ranks), numbers.tolist(), lambda some: _masks(places, some))

    def _read(self, row: int, numbers: Counts, answers: Floats, output: Output) -> Scores:
        """The untouched image is known already."""
        logits = np.tile(self.case.logits[row], (len(numbers), 1))
        logits[numbers != 0] = answers
        return read(logits, int(self.case.targets[row]), output)


def _masks(places: torch.Tensor, numbers: Counts) -> torch.Tensor:
    """Places and numbers of the same type: comparing others would convert every pixel."""
    cut = torch.from_numpy(numbers).to(places.device, places.dtype)[:, None, None]
    return (places >= cut.abs()).logical_xor_(cut < 0)


def area(values: Scores, places: Scores) -> Scores:
    """Area under curves [B, T] over places [B, T], as a share of their width: a mean height."""
    width = np.diff(places, axis=-1)
    heights = (values[:, 1:] + values[:, :-1]) / 2
    return np.asarray((heights * width).sum(axis=-1) / width.sum(axis=-1))


def fitted(card: MetricCard, places: Scores, output: Output) -> MetricCard:
    """The card of a curve with these parameters: only probabilities have bounds."""
    changed = replace(card, curve=tuple(places.tolist()))
    return changed if output in BOUNDED else replace(changed, lowest=None, highest=None, worst=None)
