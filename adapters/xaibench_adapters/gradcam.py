"""Class activation maps weighed by gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import torch
from torch.nn import functional as F

from xaibench.contracts import ExplainerCard, ExplainerNeed
from xaibench_adapters.layers import Seen, chosen_layers, look

if TYPE_CHECKING:
    from xaibench.contracts import Batch, Classifier

NEEDS: frozenset[ExplainerNeed] = frozenset({"gradients", "cam_layer"})


class CamExplainer:
    """What the family shares: channels of a layer, weighed, added, cut at 0 and enlarged to the image.

    layer: a module of the network ("layer3", "encoder.layers.encoder_layer_10.ln_1"); "" for the one that the model
    names. Several joined by + ("layer3+layer4") give the mean of their maps, each stretched to [0, 1] before.
    """

    card: ClassVar[ExplainerCard]  # of an object without parameters; each object has its own

    def __init__(self, layer: str = "") -> None:
        self.layer = layer
        if layer:  # a model that names no layer need not name one
            self.card = replace(type(self).card, needs=self.card.needs - {"cam_layer"})  # type: ignore[misc]

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        layers = chosen_layers(classifier, self.layer)
        size = (batch.images.shape[2], batch.images.shape[3])
        seen = look(classifier, layers, batch, gradients="gradients" in self.card.needs)
        cams = [F.relu(self.combine(one)) for one in seen]
        if len(cams) == 1:
            return enlarged(cams[0], size)
        return torch.stack([enlarged(stretched(cam), size) for cam in cams]).mean(dim=0)

    def combine(self, seen: Seen) -> torch.Tensor:
        """The map [B, h, w] of one layer, before it is cut at 0."""
        assert seen.gradients is not None  # noqa: S101  # asked for by every card that comes here
        return self.weigh(seen.activations, seen.gradients).sum(dim=1)

    def weigh(self, activations: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """Channels [B, C, h, w] as they enter the sum."""
        raise NotImplementedError


def enlarged(cams: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Maps [B, h, w] as large as the image. A flat one stays flat: interpolation would round it to a pattern."""
    large = F.interpolate(cams.unsqueeze(1), size, mode="bilinear", align_corners=False).squeeze(1)
    flat = cams.amax(dim=(1, 2)) == cams.amin(dim=(1, 2))
    return torch.where(flat[:, None, None], cams[:, :1, :1], large)


def stretched(maps: torch.Tensor) -> torch.Tensor:
    """Each map of [B, H, W] from its own minimum, 0, to its own maximum, 1; a flat one becomes 0."""
    flat = maps.flatten(1)
    lowest, highest = flat.amin(dim=1)[:, None, None], flat.amax(dim=1)[:, None, None]
    contrast = highest - lowest
    return (maps - lowest) / torch.where(contrast == 0, torch.ones_like(contrast), contrast)


class GradCAM(CamExplainer):
    """Each channel counts as much as its gradient does in the mean."""

    card = ExplainerCard(
        name="gradcam",
        summary="Activations of one layer, each channel weighed by its mean gradient",
        paper="Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization "
        "(Selvaraju et al., 2017)",
        family="cam",
        needs=NEEDS,
    )

    def weigh(self, activations: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """Channels [B, C, h, w] as they enter the sum."""
        return gradients.mean(dim=(2, 3), keepdim=True) * activations


class GradCAMPlusPlus(CamExplainer):
    """Each channel counts as much as its positive gradients do, places with few of them the more.

    The closed form for the exponential of the logit: then the second and third derivatives are powers of the first,
    and the weight of a place, g^2 / (2 g^2 + S g^3) with S the channel's sum, is 1 / (2 + S g).
    """

    card = ExplainerCard(
        name="gradcam++",
        summary="Activations of one layer, each channel weighed by its positive gradients, in closed form",
        paper="Grad-CAM++: Improved Visual Explanations for Deep Convolutional Networks (Chattopadhyay et al., 2018)",
        family="cam",
        needs=NEEDS,
    )

    def weigh(self, activations: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """Channels [B, C, h, w] as they enter the sum."""
        shares = 2 + activations.sum(dim=(2, 3), keepdim=True) * gradients
        shares = torch.where(shares == 0, torch.inf, shares)  # a pole, where a channel's sum is negative
        return (F.relu(gradients) / shares).sum(dim=(2, 3), keepdim=True) * activations


class XGradCAM(CamExplainer):
    """Each channel counts as much as its gradients do, weighed by the activations."""

    card = ExplainerCard(
        name="xgradcam",
        summary="Activations of one layer, each channel weighed by its gradients where it is active",
        paper="Axiom-based Grad-CAM: Towards Accurate Visualization and Explanation of CNNs (Fu et al., 2020)",
        family="cam",
        needs=NEEDS,
    )

    def weigh(self, activations: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """Channels [B, C, h, w] as they enter the sum."""
        sums = activations.double().sum(dim=(2, 3), keepdim=True)  # before a ReLU it may all but cancel
        weights = (gradients.double() * activations).sum(dim=(2, 3), keepdim=True)
        return (weights / torch.where(sums == 0, torch.inf, sums)).float() * activations


class HiResCAM(CamExplainer):
    """Each place of each channel counts as much as its own gradient."""

    card = ExplainerCard(
        name="hirescam",
        summary="Activations of one layer, each place weighed by its own gradient",
        paper="Use HiResCAM instead of Grad-CAM for Faithful Explanations of Convolutional Neural Networks "
        "(Draelos and Carin, 2020)",
        family="cam",
        needs=NEEDS,
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
        needs=NEEDS,
    )

    def weigh(self, activations: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """Channels [B, C, h, w] as they enter the sum."""
        return F.relu(gradients) * activations
