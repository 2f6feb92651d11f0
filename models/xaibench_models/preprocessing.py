"""From a task's pixels to what a network expects; part of the network, so that explanations are of the pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from xaibench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SD = (0.229, 0.224, 0.225)
PREPARED = "takes pixels in [0, 1] and normalises them as ImageNet's"  # for cards


class Preprocessing(nn.Module):
    """Grey becomes three equal channels; then each channel is normalised. Differentiable."""

    mean: torch.Tensor
    sd: torch.Tensor

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, sd: Sequence[float] = IMAGENET_SD) -> None:
        super().__init__()
        # Part of the code and not of the weights: not persistent.
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("sd", torch.tensor(sd).view(-1, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [B, 1 or 3, H, W] in [0, 1] -> [B, 3, H, W]."""
        if images.ndim != 4 or images.shape[1] not in (1, 3):
            raise UsageError(
                f"images of shape {tuple(images.shape)}: this network takes grey or colour images, [B, 1 or 3, H, W]"
            )
        return (images.expand(-1, 3, -1, -1) - self.mean) / self.sd
