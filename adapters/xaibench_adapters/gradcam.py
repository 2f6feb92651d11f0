"""Class activation maps weighed by gradients, at the layer the model names for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from xaibench.contracts import ExplainerCard
from xaibench.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

    from xaibench.contracts import Batch, Classifier


class CamExplainer:
    """What the family shares: channels of one layer, weighed, added, cut at 0 and enlarged to the image."""

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        if classifier.cam_layer is None:
            raise UsageError("This network has no spatial layer, and CAM methods need one; choose another explainer.")
        activations, gradients = _at_layer(classifier, classifier.cam_layer, batch)
        cams = F.relu(self.weigh(activations, gradients).sum(dim=1, keepdim=True))
        size = batch.images.shape[2:]
        return F.interpolate(cams, size, mode="bilinear", align_corners=False).squeeze(1)

    def weigh(self, activations: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """Channels [B, C, h, w] as they enter the sum."""
        raise NotImplementedError


class GradCAM(CamExplainer):
    """Each channel counts as much as its gradient does in the mean."""

    card = ExplainerCard(
        name="gradcam",
        summary="Activations of one layer, each channel weighed by its mean gradient",
        paper="Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization "
        "(Selvaraju et al., 2017)",
        family="cam",
        needs=frozenset({"gradients", "cam_layer"}),
    )

    def weigh(self, activations: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """Channels [B, C, h, w] as they enter the sum."""
        return gradients.mean(dim=(2, 3), keepdim=True) * activations


class HiResCAM(CamExplainer):
    """Each place of each channel counts as much as its own gradient."""

    card = ExplainerCard(
        name="hirescam",
        summary="Activations of one layer, each place weighed by its own gradient",
        paper="Use HiResCAM instead of Grad-CAM for Faithful Explanations of Convolutional Neural Networks "
        "(Draelos and Carin, 2020)",
        family="cam",
        needs=frozenset({"gradients", "cam_layer"}),
    )

    def weigh(self, activations: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """Channels [B, C, h, w] as they enter the sum."""
        return gradients * activations


class LayerCAM(CamExplainer):
    """As HiResCAM, but only places whose gradient speaks for the class."""

    card = ExplainerCard(
        name="layercam",
        summary="Activations of one layer, each place weighed by its own gradient where that is positive",
        paper="LayerCAM: Exploring Hierarchical Class Activation Maps for Localization (Jiang et al., 2021)",
        family="cam",
        needs=frozenset({"gradients", "cam_layer"}),
    )

    def weigh(self, activations: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """Channels [B, C, h, w] as they enter the sum."""
        return F.relu(gradients) * activations


def _at_layer(classifier: Classifier, layer: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """What the layer put out, and the gradient there of each image's own target logit."""
    outputs: list[torch.Tensor] = []

    def restart(_module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        """Begin the graph here: what lies before the layer needs no memory and no backward pass."""
        outputs.append(output.detach().requires_grad_())
        return outputs[-1].clone()  # the network may go on in place

    hook = layer.register_forward_hook(restart)
    try:
        with torch.enable_grad():
            logits = classifier.logits(batch.images)
            chosen = logits.gather(1, batch.targets[:, None]).sum()
    finally:
        hook.remove()
    if not outputs or outputs[-1].ndim != 4:
        found = f"put out {tuple(outputs[-1].shape)}" if outputs else "was not used"
        raise UsageError(f"The CAM layer {found}; it must put out [images, channels, rows, columns]. Name another.")
    (gradients,) = torch.autograd.grad(chosen, outputs[-1])
    return outputs[-1].detach().float(), gradients.float()
