"""The image seen through the map itself, every pixel as far as it is relevant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from xaibench.contracts import MetricCard
from xaibench.infills import Infill
from xaibench.metrics.responses import Looks, digest, read, responses

if TYPE_CHECKING:
    from xaibench.contracts import Case, Floats, Scores

PAPER = "Grad-CAM++: Improved Visual Explanations for Deep Convolutional Networks (Chattopadhay et al., 2018)"


def _before_and_after(case: Case, infill: Infill) -> tuple[Scores, Scores]:
    """Probability [B] of the target for the image, and for the image through its map."""
    answers = responses(case, infill, [_through(heatmap, case) for heatmap in case.maps])
    logits = zip(case.logits, (rows[0] for rows in answers), case.targets, strict=True)
    pairs = [[read(some, int(target), "probability") for some in (before, after)] for before, after, target in logits]
    before, after = np.array(pairs, dtype=np.float64).T
    return before, after


def _through(heatmap: Floats, case: Case) -> Looks:
    device = case.classifier.device if case.classifier else None
    return Looks(
        digest("map", heatmap), [0], lambda _: torch.tensor(np.ascontiguousarray(heatmap[None]), device=device)
    )


class AverageDrop:
    """Share of the probability that is lost when the image is seen through its map; a gain counts as no loss.

    Relative to the probability of the untouched image, as in the paper. A map that shows everything loses nothing:
    read it beside a metric that counts what is shown.
    """

    card = MetricCard(
        name="average-drop",
        summary="Share of the class's probability that is lost when the image is seen through its map",
        paper=PAPER,
        family="faithfulness",
        higher_is_better=False,
        worst=1.0,
        needs=frozenset({"model"}),
        default=False,
    )

    def __init__(self, infill: str = "black") -> None:
        self.infill = Infill(infill)

    def score(self, case: Case) -> Scores:
        """One value per image; undefined where there was no probability to lose."""
        before, after = _before_and_after(case, self.infill)
        lost = np.full_like(before, np.nan)
        np.divide(np.maximum(before - after, 0), before, out=lost, where=before > 0)
        return lost


class IncreaseInConfidence:
    """1 if the probability is higher when the image is seen through its map, else 0."""

    card = MetricCard(
        name="increase-in-confidence",
        summary="Whether the class's probability is higher when the image is seen through its map",
        paper=PAPER,
        family="faithfulness",
        higher_is_better=True,
        needs=frozenset({"model"}),
        # To show evidence in full raises no probability: a map that misses some of what speaks against the class does.
        claims_quality=False,
        default=False,
    )

    def __init__(self, infill: str = "black") -> None:
        self.infill = Infill(infill)

    def score(self, case: Case) -> Scores:
        """One value per image."""
        before, after = _before_and_after(case, self.infill)
        return (after > before).astype(np.float64)
