"""How much the score falls when one segment of the image is covered."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from xaibench.contracts import ExplainerCard
from xaibench.segmentation import Segmentation, check, segment, segment_masks
from xaibench_adapters.masked_scores import checked_infill, checked_output, masked_scores, with_infill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xaibench.contracts import Batch, Classifier
    from xaibench.segmentation import Labels


class FeatureAblation:
    """Each segment shows the fall of the score when it alone is covered.

    segmentation: slic, quickshift, felzenszwalb or grid. segments: how many slic and grid aim at.
    compactness: of slic: the higher, the squarer.
    infill: what covers a segment: black, mean (of each channel), blur, noise.
    output: what falls: the logit, or the probability.
    """

    card = ExplainerCard(
        name="feature-ablation",
        dear=True,
        summary="Fall of the score when one segment of the image is covered",
        paper="Visualizing and Understanding Convolutional Networks (Zeiler and Fergus, 2014), over superpixels",
        family="perturbation",
        sign="signed",
        profiles={"quick": {"segments": 100}, "standard": {"segments": 100}, "paper": {"segments": 100}},
    )

    def __init__(
        self,
        *,
        segmentation: Segmentation = "slic",
        segments: int = 100,
        compactness: float = 10.0,
        infill: str = "mean",
        output: str = "logit",
    ) -> None:
        check(segmentation, segments, compactness)
        self.segmentation, self.segments, self.compactness = segmentation, segments, compactness
        self.infill, self.output = checked_infill(infill), checked_output(output)
        card = with_infill(type(self).card, self.infill)
        self.card = replace(card, stochastic=card.stochastic or segmentation == "quickshift")

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        images = batch.images.cpu().numpy()
        labels = [
            segment(image, self.segmentation, self.segments, self.compactness, seed=seed)
            for image, seed in zip(images, batch.seeds, strict=True)
        ]

        def masks(index: int) -> Iterator[torch.Tensor]:
            return segment_masks(labels[index], _all_but_each(labels[index]), classifier.device)

        scores = masked_scores(classifier, batch, masks, self.infill, self.output)
        falls = ((one[0] - one[1:]).cpu() for one in scores)
        return torch.stack([fall[torch.from_numpy(places).long()] for fall, places in zip(falls, labels, strict=True)])


def _all_but_each(labels: Labels) -> np.ndarray:
    """The coalition of all segments, then one without each [1 + S, S]."""
    count = int(labels.max()) + 1
    return np.concatenate([np.ones((1, count), dtype=bool), ~np.eye(count, dtype=bool)])
