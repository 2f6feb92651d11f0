"""DALAResNet50: a ResNet-50 with lightweight channel attention and two activated linear layers.

The published description leaves much open; every choice is a parameter with a default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from xaibench.contracts import ModelCard
from xaibench.errors import UsageError
from xaibench_models.preprocessing import PREPARED
from xaibench_models.resnet import STAGES, Bottleneck, ResNet, resnet50
from xaibench_models.trained import TrainedModel, deepest

if TYPE_CHECKING:
    from xaibench.contracts import Task

CHANNELS = 2048


class ChannelAttention(nn.Module):
    """Mean of every channel, one linear layer, a weight in [0, 1] per channel; the weighed maps join the old ones."""

    def __init__(self, channels: int, fusion: str, dropout: float) -> None:
        super().__init__()
        self.weigh = nn.Linear(channels, channels)
        self.fusion, self.dropout = fusion, nn.Dropout2d(dropout)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Feature maps to feature maps."""
        weights = torch.sigmoid(self.weigh(maps.mean(dim=(2, 3))))[:, :, None, None]
        weighed = maps * weights
        fused: torch.Tensor = self.dropout(maps + weighed if self.fusion == "add" else weighed)
        return fused


class AttendedBottleneck(Bottleneck):
    """A block of the ResNet with attention behind it. Its other modules keep their names, and so fit known weights."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.attention: nn.Module = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Feature maps to feature maps."""
        attended: torch.Tensor = self.attention(super().forward(x))
        return attended


def dala(classes: int, place: str, fusion: str, widths: tuple[int, int], slope: float, dropout: float) -> ResNet:
    """The network, with random weights."""
    network = resnet50(classes)
    if place == "stage":
        network.layer4.add_module("attention", ChannelAttention(CHANNELS, fusion, dropout))
    else:
        begun, network.inplanes = network.layer4.state_dict(), CHANNELS // 2
        network.layer4 = network._make_layer(AttendedBottleneck, CHANNELS // 4, 3, stride=2)
        network.layer4.load_state_dict(begun)
        for block in network.layer4:
            block.attention = ChannelAttention(CHANNELS, fusion, dropout)
    network.fc = nn.Sequential(
        *(nn.Linear(CHANNELS, widths[0]), nn.LeakyReLU(slope), nn.Dropout(dropout)),
        *(nn.Linear(widths[0], widths[1]), nn.ReLU(), nn.Linear(widths[1], classes)),
    )
    return network


class DALAResNet50(TrainedModel):
    """DALAResNet50.

    `place`: attention behind the fourth stage, or behind each of its blocks. `fusion`: weighed maps are added to the
    old ones, or take their place. `first`, `second`: widths of the linear layers. `slope`: of the LeakyReLU.
    """

    card = ModelCard(
        name="dala-resnet50",
        summary=f"ResNet-50 with channel attention at its fourth stage and two activated linear layers; {PREPARED}",
        paper="Breast Cancer Classification with Enhanced Interpretability: DALAResNet50 and DT Grad-CAM "
        "(arXiv:2308.13150)",
    )
    imagenet = "ResNet50_Weights.IMAGENET1K_V2"
    fresh = ("fc.", "layer4.attention.", *(f"layer4.{block}.attention." for block in range(3)))

    def __init__(
        self,
        *,
        place: Literal["stage", "block"] = "stage",
        fusion: Literal["add", "replace"] = "add",
        first: int = 512,
        second: int = 128,
        slope: float = 0.01,
        dropout: float = 0.25,
        weights: str = "none",
        checkpoint: str = "",
        recipe: str = "quick",
        epochs: int | None = None,
    ) -> None:
        super().__init__(weights=weights, checkpoint=checkpoint, recipe=recipe, epochs=epochs)
        if min(first, second) < 1 or not 0 <= dropout < 1:
            told = f"first={first}, second={second}, dropout={dropout}"
            raise UsageError(f"dala-resnet50: {told}: give widths of at least 1 and a dropout from 0 to below 1")
        self.place, self.fusion, self.widths = place, fusion, (first, second)
        self.slope, self.dropout = slope, dropout

    def network(self, task: Task) -> nn.Module:
        """Random weights, one logit per class."""
        return dala(len(task.classes), self.place, self.fusion, self.widths, self.slope, self.dropout)

    def cam_layer(self, task: Task) -> str | None:
        """The deepest stage whose grid is fine enough."""
        return deepest(task, STAGES)
