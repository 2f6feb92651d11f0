"""Networks small enough to reason about: of the first three, what each pixel is worth follows from the weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

from xaibench.classifier import TorchClassifier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xaibench.contracts import Precision

CLASSES = ("normal", "benign", "malignant")
PATCH = 8  # side of a patch of the transformer
WIDTH = 16  # of its tokens


class Linear(nn.Module):
    """logit_k = sum of weights[k] * image + bias[k].

    Its gradient is `weights[k]`. Gradient times input, integrated gradients, DeepLIFT and Shapley values, all over a
    black image, are `weights[k] * image`.
    """

    def __init__(self, weights: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("weights", weights)  # [K, C, H, W]
        self.register_buffer("bias", torch.zeros(len(weights)) if bias is None else bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [B, C, H, W] -> logits [B, K]."""
        return torch.einsum("bchw,kchw->bk", images, self.get_buffer("weights")) + self.get_buffer("bias")


class Additive(nn.Module):
    """logit_k = sum of weights[k] * image**2: not linear, but no pixel depends on another.

    Its gradient is `2 * weights[k] * image`. Integrated gradients and Shapley values over a black image are
    `weights[k] * image**2`: a method that adds up to the logit by luck on a linear network does not do so here.
    """

    def __init__(self, weights: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("weights", weights)  # [K, C, H, W]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [B, C, H, W] -> logits [B, K]."""
        return torch.einsum("bchw,kchw->bk", images.square(), self.get_buffer("weights"))


class PixelDetector(nn.Module):
    """Two classes: whether one pixel is bright. No other pixel can change the logits: every sound map points at it."""

    def __init__(self, row: int, column: int, gain: float = 10.0) -> None:
        super().__init__()
        self.row, self.column, self.gain = row, column, gain

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [B, C, H, W] -> logits [B, 2]."""
        evidence = self.gain * (images[:, :, self.row, self.column].mean(dim=1) - 0.5)
        return torch.stack([-evidence, evidence], dim=1)


class ToyCNN(nn.Module):
    """Two convolutions of fixed weights with a batch normalisation between them; `features` is the CAM layer.

    As in many networks, what the CAM layer puts out is then changed in place.
    """

    cam_layer = "features"

    def __init__(self, channels: int = 1, classes: int = len(CLASSES), seed: int = 24) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, 6, 3, padding=1, stride=2), nn.BatchNorm2d(6), nn.ReLU(inplace=True)
        )
        self.features = nn.Conv2d(6, 8, 3, padding=1, stride=2)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(8, classes)
        _fix([*self.parameters(), self.stem[1].get_buffer("running_mean")], seed, 0.4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [B, C, H, W] of any size -> logits [B, K]."""
        logits: torch.Tensor = self.head(self.pool(self.relu(self.features(self.stem(images)))))
        return logits


class FeatureAttention(nn.Module):
    """Feature maps that attend to feature maps."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query, self.key, self.scale = nn.Conv2d(channels, 4, 1), nn.Conv2d(channels, 4, 1), 0.5

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Maps [B, C, h, w] with what their places take from the places of `y`."""
        queries, keys = (self.query(x) * self.scale).flatten(2), self.key(y).flatten(2)
        weights = (queries.transpose(1, 2) @ keys).softmax(dim=2)
        taken: torch.Tensor = (y.flatten(2) @ weights.transpose(1, 2)).view_as(x)
        return x + taken


class AttentiveCNN(nn.Module):
    """A convolutional network with attention between places of its feature maps."""

    cam_layer = "features"

    def __init__(self, channels: int = 1, classes: int = len(CLASSES), seed: int = 5) -> None:
        super().__init__()
        self.features, self.attention = nn.Conv2d(channels, 8, 4, stride=4), FeatureAttention(8)
        self.head = nn.Linear(8, classes)
        _fix(list(self.parameters()), seed, 0.5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [B, C, H, W] -> logits [B, K]."""
        maps = F.relu(self.features(images))
        logits: torch.Tensor = self.head(self.attention(maps, maps).mean(dim=(2, 3)))
        return logits


class Block(nn.Module):
    """A layer of a transformer: attention, then two linear layers, each added to what it was given."""

    def __init__(self, heads: int = 2) -> None:
        super().__init__()
        self.norm, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens [B, N, D] -> tokens [B, N, D]."""
        seen = self.norm(tokens)
        tokens = tokens + self.attention(seen, seen, seen, need_weights=False)[0]
        mixed: torch.Tensor = tokens + self.mlp(self.norm2(tokens))
        return mixed


class ToyTransformer(nn.Module):
    """Two layers of attention over patches of 8 x 8 pixels, with a class token; for images of whole patches."""

    cam_layer = "blocks.1.norm"

    def __init__(self, channels: int = 1, classes: int = len(CLASSES), seed: int = 13) -> None:
        super().__init__()
        self.patches = nn.Conv2d(channels, WIDTH, PATCH, stride=PATCH)
        self.token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.blocks = nn.Sequential(Block(), Block())
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, classes)
        _fix(list(self.parameters()), seed, 0.4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [B, C, H, W] -> logits [B, K]."""
        patches = self.patches(images)
        tokens = patches.flatten(2).transpose(1, 2) + _places(patches.shape[2], patches.shape[3]).to(images.device)
        tokens = torch.cat([self.token.expand(len(images), -1, -1), tokens], dim=1)
        logits: torch.Tensor = self.head(self.norm(self.blocks(tokens))[:, 0])
        return logits


def classifier_of(
    network: nn.Module, classes: Sequence[str] = CLASSES, cam_layer: str | None = "", precision: Precision = "fp32"
) -> TorchClassifier:
    """A network as the harness hands it to plugins. cam_layer: "" for the one that its class names, if any."""
    layer = getattr(type(network), "cam_layer", None) if cam_layer == "" else cam_layer
    return TorchClassifier(network, classes, layer, precision=precision, batch_size=8)


def _places(rows: int, columns: int) -> torch.Tensor:
    """Where each patch lies, in waves, [1, rows * columns, WIDTH]."""
    steps = torch.arange(1, WIDTH // 4 + 1) * math.pi / 2
    down, across = (torch.linspace(0, 1, n)[:, None] * steps for n in (rows, columns))
    waves = [torch.cat([side.sin(), side.cos()], dim=1) for side in (down, across)]
    grid = torch.cat([waves[0][:, None].expand(-1, columns, -1), waves[1].expand(rows, -1, -1)], dim=2)
    return grid.reshape(1, rows * columns, WIDTH)


@torch.no_grad()
def _fix(tensors: Sequence[torch.Tensor], seed: int, scale: float) -> None:
    """The same weights everywhere."""
    generator = torch.Generator().manual_seed(seed)
    for tensor in tensors:
        tensor.copy_(torch.randn(tensor.shape, generator=generator) * scale)
