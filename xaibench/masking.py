"""Many masked versions of few images through the network: the one place where all perturbation is paid for.

Batches are filled across masks and images, and composed on the device of the network; masks are taken from their source
when their batch is due, so memory holds one batch of them, however many there are.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from xaibench.batching import Batcher
from xaibench.counting import CountedNetwork
from xaibench.inference import Inference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from torch import nn

    from xaibench.contracts import Counters, Masking, Precision

# Pixels that keep the device busy: more at once is not faster. A table, because a size that is timed during a run would
# differ between runs, and with it the last bits of the maps. On a CPU, 32 images of 224 px.
PIXELS = {"cpu": 32 * 224**2, "cuda": 256 * 224**2}
LARGEST = 1024
ROOM = 1024  # logits at first


def preferred_size(device: torch.device, shape: Sequence[int]) -> int:
    """Images [C, H, W] at once: a power of two that depends on the kind of device and the image's size alone."""
    fitting = PIXELS.get(device.type, PIXELS["cpu"]) / max(1, shape[-2] * shape[-1])
    return int(min(LARGEST, 2 ** max(0, math.floor(math.log2(fitting)))))


@dataclass(eq=False)
class _Order:
    """One masking on its way through the network."""

    image: torch.Tensor  # [C, H, W]
    logits: torch.Tensor  # [rows, K], with room for more
    answered: int = 0  # rows that are filled
    waiting: int = 0  # masks that were taken and have no logits yet
    complete: bool = False  # all its masks were taken

    @property
    def done(self) -> bool:
        """Whether all logits are there."""
        return self.complete and not self.waiting

    def answer(self, rows: torch.Tensor) -> None:
        """Take the next logits. Not a tensor per batch: small ones kept between large ones tear the heap apart."""
        end = self.answered + len(rows)
        if end > len(self.logits):
            larger = rows.new_empty(max(ROOM, 2 * end), rows.shape[1])
            larger[: self.answered] = self.logits[: self.answered]
            self.logits = larger
        self.logits[self.answered : end] = rows
        self.answered, self.waiting = end, self.waiting - len(rows)


@dataclass(frozen=True, eq=False)
class _Piece:
    """Neighbouring masks [m, H, W] of one masking, and what is seen where they are 0 [m, C, H, W]."""

    order: _Order
    masks: torch.Tensor
    infills: torch.Tensor

    def __len__(self) -> int:
        return len(self.masks)

    def __getitem__(self, part: slice) -> _Piece:
        return _Piece(self.order, self.masks[part], self.infills[part])


class _Batch:
    """Pieces of one or several maskings, seen as one sequence of masks that can be cut anywhere."""

    def __init__(self, pieces: Iterable[_Piece]) -> None:
        self.pieces = [piece for piece in pieces if len(piece)]
        self.sizes = [len(piece) for piece in self.pieces]

    def __len__(self) -> int:
        return sum(self.sizes)

    def __getitem__(self, part: slice) -> _Batch:
        start, stop, _ = part.indices(len(self))
        offsets = itertools.accumulate(self.sizes, initial=0)
        return _Batch(
            piece[max(0, start - offset) : max(0, stop - offset)]
            for piece, offset in zip(self.pieces, offsets, strict=False)
        )


def _part(infills: torch.Tensor, start: int, count: int) -> torch.Tensor:
    """The infills of these masks; a single one is that of all."""
    if len(infills) == 1:
        return infills
    if len(part := infills[start : start + count]) != count:
        msg = f"{len(infills)} infills for more masks; give one, or as many as there are masks"
        raise ValueError(msg)
    return part


