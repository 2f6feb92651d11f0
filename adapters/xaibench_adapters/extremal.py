"""The part of the image, of a given size, that keeps the score highest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from xaibench.contracts import ExplainerCard
from xaibench.errors import UsageError
from xaibench_adapters.gradcam import enlarged
from xaibench_adapters.gradients import poisoned, target_logits
from xaibench_adapters.masked_scores import checked_count, checked_infill, single, with_infill

if TYPE_CHECKING:
    from xaibench.contracts import Batch, Classifier

RATE = 1.0  # of a step along the gradient, whose largest entry is scaled to 1
MOMENTUM = 0.8
BISECTIONS = 40
STILL = 1e-6  # a score that covering the whole image moves by less, relative to its size, has nothing to show


class ExtremalPerturbation:
    """For each of several areas the smooth mask that keeps the score highest; the map is the mean of the masks.

    The size of a mask is not a penalty, as it is in the paper, but holds at every step: what is optimised are heights,
    and the threshold that shows exactly the given share of them is worked out. All masks start flat, so nothing is
    random.

    areas: shares of the image joined by +. steps: passes forward and back per area. cells: of a mask, per side.
    infill: what is seen elsewhere: blur (as in the paper), black, mean, noise.
    """

    card = ExplainerCard(
        name="extremal-perturbation",
        summary="Smooth masks of given sizes that keep the score highest, found by gradient ascent",
        paper="Understanding Deep Networks via Extremal Perturbations and Smooth Masks (Fong et al., 2019)",
        family="perturbation",
        needs=frozenset({"gradients"}),
        default=False,
        profiles={
            "quick": {"areas": "0.05+0.15+0.3", "steps": 20},
            "standard": {"steps": 100},
            "paper": {"areas": "0.025+0.05+0.1+0.2", "steps": 800},
        },
    )

    def __init__(
        self, *, areas: str = "0.05+0.1+0.2+0.4", steps: int = 100, cells: int = 14, infill: str = "blur"
    ) -> None:
        self.areas = _shares(areas)
        self.steps, self.cells = checked_count("steps", steps), checked_count("cells", cells, 2)
        self.infill = checked_infill(infill)
        self.card = with_infill(type(self).card, self.infill)

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        return torch.stack([self._map(classifier, one) for one in single(batch)])

    def _map(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """The map [H, W] of one image; its areas go through the network together."""
        image, infill = batch.images[0], self.infill.of(batch.images[0], batch.seeds[0])
        with torch.no_grad():
            seen, covered = target_logits(classifier, torch.stack([image, infill]), batch.targets.expand(2))
        targets = batch.targets.expand(len(self.areas))
        areas = torch.tensor(self.areas, device=image.device)[:, None, None]
        heights = torch.zeros((len(self.areas), self.cells, self.cells), device=image.device)
        if (seen - covered).abs() > STILL * seen.abs():
            heights = self._climbed(classifier, image, infill, targets, areas, heights)
        masks = enlarged(shown(heights, areas), (image.shape[1], image.shape[2]))
        return poisoned(masks.mean(dim=0)[None], (seen + covered)[None])[0]

    def _climbed(
        self,
        classifier: Classifier,
        image: torch.Tensor,
        infill: torch.Tensor,
        targets: torch.Tensor,
        areas: torch.Tensor,
        heights: torch.Tensor,
    ) -> torch.Tensor:
        speed = torch.zeros_like(heights)
        for _ in range(self.steps):
            leaf = heights.detach().requires_grad_()
            with torch.enable_grad():
                masks = enlarged(shown(leaf, areas), (image.shape[1], image.shape[2]))
                logits = target_logits(classifier, torch.lerp(infill, image, masks[:, None]), targets)
                (slope,) = torch.autograd.grad(logits.sum(), leaf)
            largest = slope.abs().amax(dim=(1, 2), keepdim=True)
            speed = MOMENTUM * speed + slope / torch.where(largest == 0, torch.ones_like(largest), largest)
            heights = heights + RATE * speed
        return heights


def shown(heights: torch.Tensor, areas: torch.Tensor) -> torch.Tensor:
    """Masks [n, h, w] in [0, 1], smooth steps at the height above which the given share of each lies."""
    with torch.no_grad():
        low, high = heights.amin(dim=(1, 2), keepdim=True) - 20, heights.amax(dim=(1, 2), keepdim=True) + 20
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            too_much = torch.sigmoid(heights - middle).mean(dim=(1, 2), keepdim=True) > areas
            low, high = torch.where(too_much, middle, low), torch.where(too_much, high, middle)
        level = (low + high) / 2
        there = torch.sigmoid(heights - level)
        slope = (there * (1 - there)).mean(dim=(1, 2), keepdim=True)
    # One step of Newton's method, which moves nothing but carries the gradient of the threshold.
    excess = torch.sigmoid(heights - level).mean(dim=(1, 2), keepdim=True) - areas
    return torch.sigmoid(heights - (level + excess / slope))


def _shares(text: str) -> list[float]:
    try:
        shares = [float(part) for part in str(text).split("+")]
    except ValueError:
        shares = []
    if not shares or not all(0 < share < 1 for share in shares):
        raise UsageError(f"areas is {text!r}; give shares of the image between 0 and 1, joined by +, as in 0.05+0.2.")
    return shares
