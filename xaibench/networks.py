"""Networks that are varied: layers initialised anew, or a constant taken off the input."""

from __future__ import annotations

import copy
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn

from xaibench.errors import Unsupported
from xaibench.isolation import isolated_randomness
from xaibench.seeds import derive
from xaibench.variants import SHIFT, Variant, depth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


class Unshifted(nn.Module):
    """The network for images to which a constant was added: it takes it off again first."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits as the inner network gives them for the images as they were."""
        logits: torch.Tensor = self.inner(images - SHIFT)
        return logits

    def set_gate(self, masks: torch.Tensor | None) -> None:
        """Of an inner network that sees by permission only."""
        self.inner.set_gate(masks)  # type: ignore[operator]  # promised by the model's card


def inside(variant: Variant, name: str | None) -> str | None:
    """What the layer of this name is called in the network of a variant."""
    return f"inner.{name}" if name is not None and variant.kind == "shifted" else name


@torch.no_grad()
def forgetful(network: nn.Module, layers: Sequence[str], variant: Variant, seed: int) -> nn.Module:
    """A copy of which a share of the layers is initialised anew: the first of those named, or the last of these alone.

    The draws of a layer depend on its name and on nothing else: more of a cascade contains less of it.
    """
    if not layers:
        msg = f"the network has no parameters to forget ({variant.name})"
        raise Unsupported(msg)
    copied = copy.deepcopy(network)
    reached = layers[: depth(variant.number, len(layers))]
    for name in reached if variant.kind == "cascade" else reached[-1:]:
        with isolated_randomness(derive("forget", seed, name)):
            _initialise(copied.get_submodule(name))
    return copied


def from_the_output(network: nn.Module, probe: Callable[[nn.Module], None]) -> list[str]:
    """The names of all modules with parameters of their own, the last one in use first.

    The order is the one in which they are called for an image. One that is never called by itself, as inside torch's
    attention, follows the module which holds it.
    """
    modules = dict(network.named_modules())
    if any(isinstance(module, torch.jit.ScriptModule) for module in modules.values()):
        raise Unsupported("the layers of a TorchScript network cannot be told apart from outside")
    calls: dict[str, int] = {}
    with _called(modules, calls):
        probe(network)
    places = {name: place for place, name in enumerate(modules)}
    own = [name for name, module in modules.items() if _has_state(module)]
    return sorted(own, key=lambda name: (_first_call(name, calls), places[name]), reverse=True)


def _has_state(module: nn.Module) -> bool:
    """Parameters of its own, or statistics that it knows how to forget."""
    if any(True for _ in module.parameters(recurse=False)):
        return True
    return hasattr(module, "reset_parameters") and any(True for _ in module.buffers(recurse=False))


@contextmanager
def _called(modules: dict[str, nn.Module], calls: dict[str, int]) -> Iterator[None]:
    """Within it, note when each module is called first."""

    def noting(name: str) -> Callable[[nn.Module, object], None]:
        return lambda _module, _inputs: calls.update({name: calls.get(name, len(calls))})

    hooks = [module.register_forward_pre_hook(noting(name)) for name, module in modules.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _first_call(name: str, calls: dict[str, int]) -> int:
    while name not in calls and name:
        name = name.rpartition(".")[0]
    return calls.get(name, -1)


def _initialise(module: nn.Module) -> None:
    """As the layer itself does; else, numbers of the same size as those it has."""
    reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
    if reset is not None:
        reset()
        return
    for parameter in module.parameters(recurse=False):
        size = parameter.detach().double().square().mean().sqrt()
        parameter.copy_(torch.randn(parameter.shape) * size.to("cpu", parameter.dtype))