class MaskingEngine:
    """Runs maskings through one network."""

    def __init__(
        self,
        network: nn.Module,
        counters: Counters,
        device: torch.device,
        precision: Precision,
        classes: int,
        batch_size: int | None = None,
        gated: bool = False,
    ) -> None:
        """`batch_size` None: as large as pays. `gated`: the answer depends on more than image and weights."""
        self.batch_size = batch_size
        self._inference = Inference(network, precision, allowed=not gated)
        self._counters, self._device, self._precision = counters, device, precision
        self._nothing = torch.empty(0, classes, device=device)
        self._fitting: dict[torch.Size, int] = {}  # image shape -> what memory had room for

    def run(self, maskings: Iterable[Masking]) -> Iterator[torch.Tensor]:
        """Logits [M, K] per masking, in order, each as soon as it is complete."""
        orders: deque[_Order] = deque()
        network: _Pass | None = None
        for batch in self._batches(self._pieces(maskings, orders)):
            network = network or self._pass(batch.pieces[0].order.image)
            self._answer(batch, network)
            yield from self._finished(orders)
        yield from self._finished(orders)

    def size(self, shape: torch.Size) -> int:
        """Masked images [C, H, W] at once."""
        wanted = self.batch_size or preferred_size(self._device, shape)
        return min(wanted, self._fitting.get(shape, wanted))

    def _pieces(self, maskings: Iterable[Masking], orders: deque[_Order]) -> Iterator[_Piece]:
        for masking in maskings:
            image = masking.image.to(self._device)
            infill, order, taken = masking.infill.to(self._device, image.dtype), _Order(image, self._nothing), 0
            orders.append(order)
            for item in masking.masks:
                masks = item.reshape(-1, *item.shape[-2:])
                own = _part(infill, taken, len(masks)) if infill.ndim > image.ndim else infill
                taken, order.waiting = taken + len(masks), order.waiting + len(masks)
                yield _Piece(order, masks, own.expand(len(masks), *image.shape))
            order.complete = True

    def _batches(self, pieces: Iterable[_Piece]) -> Iterator[_Batch]:
        """Full batches, but for the last one and where images of another shape begin."""
        pending: list[_Piece] = []
        for piece in pieces:
            shape = piece.order.image.shape
            if pending and pending[-1].order.image.shape != shape:
                yield _Batch(pending)
                pending = []
            rest = piece
            while len(rest):
                room = self.size(shape) - sum(map(len, pending))
                pending, rest = [*pending, rest[:room]], rest[room:]
                if sum(map(len, pending)) >= self.size(shape):
                    yield _Batch(pending)
                    pending = []
        if pending:
            yield _Batch(pending)

    def _pass(self, image: torch.Tensor) -> _Pass:
        network, layout = self._inference.network(image)
        compiled = self._inference.compiled(network)
        return _Pass(self._counted(network), layout, self._counted(compiled) if compiled else None, self.size)

    def _counted(self, network: nn.Module) -> CountedNetwork:
        return CountedNetwork(network, self._counters, self._device, self._precision)

    @torch.inference_mode()
    def _answer(self, batch: _Batch, network: _Pass) -> None:
        """Give every piece its logits; a batch that memory has no room for is cut and tried again."""
        batcher = Batcher(len(batch))
        for part, logits in batcher.run(batch, lambda some: network(_composed(some, self._device, network.layout))):
            for piece, rows in zip(part.pieces, torch.split(logits, part.sizes), strict=True):
                piece.order.answer(rows)
        if batcher.size < len(batch):
            self._fitting[batch.pieces[0].order.image.shape] = batcher.size

    def _finished(self, orders: deque[_Order]) -> Iterator[torch.Tensor]:
        while orders and orders[0].done:
            order = orders.popleft()
            yield order.logits[: order.answered].clone()  # without the room to spare, and no inference tensor


@dataclass(frozen=True)
class _Pass:
    """The network of one run, and how it wants its images to lie in memory."""

    network: CountedNetwork
    layout: torch.memory_format
    compiled: CountedNetwork | None  # for full batches: every other size would be compiled anew
    size: Callable[[torch.Size], int]

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        full = len(images) == self.size(images.shape[1:])
        logits: torch.Tensor = self.compiled(images) if self.compiled and full else self.network(images)
        return logits


def _composed(batch: _Batch, device: torch.device, layout: torch.memory_format) -> torch.Tensor:
    """Masked images [n, C, H, W], written straight to their places in the batch."""
    image = batch.pieces[0].order.image
    images = torch.empty((len(batch), *image.shape), dtype=image.dtype, device=device, memory_format=layout)
    for piece, place in zip(batch.pieces, torch.split(images, batch.sizes), strict=True):
        weights = piece.masks.to(device, non_blocking=True).to(image.dtype).unsqueeze(1)
        # lerp is exact at both ends: a mask of ones gives the image itself, one of zeros the infill.
        torch.lerp(piece.infills, piece.order.image, weights, out=place)
    return images
