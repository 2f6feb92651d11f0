"""Feature maps as masks: each counts as much as the class score of the image seen through it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from xaibench.contracts import ExplainerCard
from xaibench.errors import UsageError
from xaibench_adapters.gradcam import CamExplainer, enlarged, stretched
from xaibench_adapters.layers import chosen_layers, look
from xaibench_adapters.masked_scores import CHUNK, checked_count, checked_infill, masked_scores, single, with_infill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xaibench.contracts import Batch, Classifier

VARIANTS = ("softmax", "raw", "probability")
ROUNDS = 10  # of moving the centres of groups of channels; they hardly move after that


class ScoreCAM(CamExplainer):
    """Channels of a layer, each weighed by the score of the image masked with it.

    A channel becomes a mask by enlarging it and stretching it to [0, 1]. Channels without contrast mask the whole
    image, so all of them share one pass.

    variant: softmax (the paper's algorithm: the softmax over channels of the class logits; the score of the baseline
    cancels in it), raw (the HMC-Net paper: the class logit itself, and masks are stretched before they are enlarged),
    probability (as in the code of the method's authors: the probability of the class, with no softmax over channels).
    channels: 0 for all; else channels of similar shape share a pass, in so many groups. Then the map is an estimate:
    of 1024 channels of a ResNet50, 126 groups gave maps with a correlation of 0.999 or more with the whole one.
    infill: what is seen where a mask is 0: black (as in the papers), mean, blur, noise.
    corners: enlarge with corners aligned, as pytorch-grad-cam does.
    layer: as for gradcam.
    """

    card = ExplainerCard(
        name="scorecam",
        dear=True,
        summary="Activations of one layer, each channel weighed by the score of the image masked with it",
        paper="Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks (Wang et al., 2020)",
        family="cam",
        needs=frozenset({"cam_layer"}),
        profiles={"quick": {"channels": 126}, "standard": {"channels": 512}, "paper": {"channels": 0}},
    )

    def __init__(
        self,
        layer: str = "",
        *,
        variant: str = "softmax",
        channels: int = 0,
        infill: str = "black",
        corners: bool = False,
    ) -> None:
        super().__init__(layer)
        if variant not in VARIANTS:
            raise UsageError(f"variant is {variant!r}; give one of: {', '.join(VARIANTS)}.")
        self.variant, self.channels, self.corners = variant, checked_count("channels", channels, 0), corners
        self.infill = checked_infill(infill)
        self.card = with_infill(self.card, self.infill)  # type: ignore[misc]

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        size = (batch.images.shape[2], batch.images.shape[3])
        layers = [self._activations(classifier, name, batch) for name in chosen_layers(classifier, self.layer)]
        cams = [enlarged(F.relu(self._weighed(classifier, batch, channels)), size) for channels in layers]
        return cams[0] if len(cams) == 1 else torch.stack([stretched(cam) for cam in cams]).mean(dim=0)

    def _activations(self, classifier: Classifier, name: str, batch: Batch) -> torch.Tensor:
        """[B, C, h, w]. Image by image: how channels are grouped must not hang on the last bit."""
        layer = {name: chosen_layers(classifier, self.layer)[name]}
        seen = [look(classifier, layer, one, gradients=False)[0].activations for one in single(batch)]
        return torch.cat(seen)

    def _weighed(self, classifier: Classifier, batch: Batch, activations: torch.Tensor) -> torch.Tensor:
        """The map [B, h, w] of one layer, before it is cut at 0."""
        groups = [self._groups(one) for one in activations]
        size = batch.images.shape[2:]
        masks = lambda index: self._masks(activations[index], groups[index], size)  # noqa: E731
        output = "probability" if self.variant == "probability" else "logit"
        scores = masked_scores(classifier, batch, masks, self.infill, output)
        maps = [
            torch.tensordot(self._weights(one[group]), channels, 1)
            for one, group, channels in zip(scores, groups, activations, strict=True)
        ]
        return torch.stack(maps)

    def _weights(self, scores: torch.Tensor) -> torch.Tensor:
        return scores.softmax(dim=0) if self.variant == "softmax" else scores

    def _groups(self, channels: torch.Tensor) -> torch.Tensor:
        """The number of the mask of each channel [C]; 0 is the empty mask of those without contrast."""
        flat = channels.flatten(1)
        live = ~(flat.amax(dim=1) == flat.amin(dim=1))  # NaN is live: it has to show
        found = torch.zeros(len(channels), dtype=torch.long, device=channels.device)
        count = int(live.sum())
        if 0 < self.channels < count:
            found[live] = 1 + grouped(stretched(channels[live]).flatten(1), self.channels)
        else:
            found[live] = 1 + torch.arange(count, device=channels.device)
        return found

    def _masks(self, channels: torch.Tensor, groups: torch.Tensor, size: torch.Size) -> Iterator[torch.Tensor]:
        """Masks [m, H, W]; the first is empty."""
        yield torch.zeros((1, *size), dtype=channels.dtype, device=channels.device)
        alone = len(torch.unique(groups)) == len(groups)
        shapes = channels if alone and self.variant != "raw" else stretched(channels)
        for numbers in torch.split(torch.arange(1, int(groups.max()) + 1, device=groups.device), CHUNK):
            if len(numbers):
                means = group_means(shapes.flatten(1), groups, numbers).view(-1, *channels.shape[1:])
                yield self._enlarged(means, size)

    def _enlarged(self, shapes: torch.Tensor, size: torch.Size) -> torch.Tensor:
        large = F.interpolate(shapes[None], size, mode="bilinear", align_corners=self.corners)[0]
        return large if self.variant == "raw" else stretched(large)


def grouped(shapes: torch.Tensor, count: int) -> torch.Tensor:
    """Put the rows of [n, d] into at most `count` groups of similar ones, numbered from 0; the group of each [n].

    K-means without randomness: its first centres are far apart.
    """
    centres = shapes[_far_apart(shapes, count)]
    for _ in range(ROUNDS):
        nearest = torch.cdist(shapes, centres).argmin(dim=1)
        centres = group_means(shapes, nearest, torch.unique(nearest))
    groups: torch.Tensor = torch.unique(torch.cdist(shapes, centres).argmin(dim=1), return_inverse=True)[1]
    return groups


def group_means(rows: torch.Tensor, groups: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """The mean row [m, d] of each group. As a product: adding row by row has no fixed order on a GPU."""
    members = (groups == numbers[:, None]).to(rows.dtype)
    means = (members @ rows) / members.sum(dim=1, keepdim=True)
    single = members.sum(dim=1) == 1
    return torch.where(single[:, None], rows[members.argmax(dim=1)], means)  # bit for bit


def _far_apart(shapes: torch.Tensor, count: int) -> torch.Tensor:
    """Rows of [n, d], each the farthest from those before it; the first is the farthest from the mean."""
    distances = torch.linalg.vector_norm(shapes - shapes.mean(dim=0), dim=1)
    picked = [distances.argmax()]
    distances = torch.full_like(distances, torch.inf)
    for _ in range(count - 1):
        distances = torch.minimum(distances, torch.linalg.vector_norm(shapes - shapes[picked[-1]], dim=1))
        picked.append(distances.argmax())
    return torch.stack(picked)
