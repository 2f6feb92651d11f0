"""Each channel counts as much as the class score falls without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from xaibench.batching import Batcher
from xaibench.contracts import ExplainerCard
from xaibench_adapters.gradcam import CamExplainer, enlarged, stretched
from xaibench_adapters.layers import chosen_layers, look
from xaibench_adapters.masked_scores import checked_count, single

if TYPE_CHECKING:
    from torch import nn

    from xaibench.contracts import Batch, Classifier

AT_ONCE = 2**24  # numbers in one batch of a layer's outputs


class AblationCAM(CamExplainer):
    """Channels of a layer, each weighed by the fall of the class logit when the channel is set to 0.

    The fall is not divided by the logit, as it is in the paper: a division that scales the whole map, and turns it over
    where the logit is negative. What lies before the layer is computed once per batch, not once per channel.

    channels: 0 for all; else only so many are tried, those with the largest sum of squares, and the others left out.
    Then the map is an estimate: a channel enters it about with the square of its size, in the fall and in the sum.
    layer: as for gradcam.
    """

    card = ExplainerCard(
        name="ablationcam",
        dear=True,
        summary="Activations of one layer, each channel weighed by what the score loses without it",
        paper="Ablation-CAM: Visual Explanations for Deep Convolutional Network via Gradient-free Localization "
        "(Desai and Ramaswamy, 2020)",
        family="cam",
        needs=frozenset({"cam_layer"}),
        profiles={"quick": {"channels": 126}, "standard": {"channels": 0}, "paper": {"channels": 0}},
    )

    def __init__(self, layer: str = "", *, channels: int = 0) -> None:
        super().__init__(layer)
        self.channels = checked_count("channels", channels, 0)

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        size = (batch.images.shape[2], batch.images.shape[3])
        layers = chosen_layers(classifier, self.layer)
        maps = []
        for name, layer in layers.items():
            cams = [self._cam(classifier, name, layer, one) for one in single(batch)]
            maps.append(enlarged(F.relu(torch.cat(cams)), size))
        return maps[0] if len(maps) == 1 else torch.stack([stretched(cams) for cams in maps]).mean(dim=0)

    @torch.no_grad()
    def _cam(self, classifier: Classifier, name: str, layer: nn.Module, batch: Batch) -> torch.Tensor:
        """The map [1, h, w] of one image and layer, before it is cut at 0."""
        (activations,) = look(classifier, {name: layer}, batch, gradients=False)[0].activations
        tried = self._tried(activations)
        masks = torch.zeros((1 + len(tried), len(activations)), dtype=torch.bool, device=activations.device)
        masks[1:].scatter_(1, tried[:, None], True)  # the first is empty
        room = max(1, AT_ONCE // activations.numel())
        parts = Batcher(room).run(masks, lambda some: _without(classifier, layer, batch.images, some))
        scores = torch.cat([logits[:, batch.targets[0]] for _, logits in parts])
        cam: torch.Tensor = torch.tensordot(scores[0] - scores[1:], activations[tried], 1)
        return cam[None]

    def _tried(self, activations: torch.Tensor) -> torch.Tensor:
        """The numbers of the channels that are set to 0 [n]."""
        count = len(activations)
        sizes = activations.square().sum(dim=(1, 2))
        return sizes.argsort(descending=True, stable=True)[: self.channels or count].sort().values


def _without(classifier: Classifier, layer: nn.Module, image: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Logits [m, K] of one image [1, C, H, W], without the channels of each mask [m, channels] of the layer."""

    def ablate(_module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        removed = masks[:, :, None, None] if output.ndim == 4 else masks[:, None, :]
        return torch.where(removed, 0, output)

    hook = layer.register_forward_hook(ablate)
    try:
        logits = classifier.logits(image)
    finally:
        hook.remove()
    classifier.counters.forward += len(masks) - 1  # so many went through what follows the layer
    return logits
