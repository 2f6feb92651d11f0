"""HMC-Net: a ResNet-50 whose stages attend to themselves and to the stage before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from xaibench.contracts import ModelCard
from xaibench_models.preprocessing import Preprocessing
from xaibench_models.resnet import resnet50
from xaibench_models.trained import TrainedModel, deepest

if TYPE_CHECKING:
    from xaibench.contracts import Task

# Most attention weights that are held at once, whatever the batch and the image size.
WEIGHTS_AT_ONCE = 2**25


class Attention(nn.Module):
    """x + gamma * softmax(Q(x) K(y)^T) V(y), every position of x asking every position of y."""

    def __init__(self, channels: int, scaled: bool) -> None:
        super().__init__()
        inner = channels // 8
        self.query = nn.Conv2d(channels, inner, 1)
        self.key = nn.Conv2d(channels, inner, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(()))  # at 0 the block does nothing: training starts from a plain ResNet
        self.scale = inner**-0.5 if scaled else 1.0

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Feature maps x [B, C, H, W] and y of the same shape -> [B, C, H, W]."""
        queries, keys, values = (_tokens(maps) for maps in (self.query(x) * self.scale, self.key(y), self.value(y)))
        found = _attend(queries, keys, values)
        return x + self.gamma * found.transpose(1, 2).reshape(x.shape)


def _tokens(maps: torch.Tensor) -> torch.Tensor:
    """Feature maps [B, C, H, W] as one row per position, [B, HW, C]."""
    return maps.flatten(2).transpose(1, 2)


def _attend(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Attention in chunks of queries. What a chunk's gradient needs is computed again instead of being kept."""
    B, N, _ = queries.shape
    rows = max(1, WEIGHTS_AT_ONCE // (B * keys.shape[1]))
    if rows >= N:
        return _weigh(queries, keys, values)
    chunks = [
        checkpoint(_weigh, chunk, keys, values, use_reentrant=False) for chunk in torch.split(queries, rows, dim=1)
    ]
    return torch.cat(chunks, dim=1)


def _weigh(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return (queries @ keys.transpose(1, 2)).softmax(-1) @ values


class HMCNet(nn.Module):
    """The network. The modules of the ResNet keep torchvision's names.

    hierarchical: the first two stages attend to themselves. multiscale: the last two attend to the stage before.
    """

    def __init__(self, classes: int, scaled: bool, hierarchical: bool = True, multiscale: bool = True) -> None:
        super().__init__()
        self.preprocessing = Preprocessing((0.5,) * 3, (0.5,) * 3)
        trunk = resnet50(classes)
        self.conv1, self.bn1, self.relu, self.maxpool = trunk.conv1, trunk.bn1, trunk.relu, trunk.maxpool
        # In the order of use: who freezes layers counts from the input.
        self.layer1, self.ha1 = trunk.layer1, Attention(256, scaled) if hierarchical else None
        self.layer2, self.ha2 = trunk.layer2, Attention(512, scaled) if hierarchical else None
        self.layer3, self.match23 = trunk.layer3, nn.Conv2d(512, 1024, 1) if multiscale else None
        self.ca23 = Attention(1024, scaled) if multiscale else None
        self.layer4, self.match34 = trunk.layer4, nn.Conv2d(1024, 2048, 1) if multiscale else None
        self.ca34 = Attention(2048, scaled) if multiscale else None
        self.avgpool, self.fc = trunk.avgpool, trunk.fc

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [B, C, H, W] in [0, 1] -> logits [B, K]."""
        x0 = self.maxpool(self.relu(self.bn1(self.conv1(self.preprocessing(images)))))
        x1 = _within(self.ha1, self.layer1(x0))
        x2 = _within(self.ha2, self.layer2(x1))
        x3 = _across(self.ca23, self.match23, self.layer3(x2), x2)
        x4 = _across(self.ca34, self.match34, self.layer4(x3), x3)
        logits: torch.Tensor = self.fc(self.avgpool(x4).flatten(1))
        return logits


def _within(attention: Attention | None, maps: torch.Tensor) -> torch.Tensor:
    """A stage that attends to itself; without attention it stays as it is."""
    return maps if attention is None else attention(maps, maps)


def _across(
    attention: Attention | None, match: nn.Conv2d | None, maps: torch.Tensor, before: torch.Tensor
) -> torch.Tensor:
    """A stage that attends to the one before it, which is brought to its channels and size.

    Bilinear: at half the size that is the mean of four neighbours. The paper does not name its interpolation.
    """
    if attention is None or match is None:
        return maps
    context = F.interpolate(match(before), size=maps.shape[-2:], mode="bilinear", align_corners=False)
    found: torch.Tensor = attention(maps, context)
    return found


PAPER = (
    "HMC-net: a ResNet fused hierarchical multi-scale cross-attention architecture for mammographic breast malignancy "
    "recognition incorporating explainable AI"
)
PREPARED = "takes pixels in [0, 1] and brings them to [-1, 1]"
PROVIDED = frozenset({"gradients", "cam_layer", "attention"})


class HMC(TrainedModel):
    """HMC-Net from the paper's equations; it comes to 33.1 million parameters, where its Table 2 says 45.

    scaled: divide by the root of the keys' size before the softmax, as equations 11 and 14 say (equation 5 does not).
    """

    card = ModelCard(
        name="hmc",
        summary=f"HMC-Net: ResNet-50 with hierarchical self-attention and multi-scale cross-attention; {PREPARED}",
        paper=PAPER,
        provides=PROVIDED,
    )
    imagenet = "ResNet50_Weights.IMAGENET1K_V2"  # of its trunk; the paper trains from scratch
    fresh = ("fc.", "ha1.", "ha2.", "match23.", "ca23.", "match34.", "ca34.")
    hierarchical, multiscale = True, True

    def __init__(
        self,
        *,
        scaled: bool = True,
        weights: str = "none",
        checkpoint: str = "",
        recipe: str = "quick",
        epochs: int | None = None,
    ) -> None:
        super().__init__(weights=weights, checkpoint=checkpoint, recipe=recipe, epochs=epochs)
        self.scaled = scaled

    def network(self, task: Task) -> nn.Module:
        """Random weights, one logit per class."""
        return HMCNet(len(task.classes), self.scaled, self.hierarchical, self.multiscale)

    def cam_layer(self, task: Task) -> str | None:
        """What attention made of the deepest stage whose grid is fine enough: the paper's CA34 at 224 px."""
        first, second = ("ha1", "ha2") if self.hierarchical else ("layer1", "layer2")
        third, fourth = ("ca23", "ca34") if self.multiscale else ("layer3", "layer4")
        return deepest(task, ((first, 4), (second, 8), (third, 16), (fourth, 32)))


class HMCHierarchical(HMC):
    """Its ablation with the self-attention of the first two stages alone."""

    card = ModelCard(
        name="hmc-hierarchical",
        summary=f"HMC-Net without cross-attention: the paper's ablation; {PREPARED}",
        paper=PAPER,
        provides=PROVIDED,
    )
    multiscale = False


class HMCMultiscale(HMC):
    """Its ablation with the cross-attention of the last two stages alone."""

    card = ModelCard(
        name="hmc-multiscale",
        summary=f"HMC-Net without self-attention: the paper's ablation; {PREPARED}",
        paper=PAPER,
    )
    hierarchical = False
