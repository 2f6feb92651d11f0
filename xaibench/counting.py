"""Passes through the network are counted wherever they come from: the cost of an explanation on any hardware."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from xaibench.contracts import Counters, Precision


@dataclass
class PassCounters:
    """Samples that went through the network so far."""

    forward: int = 0
    backward: int = 0


class CountedNetwork(nn.Module):
    """The network as explainers see it: whoever calls it, the pass is counted and runs in the chosen precision."""

    def __init__(self, inner: nn.Module, counters: Counters, device: torch.device, precision: Precision) -> None:
        super().__init__()
        self.inner = inner
        self.counters = counters
        self.device = device
        self.precision = precision
        self.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits [B, K] in float32."""
        self.counters.forward += len(images)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            logits: torch.Tensor = self.inner(images)
        logits = logits.float()
        if logits.requires_grad:
            # A hook on the tensor sees both `.backward()` and `autograd.grad`, and goes when the graph goes.
            logits.register_hook(self._count_backward)  # type: ignore[no-untyped-call]
        return logits

    def _count_backward(self, gradient: torch.Tensor) -> None:
        self.counters.backward += len(gradient)
