"""One class of one image as the libraries want it: a function of images, safe against NaN and against mere rounding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from xaibench_adapters.superpixels import ROUNDING, chosen_output

if TYPE_CHECKING:
    from xaibench.contracts import Classifier, Floats
    from xaibench_adapters.superpixels import Output


AT_ONCE = {"cpu": 32, "cuda": 256}  # images that a library is to hand over together


class Probe:
    """Answers with the class's output, and remembers whether the network said anything."""

    def __init__(self, classifier: Classifier, target: int, output: Output) -> None:
        self.classifier, self.target, self.output = classifier, target, output
        self.size = AT_ONCE.get(classifier.device.type, AT_ONCE["cpu"])
        self.broken = False  # an answer was NaN or infinite
        self._lowest = torch.full((), torch.inf)
        self._highest = torch.full((), -torch.inf)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Outputs [n] of images [n, C, H, W]; 0 where the network gave none.

        A library composes its images itself: to the engine each is an infill that a mask of zeros shows whole.
        """
        nothing = torch.zeros(1, 1, 1).expand(len(images), *images.shape[2:])
        logits = self.classifier.masked(torch.zeros_like(images[0]), nothing, images)
        self.note(logits)
        outputs = chosen_output(logits.double(), self.target, self.output)
        return torch.where(outputs.isfinite(), outputs, 0.0)

    def note(self, logits: torch.Tensor) -> None:
        """Take notice of answers [n, K]."""
        finite = bool(logits.isfinite().all())
        self.broken |= not finite
        if finite:
            self._lowest = torch.minimum(self._lowest, logits.amin(dim=0).cpu())
            self._highest = torch.maximum(self._highest, logits.amax(dim=0).cpu())

    def judged(self, one: Floats) -> Floats:
        """The map [H, W]: NaN if an answer was, and flat if all answers were the same but for rounding."""
        if self.broken:
            return np.full_like(one, np.nan)
        largest = torch.maximum(self._highest.abs(), self._lowest.abs()).max()
        if bool((self._highest - self._lowest).max() <= ROUNDING * largest):
            return np.zeros_like(one)
        return one
