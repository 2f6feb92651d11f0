"""One class of one image as the libraries want it: a function of images, safe against NaN and against mere rounding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from xaibench_adapters.superpixels import ROUNDING, chosen_output

if TYPE_CHECKING:
    from xaibench.contracts import Classifier, Floats
    from xaibench_adapters.superpixels import Output


# Images per pass. Not what is in the batch: the last bits of an answer depend on how many pass together, and the fits
# of the libraries blow them up; so an image's map would depend on its neighbours.
AT_ONCE = {"cpu": 8, "cuda": 64}


class Probe:
    """Answers with the class's output, and remembers whether the network said anything."""

    def __init__(self, classifier: Classifier, target: int, output: Output) -> None:
        self.classifier, self.target, self.output = classifier, target, output
        self.size = AT_ONCE.get(classifier.device.type, AT_ONCE["cpu"])
        self.broken = False  # an answer was NaN or infinite
        self._lowest = torch.full((), torch.inf)
        self._highest = torch.full((), -torch.inf)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Outputs [n] of images [n, C, H, W], in passes of `size`; 0 where the network gave none."""
        with torch.no_grad():
            parts = torch.split(images.to(self.classifier.device), self.size)
            logits = torch.cat([self.classifier.logits(some) for some in parts])
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
