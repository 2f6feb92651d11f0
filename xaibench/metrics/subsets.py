"""Does the relevance of some pixels add up to what the output loses without them?

The pixels are hidden at places that do not depend on the map: the passes for an image are shared by all explainers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from xaibench.metrics.removal import grid, sums
from xaibench.metrics.responses import Looks, Output, digest, read, responses
from xaibench.seeds import derive

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xaibench.contracts import Case, Floats, Scores
    from xaibench.infills import Infill
    from xaibench.metrics.removal import Labels

    Chosen = NDArray[np.bool_]  # [M, P]: the pieces that each mask hides


ROUNDING = 1e-6  # outputs that differ by less are the same


@dataclass(frozen=True, eq=False)
class Subsets:
    """Sets of pieces of one image."""

    labels: Labels  # [H, W]
    chosen: Chosen  # [M, P]

    def relevance(self, heatmap: Floats) -> Scores:
        """What the map gives to each set [M]."""
        return self.chosen @ sums(heatmap, self.labels)

    def looks(self, device: torch.device) -> Looks:
        """The image without each set."""
        places = torch.from_numpy(self.labels.ravel()).long().to(device)
        kept = torch.from_numpy(~self.chosen).to(device)

        def draw(some: NDArray[np.int64]) -> torch.Tensor:
            rows = kept[torch.from_numpy(some).to(device)]
            return rows.index_select(1, places).view(len(some), *self.labels.shape)

        family = digest("subsets", self.labels, np.packbits(self.chosen, axis=1))
        return Looks(family, range(len(self.chosen)), draw)


def losses(case: Case, infill: Infill, subsets: list[Subsets], output: Output) -> list[Scores]:
    """What the output of each image loses without each of its sets."""
    if case.classifier is None:
        msg = 'this metric runs the network: its card must ask for "model"'
        raise ValueError(msg)
    answers = responses(case, infill, [some.looks(case.classifier.device) for some in subsets])
    return [
        read(before, int(target), output) - read(after, int(target), output)
        for before, after, target in zip(case.logits, answers, case.targets, strict=True)
    ]


def random_sets(shape: tuple[int, ...], cells: int, sizes: list[int], seed: int) -> Subsets:
    """One set of so many pieces, drawn at random, for each size."""
    labels = grid(shape, cells)
    pieces = int(labels.max()) + 1
    rng = np.random.default_rng(derive("subsets", seed))
    chosen = np.zeros((len(sizes), pieces), dtype=bool)
    for row, size in enumerate(sizes):
        chosen[row, rng.choice(pieces, min(size, pieces), replace=False, shuffle=False)] = True
    return Subsets(labels, chosen)


def squares(shape: tuple[int, ...], runs: int, seed: int) -> Subsets:
    """Squares of random place and size: sides from 1/16 to 1/4 of the image's shorter side, evenly."""
    H, W = shape
    rng = np.random.default_rng(derive("squares", seed))
    chosen = np.zeros((runs, H, W), dtype=bool)
    for one in chosen:
        side = int(rng.integers(max(1, min(H, W) // 16), max(1, min(H, W) // 4) + 1))
        top, left = rng.integers(H - side + 1), rng.integers(W - side + 1)
        one[top : top + side, left : left + side] = True
    return Subsets(grid(shape, 0), chosen.reshape(runs, -1))


def correlation(relevance: Scores, loss: Scores) -> float:
    """Pearson's; undefined where either does not vary beyond rounding (networks compute with 24 bits)."""
    if np.ptp(relevance) <= 1e-12 * np.abs(relevance).max() or np.ptp(loss) <= ROUNDING:
        return float("nan")
    left, right = relevance - relevance.mean(), loss - loss.mean()
    return float(np.clip(left @ right / np.sqrt((left @ left) * (right @ right)), -1, 1))
