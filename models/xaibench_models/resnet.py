"""ResNets as torchvision builds them, with preprocessing inside and a ReLU of its own for every use."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from torch import nn
from torchvision.models import resnet  # type: ignore[import-untyped]

from xaibench.contracts import ModelCard
from xaibench_models.preprocessing import Preprocessing
from xaibench_models.recipes import QUICK, checked
from xaibench_models.trainer import train

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

    from xaibench.contracts import Task, Workshop

PAPER = "He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, CVPR 2016"

# Strides of layer1 to layer4.
STRIDES = (4, 8, 16, 32)
SMALLEST_GRID = 7


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


def resnet50(classes: int) -> ResNet:
    """50 layers, random weights."""
    return ResNet(Bottleneck, (3, 4, 6, 3), classes)


def deepest_stage(task: Task) -> int:
    """The stage, 1 to 4, whose output CAM methods weigh: the deepest with a grid of at least 7x7.

    Deeper features tell classes apart better, but a heatmap is only as fine as its grid. 7x7 is what the last stage
    has at 224 px, for which these networks were made; at 128 px it would have 4x4, coarser than most lesions, and the
    stage before has 8x8.
    """
    side = min(task.shape[1:])
    fine = [stage for stage, stride in enumerate(STRIDES, 1) if math.ceil(side / stride) >= SMALLEST_GRID]
    return max(fine, default=1)


class _TrainedResNet:
    """What the ResNet plugins have in common."""

    card: ClassVar[ModelCard]

    def __init__(self, *, epochs: int | None = None) -> None:
        self.recipe = checked(QUICK, epochs=epochs)

    def prepare(self, network: nn.Module, task: Task, fold: int, workshop: Workshop) -> Mapping[str, Any]:
        """Train from scratch."""
        return train(network, task, fold, workshop, self.recipe, self.card.name)

    def cam_layer(self, task: Task) -> str | None:
        """The deepest stage whose grid is fine enough."""
        return f"layer{deepest_stage(task)}"


class ResNet18(_TrainedResNet):
    """The smallest ResNet."""

    card = ModelCard(
        name="resnet18", summary="ResNet-18, trained from scratch on the task", paper=PAPER, licence="BSD-3-Clause"
    )

    def build(self, task: Task) -> nn.Module:
        """Random weights, one logit per class."""
        return resnet18(len(task.classes))


class ResNet50(_TrainedResNet):
    """The usual backbone in breast imaging."""

    card = ModelCard(
        name="resnet50", summary="ResNet-50, trained from scratch on the task", paper=PAPER, licence="BSD-3-Clause"
    )

    def build(self, task: Task) -> nn.Module:
        """Random weights, one logit per class."""
        return resnet50(len(task.classes))
