"""The Vision Transformer as torchvision builds it, with preprocessing inside and for images of any size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch.nn import functional as F
from torchvision.models import vision_transformer  # type: ignore[import-untyped]

from xaibench.contracts import ModelCard
from xaibench.errors import UsageError
from xaibench_models.preprocessing import PREPARED, Preprocessing
from xaibench_models.trained import TrainedModel

if TYPE_CHECKING:
    import torch
    from torch import nn

    from xaibench.contracts import Task


class VisionTransformer(vision_transformer.VisionTransformer):  # type: ignore[misc]
    """torchvision's network, with its names and weights, fed with images in [0, 1].

    Images are first enlarged to the next square of whole patches.
    """

    def __init__(self, side: int, patch: int, layers: int, heads: int, width: int, classes: int) -> None:
        super().__init__(
            image_size=side,
            patch_size=patch,
            num_layers=layers,
            num_heads=heads,
            hidden_dim=width,
            mlp_dim=4 * width,
            num_classes=classes,
        )
        self.preprocessing = Preprocessing()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images [B, C, H, W] in [0, 1] -> logits [B, K]."""
        x = self.preprocessing(x)
        if x.shape[2:] != (self.image_size, self.image_size):
            x = F.interpolate(x, (self.image_size, self.image_size), mode="bilinear", align_corners=False)
        logits: torch.Tensor = super().forward(x)
        return logits


class ViT(TrainedModel):
    """The base network with patches of 16 pixels; smaller ones by `layers`, `heads` and `width`."""

    card = ModelCard(
        name="vit",
        summary=f"Vision Transformer, ViT-B/16; {PREPARED}",
        paper="Dosovitskiy et al.: An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale, "
        "ICLR 2021",
        licence="BSD-3-Clause",
        provides=frozenset({"gradients", "cam_layer", "attention"}),
    )
    imagenet = "ViT_B_16_Weights.IMAGENET1K_V1"
    fresh = head = ("heads.",)

    def __init__(
        self,
        *,
        patch: int = 16,
        layers: int = 12,
        heads: int = 12,
        width: int = 768,
        weights: str = "none",
        checkpoint: str = "",
        recipe: str = "quick",
        epochs: int | None = None,
    ) -> None:
        super().__init__(weights=weights, checkpoint=checkpoint, recipe=recipe, epochs=epochs)
        if min(patch, layers, heads) < 1 or width < heads or width % heads:
            raise UsageError(f"vit: width={width} must be a multiple of heads={heads}, and all sizes at least 1")
        self.patch, self.layers, self.heads, self.width = patch, layers, heads, width

    def network(self, task: Task) -> nn.Module:
        """Random weights, one logit per class."""
        side = self.patch * math.ceil(max(task.shape[1:]) / self.patch)
        return VisionTransformer(side, self.patch, self.layers, self.heads, self.width, len(task.classes))

    def cam_layer(self, task: Task) -> str | None:
        """What enters the last layer's attention: behind it, only the class token reaches the logits."""
        return f"encoder.layers.encoder_layer_{self.layers - 1}.ln_1"
