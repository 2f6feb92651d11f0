"""Did an explainer leave the network as it found it? A fingerprint before, one after, and the difference in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import nn

T = TypeVar("T")

_SHOWN = 5  # changes named in full; `train()` alone makes hundreds
_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_HOOKS = {
    "forward": "_forward_hooks",
    "forward-pre": "_forward_pre_hooks",
    "backward": "_backward_hooks",
    "backward-pre": "_backward_pre_hooks",
}


@dataclass(frozen=True)
class TensorState:
    """What is watched of a parameter or buffer."""

    checksum: tuple[int, int, int]
    requires_grad: bool


@dataclass(frozen=True)
class ModuleState:
    """What is watched of a module."""

    kind: str
    training: bool
    hooks: Mapping[str, int]


@dataclass(frozen=True)
class Fingerprint:
    """The state of a network at one moment."""

    tensors: Mapping[str, TensorState]
    modules: Mapping[str, ModuleState]


class Guard:
    """Watches one network from now on."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._before = fingerprint(network)

    def changes(self) -> str:
        """Say what has changed since the guard was made; empty if nothing did."""
        return difference(self._before, fingerprint(self._network))


def fingerprint(network: nn.Module) -> Fingerprint:
    """Take the state of a network."""
    tensors = [*network.named_parameters(), *network.named_buffers()]
    return Fingerprint(
        tensors={name: _tensor_state(tensor) for name, tensor in tensors},
        modules={name: _module_state(module) for name, module in network.named_modules()},
    )


def difference(before: Fingerprint, after: Fingerprint) -> str:
    """Say what changed between two fingerprints of a network; empty if nothing did."""
    changes = [
        *_compare(before.tensors, after.tensors, _tensor_changes),
        *_compare(before.modules, after.modules, _module_changes),
    ]
    more = [f"and {len(changes) - _SHOWN} more"] if len(changes) > _SHOWN else []
    return "; ".join(changes[:_SHOWN] + more)


def _shown(name: str) -> str:
    """The name people know: a classifier wraps the network as `inner`."""
    return name.removeprefix("inner").removeprefix(".") or "the network"


def _tensor_state(tensor: torch.Tensor) -> TensorState:
    return TensorState(_checksum(tensor.detach()), tensor.requires_grad)


def _checksum(tensor: torch.Tensor) -> tuple[int, int, int]:
    """Exact sums over the bits, plain and weighted by row and by column, so that a shuffle shows too.

    Content is what counts: torch's version counters miss writes through `.data`, and would blame a method that
    changes weights for a while and restores them.
    """
    if tensor.numel() == 0:
        return 0, 0, 0
    real = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    bits = real.reshape(len(real) if real.ndim else 1, -1).view(_INTEGERS[real.element_size()])
    rows, columns = (bits.sum(dim, dtype=torch.int64) for dim in (1, 0))
    return int(rows.sum()), _weighted(rows), _weighted(columns)


def _weighted(sums: torch.Tensor) -> int:
    return int((sums * torch.arange(1, len(sums) + 1, device=sums.device)).sum())


def _module_state(module: nn.Module) -> ModuleState:
    patched = " with its own forward" if "forward" in vars(module) else ""
    hooks = {kind: len(getattr(module, attribute)) for kind, attribute in _HOOKS.items()}
    return ModuleState(f"{type(module).__name__}{patched}", module.training, hooks)


def _compare(before: Mapping[str, T], after: Mapping[str, T], changes: Callable[[str, T, T], list[str]]) -> list[str]:
    gone = [f"{_shown(name)} is gone" for name in before if name not in after]
    new = [f"{_shown(name)} is new" for name in after if name not in before]
    common = [name for name in before if name in after]
    return gone + new + [change for name in common for change in changes(_shown(name), before[name], after[name])]


def _tensor_changes(name: str, before: TensorState, after: TensorState) -> list[str]:
    changes = []
    if before.checksum != after.checksum:
        changes.append(f"{name} changed")
    if before.requires_grad != after.requires_grad:
        changes.append(f"{name}.requires_grad is now {after.requires_grad}")
    return changes


def _module_changes(name: str, before: ModuleState, after: ModuleState) -> list[str]:
    changes = []
    if before.kind != after.kind:
        changes.append(f"{name} was {before.kind}, is now {after.kind}")
    if before.training != after.training:
        changes.append(f"{name} is now in {'train' if after.training else 'eval'} mode")
    for kind, count in before.hooks.items():
        if more := after.hooks[kind] - count:
            hooks = f"{abs(more)} {kind} hook{'' if abs(more) == 1 else 's'}"
            changes.append(f"{hooks} left on {name}" if more > 0 else f"{hooks} removed from {name}")
    return changes
