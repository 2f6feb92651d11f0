"""VGG networks as torchvision builds them, with preprocessing inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from torchvision.models import vgg  # type: ignore[import-untyped]

from xaibench.contracts import ModelCard
from xaibench_models.preprocessing import PREPARED, Preprocessing
from xaibench_models.trained import TrainedModel, deepest

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from xaibench.contracts import Task

PAPER = "Simonyan, Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015"


class VGG(vgg.VGG):  # type: ignore[misc]
    """torchvision's network, with its names and weights, fed with images in [0, 1]."""

    def __init__(self, letter: str, classes: int) -> None:
        super().__init__(vgg.make_layers(vgg.cfgs[letter]), num_classes=classes)
        self.preprocessing = Preprocessing()
        for module in self.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False  # what explainers have seen of a layer must not change behind their backs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images [B, C, H, W] in [0, 1] -> logits [B, K]."""
        logits: torch.Tensor = super().forward(self.preprocessing(x))
        return logits


def stages(features: Sequence[nn.Module]) -> list[tuple[str, int]]:
    """The last activation before each pooling, with its stride."""
    pools = [at for at, layer in enumerate(features) if isinstance(layer, nn.MaxPool2d)]
    return [(f"features.{at - 1}", 2**number) for number, at in enumerate(pools)]


class _TrainedVGG(TrainedModel):
    letter: str
    fresh, head = ("classifier.6.",), ("classifier.",)

    def network(self, task: Task) -> nn.Module:
        """Random weights, one logit per class."""
        return VGG(self.letter, len(task.classes))

    def cam_layer(self, task: Task) -> str | None:
        """The last convolution whose grid is fine enough: at 224 px the last of all."""
        return deepest(task, stages(list(vgg.make_layers(vgg.cfgs[self.letter]))))


class VGG16(_TrainedVGG):
    """Thirteen convolutions."""

    card = ModelCard(name="vgg16", summary=f"VGG-16; {PREPARED}", paper=PAPER, licence="BSD-3-Clause")
    imagenet, letter = "VGG16_Weights.IMAGENET1K_V1", "D"


class VGG19(_TrainedVGG):
    """Sixteen convolutions."""

    card = ModelCard(name="vgg19", summary=f"VGG-19; {PREPARED}", paper=PAPER, licence="BSD-3-Clause")
    imagenet, letter = "VGG19_Weights.IMAGENET1K_V1", "E"
