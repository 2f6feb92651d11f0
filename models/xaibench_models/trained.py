"""What the plugins of all trained networks have in common."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from xaibench.checkpoints import fill, read
from xaibench.errors import UsageError
from xaibench_models.initial import load_imagenet
from xaibench_models.recipes import checked, find
from xaibench_models.trainer import train

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

    from xaibench.contracts import ModelCard, Task, Workshop
    from xaibench_models.initial import State

SMALLEST_GRID = 7


class TrainedModel:
    """A network that learns on first use, or brings its weights.

    `weights`: what training begins with: "none" (random), "imagenet", or a file. `checkpoint`: a file with finished
    weights, which are used as they are (`resnet50@FILE` says the same). `recipe`: how it learns, by name or from a
    TOML file.
    """

    card: ModelCard
    imagenet: ClassVar[str] = ""  # torchvision's name of the weights
    fresh: ClassVar[tuple[str, ...]] = ()  # modules that ImageNet's weights need not fit: head, additions
    head: ClassVar[tuple[str, ...]] = ("fc.",)  # the last modules, which learn whatever else is frozen

    def __init__(
        self, *, weights: str = "none", checkpoint: str = "", recipe: str = "quick", epochs: int | None = None
    ) -> None:
        if weights == "imagenet" and not self.imagenet:
            raise UsageError(f"{self.card.name} has no weights from ImageNet: give weights='none' or a file")
        self.weights, self.checkpoint = weights, checkpoint
        self.recipe = checked(find(recipe), epochs=epochs)
        if checkpoint:
            self.card = replace(self.card, trained=False)

    def network(self, task: Task) -> nn.Module:
        """The network with random weights."""
        raise NotImplementedError

    def build(self, task: Task) -> nn.Module:
        """One logit per class; finished weights if there are any."""
        network = self.network(task)
        if self.checkpoint:
            self._load(network, self.checkpoint)
        return network

    def prepare(self, network: nn.Module, task: Task, fold: int, workshop: Workshop) -> Mapping[str, Any]:
        """Train."""
        if self.weights == "imagenet":
            load_imagenet(network, self.imagenet, self.fresh, self.renamed)
        elif self.weights != "none":
            self._load(network, self.weights)
        return train(network, task, fold, workshop, self.recipe, self.card.name, self.head)

    def _load(self, network: nn.Module, file: str) -> None:
        """All weights of a file, which must fit."""
        fill(network, self.renamed(read(Path(file).expanduser())), file, optional=())

    def renamed(self, state: State) -> State:
        """Weights under the names of this network, where others call them otherwise."""
        return state

    def cam_layer(self, task: Task) -> str | None:
        """Name of the module whose output CAM methods weigh."""
        raise NotImplementedError


def deepest(task: Task, stages: Sequence[tuple[str, int]]) -> str:
    """Of stages (name, stride) the deepest with a grid of at least 7x7, else the first.

    Deeper features tell classes apart better, but a heatmap is only as fine as its grid. 7x7 is what the last stage of
    most networks has at 224 px, for which they were made; at 128 px it would have 4x4, coarser than most lesions.
    """
    side = min(task.shape[1:])
    fine = [name for name, stride in stages if math.ceil(side / stride) >= SMALLEST_GRID]
    return fine[-1] if fine else stages[0][0]
