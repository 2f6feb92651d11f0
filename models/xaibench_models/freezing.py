"""Which layers of a network learn, from when on, and how fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import nn

    from xaibench_models.recipes import Freezing, Recipe


@dataclass(frozen=True)
class Layers:
    """A network's layers: modules with parameters of their own, in the order of registration, that of use."""

    frozen: tuple[nn.Module, ...]  # never learn
    groups: tuple[tuple[nn.Module, ...], ...]  # learn; the one nearest to the input first
    head: tuple[nn.Module, ...]

    def learning(self, how: Freezing, epoch: int) -> tuple[nn.Module, ...]:
        """The layers that learn in an epoch, counted from 0."""
        joined = epoch // how.every if how.gradual else len(self.groups)
        late = self.groups[max(0, len(self.groups) - joined) :]
        return (*(layer for group in late for layer in group), *self.head)


def layers_of(network: nn.Module, head: Sequence[str], how: Freezing) -> Layers:
    """Divide a network. `head`: what the names of its last modules begin with."""
    named = [(name, module) for name, module in network.named_modules() if any(True for _ in _own(module))]
    # With a dot behind the name, so that "fc." is also a module called fc.
    last = tuple(module for name, module in named if f"{name}.".startswith(tuple(head)) and head)
    body = [module for _, module in named if module not in set(last)]
    count = round(how.ratio * len(body))
    rest = body[count:]
    size = -(-len(rest) // how.groups) if rest else 1
    # Divided from the head on, so that a group that is smaller is the first one.
    ends = list(range(len(rest), 0, -size))[::-1]
    groups = tuple(tuple(rest[max(0, end - size) : end]) for end in ends)
    return Layers(tuple(body[:count]), groups, last)


def set_learning(network: nn.Module, learning: Sequence[nn.Module]) -> list[str]:
    """Let these layers learn and no other; statistics of the others stay as they are. Names of what learns."""
    chosen = set(learning)
    for module in network.modules():
        for parameter in _own(module):
            parameter.requires_grad_(module in chosen)
        if isinstance(module, _BatchNorm):
            module.train(module in chosen)
    return [name for name, parameter in network.named_parameters() if parameter.requires_grad]


def rates(layers: Layers, recipe: Recipe) -> list[tuple[tuple[nn.Module, ...], float]]:
    """Layers with their learning rates, from the input to the head."""
    last = recipe.learning_rate if recipe.group_rate is None else recipe.group_rate
    slower = [last * recipe.decay**steps for steps in range(len(layers.groups))][::-1]
    return [*zip(layers.groups, slower, strict=True), (layers.head, recipe.learning_rate)]


def parameters_of(layers: Sequence[nn.Module]) -> list[nn.Parameter]:
    """Each parameter once."""
    return list(dict.fromkeys(parameter for layer in layers for parameter in _own(layer)))


def _own(module: nn.Module) -> Iterator[nn.Parameter]:
    return module.parameters(recurse=False)
