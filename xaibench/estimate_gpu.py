"""What passes would take on a GPU that is not here: a roofline over the operations of one pass.

An operation takes as long as its arithmetic or its memory traffic, whichever is slower, at the share of the stated
figures that is usual, and not less than the launch of a kernel. This is a calculation from data sheets, not a
measurement: expect it to be right within a factor of two. What is not a pass is taken to be as slow as it is here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from xaibench.errors import UsageError
from xaibench.workbench import gate_masks, stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xaibench.contracts import Cell
    from xaibench.estimate_cost import Cost
    from xaibench.workbench import Workbench

ARITHMETIC = 0.5  # of the stated peak: what convolutions of medium size reach
BANDWIDTH = 0.8  # of the stated bandwidth: what element by element operations reach
LAUNCH = 6e-6  # seconds per operation and batch
BATCH = 64  # samples in a batch there; a pass backward is two forward
CONTEXT = 2**29  # bytes that CUDA takes for itself


@dataclass(frozen=True)
class Gpu:
    """Figures of its data sheet: dense, without sparsity. `fp32` is TF32 where there is such, as in convolutions."""

    name: str
    fp32: float  # 10^12 operations a second
    bf16: float
    bandwidth: float  # 10^12 bytes a second
    memory: float  # 10^9 bytes
    source: str


# What the data sheets give with sparsity is halved. The figures were looked up again in pages that cite the sheets:
#   A100  https://glennklockwood.com/garden/processors/A100
#   H100  https://archive-lib.hpctech.co.jp/gpuproduct/nvidia-h100.html
#   H200  https://openmetal.io/resources/blog/how-the-h200-is-built-for-memory-bound-ai-workloads/
#   L4    https://hmc-tech.com/gpu/nvidia-l4-vs-nvidia-a100-40gb
#   T4    https://sysrqmts.com/en/gpus/nvidia/tesla/t4
#   V100  https://huggingface.co/RajBhope/gpu-runtime-predictor/blob/main/gpu_catalog.json
GPUS = {
    "t4": Gpu("NVIDIA T4", 8.1, 8.1, 0.320, 16, "NVIDIA T4 data sheet; it has no bf16"),
    "l4": Gpu("NVIDIA L4", 60.0, 121.0, 0.300, 24, "NVIDIA L4 data sheet, half of what is given with sparsity"),
    "v100": Gpu("NVIDIA V100 SXM2", 15.7, 15.7, 0.900, 32, "NVIDIA V100 data sheet; it has no bf16"),
    "a100": Gpu("NVIDIA A100 SXM 80 GB", 156.0, 312.0, 2.039, 80, "NVIDIA A100 data sheet"),
    "h100": Gpu("NVIDIA H100 SXM", 494.5, 989.5, 3.35, 80, "NVIDIA H100 data sheet, half of what is with sparsity"),
    "h200": Gpu("NVIDIA H200 SXM", 494.5, 989.5, 4.8, 141, "NVIDIA H200 data sheet, half of what is with sparsity"),
}


def gpu_named(name: str) -> Gpu:
    """The one of this name."""
    if name.lower() not in GPUS:
        raise UsageError(f"--estimate {name}: known are here (this machine), {', '.join(GPUS)}")
    return GPUS[name.lower()]


@dataclass(frozen=True)
class Traffic:
    """Per operation of a pass, for one image: arithmetic, and bytes read and written in fp32."""

    flops: tuple[int, ...]
    bytes: tuple[int, ...]
    weights: int  # bytes


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """Note what each operation computes and moves."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops: list[int] = []
        self.bytes: list[int] = []

    def __torch_dispatch__(self, operation: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = operation(*args, **(kwargs or {}))
        if operation.is_view:
            return made
        counter = flop_registry.get(operation.overloadpacket)
        self.flops.append(int(counter(*args, **(kwargs or {}), out_val=made)) if counter else 0)
        self.bytes.append(sum(one.numel() * one.element_size() for one in _tensors((args, kwargs, made))))
        return made


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(tuple(value.values()))
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _tensors(one)


def traffic(bench: Workbench, cell: Cell) -> Traffic:
    """Of one pass of one image through the network of a cell."""
    classifier = bench.classifier(cell)
    samples = bench.samples(cell, bench.entries(cell, 0, 1))
    image = torch.from_numpy(np.ascontiguousarray(stack(samples))).to(classifier.device)
    with classifier.bind(gate_masks(samples, cell.cards["model"]["sees"])), torch.no_grad(), _Watch() as watch:
        classifier.network(image)
    weights = sum(one.numel() * one.element_size() for one in classifier.network.parameters())
    return Traffic(tuple(watch.flops), tuple(watch.bytes), weights)


@dataclass(frozen=True)
class Roofline:
    """One network on one GPU."""

    gpu: Gpu
    traffic: Traffic

    def each(self, precision: str) -> float:
        """Seconds of one image forward, in a batch."""
        peak = (self.gpu.bf16 if precision == "bf16" else self.gpu.fp32) * 1e12 * ARITHMETIC
        bandwidth = self.gpu.bandwidth * 1e12 * BANDWIDTH * (2 if precision == "bf16" else 1)
        pairs = zip(self.traffic.flops, self.traffic.bytes, strict=True)
        return sum(max(flops / peak, moved / bandwidth, LAUNCH / BATCH) for flops, moved in pairs)

    def cell(self, here: Cost, bare: float, precision: str) -> Cost:
        """A cell there, from what it takes here, where one image forward takes `bare` seconds."""
        if here.seconds is None or here.forward is None or here.backward is None:
            return here
        passes = here.forward + 2 * here.backward
        host = max(0.0, here.seconds - passes * bare)
        largest = max(self.traffic.bytes, default=0)
        kept = sum(self.traffic.bytes) if here.backward else 2 * largest
        memory = CONTEXT + self.traffic.weights + kept * min(BATCH, max(1, math.ceil(passes)))
        how = f"{here.how}, passes as on a {self.gpu.name}"
        return replace(here, seconds=host + passes * self.each(precision), memory=memory, how=how)

    def training(self, here: float, bare: float) -> float:
        """Seconds there of a training that takes so long here; it runs in bf16 there."""
        return here * self.each("bf16") / bare
