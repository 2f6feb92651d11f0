"""The frozen network that explainers and metrics are given: counted, in one precision, with one place for masking."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from xaibench.contracts import Masking
from xaibench.counting import CountedNetwork, PassCounters
from xaibench.errors import UsageError
from xaibench.masking import MaskingEngine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import nn

    from xaibench.contracts import Counters, Mask, Precision


class TorchClassifier:
    """A torch network behind the `Classifier` protocol. It freezes the network it is given."""

    def __init__(
        self,
        network: nn.Module,
        classes: Sequence[str],
        cam_layer: str | None,
        device: str | torch.device = "cpu",
        precision: Precision = "fp32",
        batch_size: int | None = None,
        needs_gate: bool = False,
    ) -> None:
        self.device = torch.device(device)
        self.classes = tuple(classes)
        self.cam_layer = None if cam_layer is None else _submodule(network, cam_layer)
        self.counters: Counters = PassCounters()
        self._frozen = network.to(self.device).eval().requires_grad_(False)
        self.network: nn.Module = CountedNetwork(self._frozen, self.counters, self.device, precision)
        self._needs_gate = needs_gate
        self._engine = MaskingEngine(
            self._frozen, self.counters, self.device, precision, len(self.classes), batch_size, gated=needs_gate
        )

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Logits [B, K], differentiable with respect to the images."""
        result: torch.Tensor = self.network(images)
        return result

    def masked(self, image: torch.Tensor, masks: Iterable[torch.Tensor], infill: torch.Tensor) -> torch.Tensor:
        """Logits [M, K] of `m * image + (1 - m) * infill` for each of M masks; no gradient.

        An item of `masks` is one mask [H, W] or a chunk of them [m, H, W]; a tensor [M, H, W] is fine too. Items are
        taken when their batch is due, so a generator of any length needs the memory of one batch. `infill` has the
        shape of the image [C, H, W] or broadcasts to it.
        """
        return next(self.masked_many([Masking(image, masks, infill)]))

    def masked_many(self, maskings: Iterable[Masking]) -> Iterator[torch.Tensor]:
        """The same for several images, in order; batches are filled across images, and images taken when due."""
        return self._engine.run(maskings)

    @property
    def batch_size(self) -> int | None:
        """Masked images at once; may be lowered at any time. None: as many as pay on this device."""
        return self._engine.batch_size

    @batch_size.setter
    def batch_size(self, size: int | None) -> None:
        self._engine.batch_size = size

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
