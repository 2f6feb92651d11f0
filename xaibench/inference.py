"""A copy of the network for forward passes alone: the same logits for less.

Batch normalisation after a convolution is folded into it, and memory is laid out with channels last. The network
itself stays as it is, since explainers hook its modules; whatever could make the copy differ from it leads back to the
network: hooks, other weights, other modules, or logits that differ.
"""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xaibench.contracts import Precision

TOLERANCE = 1e-4  # of the largest logit
COMPILE = "XAIBENCH_COMPILE"  # environment variable: 1 to compile the copy
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Inference:
    """Gives the network to use for passes without gradient; the copy is made on first use and kept while it is true."""

    def __init__(self, network: nn.Module, precision: Precision, allowed: bool = True) -> None:
        self._network = network
        self._precision = precision
        self._allowed = allowed and any(type(module) is nn.Conv2d for module in network.modules())
        self._state: object = None
        self._copy: nn.Module | None = None
        self._compiled: nn.Module | None = None

    def network(self, image: torch.Tensor) -> tuple[nn.Module, torch.memory_format]:
        """The copy if it is as good as the network, else the network itself; and how images are to lie in memory."""
        if not self._allowed or _hooked(self._network):
            return self._network, torch.contiguous_format
        if (state := _state(self._network)) != self._state:
            self._state, self._copy, self._compiled = state, None, None  # the old copy goes before a new one comes
            self._copy = _verified_copy(self._network, _probe(image), self._precision)
        if self._copy is None:
            return self._network, torch.contiguous_format
        return self._copy, torch.channels_last

    def compiled(self, network: nn.Module) -> nn.Module | None:
        """The copy compiled for batches of one size, if the user asks for it and `network` is the copy; else None.

        It takes ten to twenty seconds per network, image size and batch size, and makes passes 3 to 20 % cheaper,
        depending on the processor: with 3 % it pays from some ten minutes of passes on, so nobody gets it unasked.
        """
        if os.environ.get(COMPILE) != "1" or network is not self._copy:
            return None
        if self._compiled is None:
            self._compiled = copy.copy(network)  # the same weights; the copy itself stays as it is
            self._compiled.compile(dynamic=False)
        return self._compiled


def _hooked(network: nn.Module) -> bool:
    """Whether somebody watches or changes what happens inside; a copy would pass them by."""
    return any(getattr(module, hooks) for module in network.modules() for hooks in HOOKS)


def _state(network: nn.Module) -> object:
    """What the copy depends on. Content is compared, because torch's version counters miss writes through `.data`."""
    modules = [(id(module), module.training, "forward" in vars(module)) for module in network.modules()]
    sums = [_weighted_sum(tensor.detach()) for tensor in (*network.parameters(), *network.buffers())]
    return modules, torch.stack(sums).cpu().numpy().tobytes()


def _weighted_sum(tensor: torch.Tensor) -> torch.Tensor:
    """A sum in which every place has a weight of its own: values in another order are another sum."""
    rows = tensor.reshape(len(tensor) if tensor.ndim else 1, -1).float()
    down, across = (_ramp(size, tensor.device) for size in rows.shape)
    return torch.dot(rows @ across, down)


@cache
def _ramp(size: int, device: torch.device) -> torch.Tensor:
    with torch.inference_mode(False):  # whoever comes first, it serves all
        return torch.linspace(1, 2, size, device=device)


def _probe(image: torch.Tensor) -> torch.Tensor:
    """Noise and a flat image of the same shape: the same ones whatever comes first."""
    noise = torch.rand(image.shape, generator=torch.Generator().manual_seed(0))
    return torch.stack([noise, torch.full_like(noise, 0.5)]).to(image.device)


@torch.no_grad()
def _verified_copy(network: nn.Module, probe: torch.Tensor, precision: Precision) -> nn.Module | None:
    """The fastest copy whose logits are those of the network; None if there is none."""
    expected = network(probe)
    for fold in (True, False):
        try:
            made = copy.deepcopy(network)
            folded = fold_batch_norms(made, probe) if fold else 0
            made = made.to(memory_format=torch.channels_last)
            same = _agree(made(_channels_last(probe)), expected)
        except (RuntimeError, TypeError):
            continue  # it cannot be copied, or reshapes its feature maps in a way that wants channels first
        if same:
            return _in_bf16(made, probe) if precision == "bf16" else made
        if fold and not folded:
            break  # the next attempt would be the same
    return None


def _channels_last(images: torch.Tensor) -> torch.Tensor:
    return images.contiguous(memory_format=torch.channels_last)


