"""ResNets as torchvision builds them, with preprocessing inside and a ReLU of its own for every use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn
from torchvision.models import resnet  # type: ignore[import-untyped]

from xaibench.contracts import ModelCard
from xaibench_models.preprocessing import PREPARED, Preprocessing
from xaibench_models.trained import TrainedModel, deepest

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from xaibench.contracts import Task

PAPER = "He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, CVPR 2016"

STAGES = (("layer1", 4), ("layer2", 8), ("layer3", 16), ("layer4", 32))  # with their strides


class BasicBlock(resnet.BasicBlock):  # type: ignore[misc]
    """Two 3x3 convolutions. One in-place ReLU used twice, as in torchvision, breaks explainers that hook modules."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.relu, self.relu2 = nn.ReLU(), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Feature maps to feature maps."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        activated: torch.Tensor = self.relu2(out + identity)
        return activated


class Bottleneck(resnet.Bottleneck):  # type: ignore[misc]
    """1x1, 3x3 and 1x1 convolutions, with a ReLU for each."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.relu, self.relu2, self.relu3 = nn.ReLU(), nn.ReLU(), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Feature maps to feature maps."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu2(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        activated: torch.Tensor = self.relu3(out + identity)
        return activated


class ResNet(resnet.ResNet):  # type: ignore[misc]
    """torchvision's network, with its names and weights, fed with images in [0, 1]."""

    def __init__(self, block: type[BasicBlock | Bottleneck], layers: Sequence[int], classes: int) -> None:
        # Residual branches that start at zero make the first steps those of a shallow network: it learns sooner.
        super().__init__(block, list(layers), num_classes=classes, zero_init_residual=True)
        self.relu = nn.ReLU()
        self.preprocessing = Preprocessing()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images [B, C, H, W] in [0, 1] -> logits [B, K]."""
        logits: torch.Tensor = super().forward(self.preprocessing(x))
        return logits


def resnet18(classes: int) -> ResNet:
    """18 layers, random weights."""
    return ResNet(BasicBlock, (2, 2, 2, 2), classes)


def resnet34(classes: int) -> ResNet:
    """34 layers, random weights."""
    return ResNet(BasicBlock, (3, 4, 6, 3), classes)


def resnet50(classes: int) -> ResNet:
    """50 layers, random weights."""
    return ResNet(Bottleneck, (3, 4, 6, 3), classes)


class _TrainedResNet(TrainedModel):
    fresh = ("fc.",)

    def cam_layer(self, task: Task) -> str | None:
        """The deepest stage whose grid is fine enough."""
        return deepest(task, STAGES)


class ResNet18(_TrainedResNet):
    """The smallest ResNet."""

    card = ModelCard(name="resnet18", summary=f"ResNet-18; {PREPARED}", paper=PAPER, licence="BSD-3-Clause")
    imagenet = "ResNet18_Weights.IMAGENET1K_V1"

    def network(self, task: Task) -> nn.Module:
        """Random weights, one logit per class."""
        return resnet18(len(task.classes))


class ResNet34(_TrainedResNet):
    """The deepest ResNet of plain blocks."""

    card = ModelCard(name="resnet34", summary=f"ResNet-34; {PREPARED}", paper=PAPER, licence="BSD-3-Clause")
    imagenet = "ResNet34_Weights.IMAGENET1K_V1"

    def network(self, task: Task) -> nn.Module:
        """Random weights, one logit per class."""
        return resnet34(len(task.classes))


class ResNet50(_TrainedResNet):
    """The usual backbone in breast imaging."""

    card = ModelCard(name="resnet50", summary=f"ResNet-50; {PREPARED}", paper=PAPER, licence="BSD-3-Clause")
    imagenet = "ResNet50_Weights.IMAGENET1K_V2"

    def network(self, task: Task) -> nn.Module:
        """Random weights, one logit per class."""
        return resnet50(len(task.classes))
