"""The frozen network that explainers and metrics are given: counted, in one precision, with one place for masking."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from xaibench.batching import Batcher
from xaibench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from xaibench.contracts import Counters, Mask, Masking, Precision


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


class TorchClassifier:
    """A torch network behind the `Classifier` protocol. It freezes the network it is given."""

    def __init__(
        self,
        network: nn.Module,
        classes: Sequence[str],
        cam_layer: str | None,
        device: str | torch.device = "cpu",
        precision: Precision = "fp32",
        batch_size: int = 32,
        needs_gate: bool = False,
    ) -> None:
        self.device = torch.device(device)
        self.classes = tuple(classes)
        self.cam_layer = None if cam_layer is None else _submodule(network, cam_layer)
        self.batch_size = batch_size  # of `masked`; may be lowered at any time, as when memory runs out
        self.counters: Counters = PassCounters()
        self._frozen = network.to(self.device).eval().requires_grad_(False)
        self.network: nn.Module = CountedNetwork(self._frozen, self.counters, self.device, precision)
        self._needs_gate = needs_gate

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Logits [B, K], differentiable with respect to the images."""
        result: torch.Tensor = self.network(images)
        return result

    @torch.inference_mode()
    def masked(self, image: torch.Tensor, masks: Iterable[torch.Tensor], infill: torch.Tensor) -> torch.Tensor:
        """Logits [M, K] of `m * image + (1 - m) * infill` for each of M masks; no gradient.

        An item of `masks` is one mask [H, W] or a chunk of them [m, H, W]; a tensor [M, H, W] is fine too. Items are
        taken when their batch is due, so a generator of any length needs the memory of one batch. `infill` has the
        shape of the image [C, H, W] or broadcasts to it.
        """
        image = image.to(self.device)
        infill = infill.to(self.device, image.dtype)
        logits = [torch.empty(0, len(self.classes), device=self.device)]
        batcher = Batcher(self.batch_size)
        for weights in _batches(masks, self.batch_size):
            work = batcher.run(list(weights), lambda some: self._composed(image, torch.stack(list(some)), infill))
            logits += [rows for _, rows in work]
        self.batch_size = batcher.size
        return torch.cat(logits)

    def masked_many(self, maskings: Iterable[Masking]) -> Iterator[torch.Tensor]:
        """The same for several images, in order."""
        for masking in maskings:
            yield self.masked(masking.image, masking.masks, masking.infill)

    def _composed(self, image: torch.Tensor, masks: torch.Tensor, infill: torch.Tensor) -> torch.Tensor:
        """Logits of one batch of masked images."""
        # lerp is exact at both ends: a mask of ones gives the image itself, one of zeros the infill.
        weights = masks.to(self.device, image.dtype).unsqueeze(1)
        logits: torch.Tensor = self.network(torch.lerp(infill, image, weights))
        return logits

    @contextmanager
    def bind(self, masks: Mask | None) -> Iterator[None]:
        """Within it, a network gated by evidence sees these masks [B, H, W]; no other network is touched."""
        if not self._needs_gate:
            yield
            return
        self._gate(None if masks is None else torch.from_numpy(masks).to(self.device))
        try:
            yield
        finally:
            self._gate(None)

    def _gate(self, masks: torch.Tensor | None) -> None:
        self._frozen.set_gate(masks)  # type: ignore[operator]  # promised by the model's card


def _submodule(network: nn.Module, name: str) -> nn.Module:
    try:
        return network.get_submodule(name)
    except AttributeError:
        known = ", ".join(child for child, _ in network.named_children()) or "none"
        raise UsageError(
            f"CAM layer {name!r} is not a module of {type(network).__name__}. Its outermost modules are: {known}. "
            "Name one of them or one inside them (as in `layer4.1`), or None if the network has no spatial layer."
        ) from None


def _batches(masks: Iterable[torch.Tensor], size: int) -> Iterator[torch.Tensor]:
    """Masks and chunks of masks as batches [size, H, W], the last one smaller."""
    pending: list[torch.Tensor] = []
    for item in masks:
        rest = item.reshape(-1, *item.shape[-2:])
        while len(rest):
            room = size - sum(map(len, pending))
            pending.append(rest[:room])
            rest = rest[room:]
            if sum(map(len, pending)) == size:
                yield torch.cat(pending)
                pending = []
    if pending:
        yield torch.cat(pending)
