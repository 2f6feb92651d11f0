"""A model on trial: the task it is built for, and what its network says of planted images."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from xaibench.guard import Guard
from xaibench.isolation import isolated_randomness
from xaibench.testing.planted import PlantedTask
from xaibench.testing.trying import Trial
from xaibench.workbench import gate_masks, stack

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from xaibench.contracts import Mask, Sample
    from xaibench.testing.subjects import Subject

SIDE = 64
COUNT = 3


class ModelTrial(Trial):
    """One model. Its weights are those it is built with: nothing is trained here."""

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.task = PlantedTask(1, SIDE, SIDE)

    @property
    def gated(self) -> bool:
        """Whether the network is told what it may see."""
        return "masks" in self.card["needs"]

    def build(self, task: PlantedTask | None = None, seed: int = 0) -> nn.Module:
        """A network in eval mode, as the harness builds it."""
        with isolated_randomness(seed):
            network: nn.Module = self.made.plugin.build(self.task if task is None else task)
        return network.eval()

    @cached_property
    def network(self) -> nn.Module:
        """A network that can be told from one just made: heads that begin at zero would hide all that comes before."""
        network = self.build()
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.01)
        return network

    def samples(self, task: PlantedTask | None = None) -> list[Sample]:
        """Images with lesions, where there are classes for that."""
        task = self.task if task is None else task
        entries = [entry for entry in task.entries("test", 0) if entry.label][:COUNT]
        return [task.load(entry) for entry in entries]

    def logits(self, network: nn.Module, images: torch.Tensor, samples: list[Sample]) -> torch.Tensor:
        """Logits [B, K]; a gated network is fed image by image, each with its own gate."""
        if not self.gated:
            answer: torch.Tensor = network(images)
            return answer
        return torch.cat([self.alone(network, image, mask) for image, mask in zip(images, self.gates(samples))])  # noqa: B905

    def alone(self, network: nn.Module, image: torch.Tensor, gate: Mask) -> torch.Tensor:
        """Logits [1, K] of one image [C, H, W] through a gate."""
        network.set_gate(torch.from_numpy(gate)[None])  # type: ignore[operator]  # promised by the card
        try:
            answer: torch.Tensor = network(image[None])
        finally:
            network.set_gate(None)  # type: ignore[operator]
        return answer

    def gates(self, samples: list[Sample]) -> Mask:
        """What a gated network may see."""
        return gate_masks(samples, self.card["sees"])

    @torch.no_grad()
    def say(self, network: nn.Module) -> NDArray[Any]:
        """Logits of the planted images."""
        samples = self.samples()
        return np.asarray(self.logits(network, torch.from_numpy(stack(samples)), samples).float().numpy())

    @cached_property
    def first(self) -> First:
        """The first network of all, watched."""
        return First(self)

    def evidence(self) -> dict[str, NDArray[Any]]:
        """What another process must find too."""
        return {"logits": self.say(self.build())}


class First:
    """A network, what it said, and what was seen meanwhile."""

    def __init__(self, trial: ModelTrial) -> None:
        trial.made  # noqa: B018  # made outside of what is watched
        samples = trial.samples()
        self.images = torch.from_numpy(stack(samples))
        self.copy = self.images.clone()
        with trial.watch(), torch.no_grad():
            # Weights may be drawn from global generators, which the harness seeds for the network.
            with isolated_randomness(0):
                self.network = trial.made.plugin.build(trial.task)
            self.is_module = isinstance(self.network, torch.nn.Module)
            if self.is_module:
                guard = Guard(self.network.eval())
                self.logits = trial.logits(self.network, self.images, samples)
                self.changes = guard.changes()
