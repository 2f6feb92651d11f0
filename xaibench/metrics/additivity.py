"""Does the relevance of some pixels add up to what the output loses without them?

The pixels are hidden at places that do not depend on the map: the passes for an image are shared by all explainers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from xaibench.contracts import MetricCard
from xaibench.errors import UsageError
from xaibench.infills import Infill
from xaibench.metrics.removal import grid
from xaibench.metrics.responses import Output, checked_count, checked_output
from xaibench.metrics.subsets import ROUNDING, Subsets, correlation, losses, random_sets, squares

if TYPE_CHECKING:
    from xaibench.contracts import Case, Scores

WHOLE = 0  # cells: every pixel is a piece of its own


def _checked_cells(metric: str, cells: int) -> int:
    if not (isinstance(cells, int) and cells >= 0):
        raise UsageError(f"{metric}: cells is {cells}; give a whole number of cells per side, or 0 for single pixels.")
    return cells


class _Correlation:
    """Correlation of relevance and loss over sets of pieces."""

    card: MetricCard
    infill: Infill
    output: Output

    def sets(self, shape: tuple[int, ...], seed: int) -> Subsets:
        """The sets that are hidden from one image."""
        raise NotImplementedError

    def groups(self, count: int) -> list[slice]:
        """Which of them are correlated with each other."""
        return [slice(0, count)]

    def score(self, case: Case) -> Scores:
        """One value per image: the mean of the correlations that exist; undefined where none does."""
        sets = [self.sets(case.maps.shape[1:], seed) for seed in case.seeds]
        lost = losses(case, self.infill, sets, self.output)
        values = []
        for heatmap, some, loss in zip(case.maps, sets, lost, strict=True):
            relevance = some.relevance(heatmap)
            found = np.array([correlation(relevance[part], loss[part]) for part in self.groups(len(loss))])
            values.append(found[~np.isnan(found)].mean() if not np.isnan(found).all() else np.nan)
        return np.array(values, dtype=np.float64)


class FaithfulnessCorrelation(_Correlation):
    """Correlation, over random sets of one size, of their relevance and what the output loses without them."""

    card = MetricCard(
        name="faithfulness-correlation",
        dear=True,
        summary="Correlation of the relevance of random sets of patches and what the output loses without them",
        paper="Evaluating and Aggregating Feature-based Model Explanations (Bhatt et al., 2020)",
        family="faithfulness",
        higher_is_better=True,
        lowest=-1.0,
        worst=-1.0,
        needs=frozenset({"model"}),
        profiles={"paper": {"runs": 100, "cells": WHOLE, "share": 224 / 224**2}},
    )

    def __init__(
        self, runs: int = 64, share: float = 0.2, cells: int = 16, infill: str = "mean", output: str = "logit"
    ) -> None:
        if not 0 < share < 1:
            raise UsageError(f"{self.card.name}: share is {share}; give a share of the patches between 0 and 1.")
        self.runs = checked_count(self.card.name, "runs", runs)
        self.cells = _checked_cells(self.card.name, cells)
        self.share = share
        self.infill = Infill(infill)
        self.output = checked_output(self.card.name, output)

    def sets(self, shape: tuple[int, ...], seed: int) -> Subsets:
        """Random sets, all of one size."""
        pieces = int(grid(shape, self.cells).max()) + 1
        return random_sets(shape, self.cells, [max(1, round(self.share * pieces))] * self.runs, seed)


class SensitivityN(_Correlation):
    """The same correlation for sets of several sizes, from one piece to 80 % of them, averaged over the sizes."""

    card = MetricCard(
        name="sensitivity-n",
        summary="Correlation of relevance and loss over random sets of patches, averaged over sizes of the sets",
        paper="Towards Better Understanding of Gradient-based Attribution Methods for Deep Neural Networks "
        "(Ancona et al., 2018)",
        family="faithfulness",
        higher_is_better=True,
        lowest=-1.0,
        worst=-1.0,
        needs=frozenset({"model"}),
        default=False,
        profiles={"quick": {"sizes": 4, "runs": 16}, "paper": {"sizes": 16, "runs": 100, "cells": WHOLE}},
    )

    def __init__(
        self, sizes: int = 6, runs: int = 24, cells: int = 16, infill: str = "mean", output: str = "logit"
    ) -> None:
        self.sizes = checked_count(self.card.name, "sizes", sizes)
        self.runs = checked_count(self.card.name, "runs", runs)
        self.cells = _checked_cells(self.card.name, cells)
        self.infill = Infill(infill)
        self.output = checked_output(self.card.name, output)

    def sets(self, shape: tuple[int, ...], seed: int) -> Subsets:
        """Random sets, size by size; the sizes grow by equal factors."""
        pieces = int(grid(shape, self.cells).max()) + 1
        sizes = np.geomspace(1, max(1, 0.8 * pieces), self.sizes).round().astype(int)
        return random_sets(shape, self.cells, np.repeat(sizes, self.runs).tolist(), seed)

    def groups(self, count: int) -> list[slice]:
        """Sets of one size."""
        return [slice(start, start + self.runs) for start in range(0, count, self.runs)]


class FaithfulnessEstimate(_Correlation):
    """Correlation, over all patches, of the relevance of each and what the output loses without it alone."""

    card = MetricCard(
        name="faithfulness-estimate",
        summary="Correlation of the relevance of each patch and what the output loses without it alone",
        paper="Towards Robust Interpretability with Self-Explaining Neural Networks (Alvarez-Melis and Jaakkola, 2018)",
        family="faithfulness",
        higher_is_better=True,
        lowest=-1.0,
        worst=-1.0,
        needs=frozenset({"model"}),
        default=False,
        profiles={"quick": {"cells": 8}},
    )

    def __init__(self, cells: int = 8, infill: str = "mean", output: str = "logit") -> None:
        self.cells = checked_count(self.card.name, "cells", cells)
        self.infill = Infill(infill)
        self.output = checked_output(self.card.name, output)

    def sets(self, shape: tuple[int, ...], seed: int) -> Subsets:
        """Every patch alone."""
        patches = grid(shape, self.cells)
        return Subsets(patches, np.eye(int(patches.max()) + 1, dtype=bool))


class Infidelity:
    """How far the relevance of random squares is from what the output loses without them, in squares.

    Relevance has no unit, so it is first multiplied by the factor that serves it best, as the paper proposes, but
    never by a negative one: a map turned upside down would be as good as itself. With `relative` the error is a share
    of the mean squared loss, so that images at which the output moves much count no more than others: 0 if relevance
    is proportional to the loss, 1 if it knows nothing of it. Without, it is in squared units of the output.
    """

    card = MetricCard(
        name="infidelity",
        summary="Squared error of relevance, best scaled, as a forecast of what the output loses without a square",
        paper="On the (In)fidelity and Sensitivity of Explanations (Yeh et al., 2019)",
        family="faithfulness",
        higher_is_better=False,
        worst=1.0,
        needs=frozenset({"model"}),
        default=False,
        profiles={"quick": {"runs": 32}, "paper": {"runs": 1000, "relative": False}},
    )

    def __init__(self, runs: int = 64, infill: str = "mean", output: str = "logit", relative: bool = True) -> None:
        self.runs = checked_count(self.card.name, "runs", runs)
        self.infill = Infill(infill)
        self.output: Output = checked_output(self.card.name, output)
        self.relative = relative
        self.card = self.card if relative else replace(self.card, highest=None, worst=None)

    def score(self, case: Case) -> Scores:
        """One value per image; undefined where the output loses nothing at all."""
        sets = [squares(case.maps.shape[1:], self.runs, seed) for seed in case.seeds]
        lost = losses(case, self.infill, sets, self.output)
        pairs = zip(case.maps, sets, lost, strict=True)
        return np.array([self._one(some.relevance(heatmap), loss) for heatmap, some, loss in pairs], dtype=np.float64)

    def _one(self, relevance: Scores, loss: Scores) -> float:
        moved, given = loss @ loss, relevance @ relevance
        if self.relative and np.abs(loss).max() <= ROUNDING:
            return float("nan")
        factor = max(float(relevance @ loss) / float(given), 0.0) if given > 0 else 0.0
        error = float(((factor * relevance - loss) ** 2).sum())
        return error / float(moved) if self.relative else error / len(loss)