def _agree(logits: torch.Tensor, expected: torch.Tensor) -> bool:
    scale = expected.nan_to_num().abs().max().item()
    return torch.allclose(logits, expected, rtol=0, atol=TOLERANCE * scale, equal_nan=True)


def _in_bf16(made: nn.Module, probe: torch.Tensor) -> nn.Module:
    """Weights converted once; autocast would convert those of a frozen network again at every pass."""
    light = copy.deepcopy(made)
    for module in light.modules():
        if type(module) in (nn.Conv2d, nn.Linear):
            module.to(torch.bfloat16)
    with torch.autocast(probe.device.type, dtype=torch.bfloat16):
        probe = _channels_last(probe)
        same = _agree(light(probe).float(), made(probe).float())
    return light if same else made


# -------------------------------------------------------------------------------------------------------------- folding


@dataclass
class _Pair:
    """A convolution and the normalisation that saw its output."""

    convolution: nn.Conv2d
    norm: nn.BatchNorm2d
    output: torch.Tensor


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes which normalisation takes which convolution's output, and how often anything at all takes it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.outputs: dict[int, tuple[nn.Conv2d, torch.Tensor]] = {}  # tensors are kept, so that no id comes twice
        self.uses: dict[int, int] = {}
        self.calls: dict[nn.Module, int] = {}
        self.pairs: list[_Pair] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN204
        """Count what is given to any operation."""
        kwargs = kwargs or {}
        for leaf in tree_leaves((args, kwargs)):
            if id(leaf) in self.outputs:
                self.uses[id(leaf)] = self.uses.get(id(leaf), 0) + 1
        return func(*args, **kwargs)

    def after_convolution(self, module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        """Hook of convolutions."""
        assert isinstance(module, nn.Conv2d)  # noqa: S101  # for the type checker: only these have the hook
        self.calls[module] = self.calls.get(module, 0) + 1
        self.outputs[id(output)] = module, output

    def before_norm(self, module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        """Hook of normalisations."""
        assert isinstance(module, nn.BatchNorm2d)  # noqa: S101
        self.calls[module] = self.calls.get(module, 0) + 1
        if (found := self.outputs.get(id(inputs[0]))) is not None:
            self.pairs.append(_Pair(found[0], module, found[1]))

    def foldable(self) -> Iterator[_Pair]:
        """Pairs that meet once, and whose tensor in between nobody else takes."""
        for pair in self.pairs:
            once = self.calls[pair.convolution] == self.calls[pair.norm] == 1
            if once and self.uses.get(id(pair.output)) == 1:
                yield pair


def fold_batch_norms(network: nn.Module, probe: torch.Tensor) -> int:
    """Fold each batch normalisation into the convolution before it where nothing else sees what is between; in place.

    What follows what is found by watching one pass, so it needs no traceable network.
    """
    watch, hooks = _Watch(), []
    for module in network.modules():
        if type(module) is nn.Conv2d:
            hooks.append(module.register_forward_hook(watch.after_convolution))
        elif type(module) is nn.BatchNorm2d and module.running_mean is not None and not module.training:
            hooks.append(module.register_forward_pre_hook(watch.before_norm))
    try:
        with torch.no_grad(), watch:
            network(probe[:1])
    finally:
        for hook in hooks:
            hook.remove()
    pairs = list(watch.foldable())
    for pair in pairs:
        _fold(pair)
        _replace(network, pair.norm, nn.Identity())
    return len(pairs)


@torch.no_grad()
def _fold(pair: _Pair) -> None:
    """norm(W x + b) = (s W) x + (s (b - mean) + shift), with s = gain / sd; worked out in double precision."""
    convolution, norm = pair.convolution, pair.norm
    assert norm.running_mean is not None  # noqa: S101  # seen to by the caller
    assert norm.running_var is not None  # noqa: S101
    gain = torch.ones_like(norm.running_var) if norm.weight is None else norm.weight
    shift = torch.zeros_like(norm.running_mean) if norm.bias is None else norm.bias
    scale = gain.double() / (norm.running_var.double() + norm.eps).sqrt()
    before = 0 if convolution.bias is None else convolution.bias.double()
    weight, bias = convolution.weight.double() * scale.view(-1, 1, 1, 1), (before - norm.running_mean) * scale + shift
    dtype = convolution.weight.dtype
    convolution.weight = nn.Parameter(weight.to(dtype), requires_grad=False)
    convolution.bias = nn.Parameter(bias.to(dtype), requires_grad=False)


def _replace(network: nn.Module, old: nn.Module, new: nn.Module) -> None:
    places = [(parent, name) for parent in network.modules() for name, child in parent.named_children() if child is old]
    for parent, name in places:
        setattr(parent, name, new)
