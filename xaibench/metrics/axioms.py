"""What an attribution should be by its own axioms: complete, and silent where nothing matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from xaibench.contracts import Masking, MetricCard
from xaibench.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xaibench.contracts import Case, Classifier, Floats, Scores


class Completeness:
    """How far the sum of the raw map is from what the logit gains over a black image, relative to that gain.

    Only for explainers whose card promises the sum.
    """

    card = MetricCard(
        name="completeness",
        summary="Difference of the raw map's sum and the logit's gain over a black image, relative to the gain",
        paper="Axiomatic Attribution for Deep Networks (Sundararajan et al., 2017)",
        family="sanity",
        higher_is_better=False,
        highest=None,
        worst=None,
        needs=frozenset({"model", "additive"}),
        claims_quality=False,  # that a sum is right says nothing of its parts
        default=False,
    )

    def score(self, case: Case) -> Scores:
        """One value per image; undefined where the black image has the same logit."""
        classifier = running(case)
        rows = np.arange(len(case.targets))
        gain = case.logits[rows, case.targets].astype(np.float64) - _black(classifier, case.images)[rows, case.targets]
        total = case.raw.sum(axis=(1, 2), dtype=np.float64)
        return np.asarray(np.abs(total - gain) / np.where(gain == 0, np.nan, np.abs(gain)))


def running(case: Case) -> Classifier:
    """The network, which the cards here ask for."""
    if case.classifier is None:
        msg = "this metric runs the network, and the case has none: its card must say needs={'model'}"
        raise UsageError(msg)
    return case.classifier


@torch.inference_mode()
def _black(classifier: Classifier, images: Floats) -> Scores:
    """Logits [B, K] of as many black images: a network that sees by permission sees other parts of each."""
    logits = classifier.logits(torch.zeros(images.shape, device=classifier.device))
    return np.asarray(logits.cpu().numpy(), dtype=np.float64)


class NonSensitivity:
    """The share of patches where the map and the network disagree on whether they matter at all.

    A patch matters to the network if the logit moves by more than `tolerance` (as a share of the largest move of any
    patch) when the patch is replaced by the image's mean colour. It matters to the map if its attribution, summed over
    the patch, is more than the same share of the largest.
    """

    card = MetricCard(
        name="non-sensitivity",
        summary="Share of patches which matter to the map or to the network, but not to both",
        paper="On Quantitative Aspects of Model Interpretability (Nguyen and Martinez, 2020)",
        family="sanity",
        higher_is_better=False,
        worst=1.0,
        needs=frozenset({"model"}),
        claims_quality=False,
        default=False,  # a pass for every patch
        profiles={"quick": {"grid": 8}},
    )

    def __init__(self, grid: int = 16, tolerance: float = 0.01) -> None:
        if grid < 1 or not 0 <= tolerance < 1:
            msg = (
                f"non-sensitivity: grid={grid}, tolerance={tolerance}; give at least one patch per side and a share "
                "of the largest effect from 0 to below 1."
            )
            raise UsageError(msg)
        self.grid = grid
        self.tolerance = tolerance

    def score(self, case: Case) -> Scores:
        """One value per image."""
        classifier = running(case)
        patches = _patches(case.maps.shape[1:], self.grid)
        maskings = (Masking(image, 1 - patches, _mean_colour(image)) for image in torch.from_numpy(case.images))
        answers = classifier.masked_many(maskings)
        return np.array([self._disagreement(case, row, patches, logits) for row, logits in enumerate(answers)])

    def _disagreement(self, case: Case, row: int, patches: torch.Tensor, logits: torch.Tensor) -> float:
        target = case.targets[row]
        moves = np.abs(logits[:, target].cpu().numpy().astype(np.float64) - case.logits[row, target])
        sums = np.einsum("phw,hw->p", patches.numpy(), case.maps[row], dtype=np.float64)
        return float(np.mean(self._matters(moves) != self._matters(sums)))

    def _matters(self, effects: Scores) -> NDArray[np.bool_]:
        return np.asarray(effects > self.tolerance * effects.max())


def _mean_colour(image: torch.Tensor) -> torch.Tensor:
    return image.mean(dim=(1, 2), keepdim=True)


def _patches(shape: tuple[int, ...], grid: int) -> torch.Tensor:
    """Masks [P, H, W], 1 on one patch each: a grid, as even as the pixels allow, that covers the image once."""
    rows, columns = (torch.arange(side) * min(grid, side) // side for side in shape)
    cells = rows[:, None] * (int(columns[-1]) + 1) + columns[None, :]
    return torch.stack([(cells == number).float() for number in range(int(cells[-1, -1]) + 1)])
