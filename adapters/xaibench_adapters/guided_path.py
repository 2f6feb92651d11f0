"""Gradients gathered on a way that the network chooses: pixels that hardly matter come into view first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from xaibench.batching import Batcher
from xaibench.contracts import ExplainerCard
from xaibench.errors import UsageError
from xaibench_adapters.drawing import at_least
from xaibench_adapters.gradients import AT_ONCE, AT_ONCE_ELSEWHERE, target_gradients

if TYPE_CHECKING:
    from xaibench.contracts import Batch, Classifier

ROUNDING = 1e-6  # of the whole way: nearer than this, a step has arrived


class GuidedIG:
    """Gradients gathered from black to the image, at each step through the pixels whose gradient is least.

    steps: places on the way; share: of the pixels that move together; stray: how far a pixel may be ahead of the
    straight way, or behind it, as a share of the way.
    """

    card = ExplainerCard(
        name="guided-ig",
        summary="Gradients gathered from black to the image, pixels of least gradient first, times the change",
        paper="Guided Integrated Gradients: An Adaptive Path Method for Removing Noise (Kapishnikov et al., 2021)",
        family="gradient",
        sign="signed",
        needs=frozenset({"gradients"}),
        default=False,
        profiles={"quick": {"steps": 32}, "paper": {"steps": 200}},
    )

    def __init__(self, steps: int = 50, share: float = 0.25, stray: float = 0.02) -> None:
        self.steps = at_least(self.card.name, "steps", steps)
        for name, given in (("share", share), ("stray", stray)):
            if not 0 < given <= 1:
                raise UsageError(f"{self.card.name}: {name} is {given}; give a share above 0, 1 at most.")
        self.share, self.stray = share, stray

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        at_once = AT_ONCE.get(classifier.device.type, AT_ONCE_ELSEWHERE)
        rows = list(range(len(batch.images)))
        parts = Batcher(at_once).run(rows, lambda some: self._maps(classifier, batch.images[some], batch.targets[some]))
        return torch.cat([maps for _, maps in parts])

    def _maps(self, classifier: Classifier, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """All images take their own ways at once: a pass for each step."""
        seen, sums = torch.zeros_like(images), torch.zeros_like(images)  # seen: the share of each pixel in view
        for step in range(1, self.steps + 1):
            gradients = target_gradients(classifier, seen * images, targets)
            for row, (image, gradient) in enumerate(zip(images, gradients, strict=True)):
                further = self.advance(seen[row], image, gradient, step / self.steps)
                sums[row] += (further - seen[row]) * image * gradient
                seen[row] = further
        return sums.sum(dim=1)

    def advance(self, seen: torch.Tensor, image: torch.Tensor, gradient: torch.Tensor, goal: float) -> torch.Tensor:
        """The shares in view once `goal` of all brightness is, reached through the pixels of least gradient."""
        seen = seen.clamp(min=goal - self.stray)
        last = min(goal + self.stray, 1.0)
        weight, slope = image.abs(), gradient.abs()
        total = weight.sum()
        together = max(1, round(self.share * seen.numel()))
        while (missing := goal * total - (weight * seen).sum()) > ROUNDING * total:
            waiting = (seen < last) & (weight > 0)
            slopes = torch.where(waiting, slope, torch.inf).flatten()
            moving = waiting & (slope <= slopes.kthvalue(together).values)
            room = (weight * (last - seen))[moving].sum()
            if room > missing:
                return torch.where(moving, torch.lerp(seen, seen.new_tensor(last), missing / room), seen)
            if not moving.any():  # a gradient of NaN leads nowhere
                return seen
            seen = torch.where(moving, last, seen)
        return seen
