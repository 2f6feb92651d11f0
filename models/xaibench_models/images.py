"""A task's images in memory, and the batches of an epoch: the same ones whenever that epoch is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from lightning.pytorch import LightningDataModule

from xaibench.errors import DataError
from xaibench.seeds import derive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xaibench.contracts import Split, Task
    from xaibench_models.recipes import Recipe

    Batch = tuple[torch.Tensor, torch.Tensor]  # images [B, C, H, W] in [0, 1], labels [B]


@dataclass(frozen=True, eq=False)
class Images:
    """One split, decoded once."""

    pixels: torch.Tensor  # [N, C, H, W], as half floats: finer than 8 bits, half the memory of floats
    labels: torch.Tensor  # [N]


def decoded(task: Task, split: Split, fold: int) -> Images:
    """Decode a split into memory."""
    entries = task.entries(split, fold)
    if not entries:
        raise DataError(f"{task.card.name} has no {split} images in fold {fold}: training needs some")
    pixels = torch.empty((len(entries), *task.shape), dtype=torch.half)
    for row, entry in zip(pixels, entries, strict=True):
        row.copy_(torch.from_numpy(task.load(entry).image))
    return Images(pixels, torch.tensor([entry.label for entry in entries]))


class TaskImages(LightningDataModule):
    """What Lightning trains on."""

    def __init__(self, task: Task, fold: int, recipe: Recipe, seed: int) -> None:
        super().__init__()
        self.learned, self.held_out = decoded(task, "train", fold), decoded(task, "val", fold)
        self.recipe, self.seed = recipe, seed

    def train_dataloader(self) -> TrainBatches:
        """Shuffled and augmented."""
        return TrainBatches(self.learned, self.recipe, self.seed)

    def val_dataloader(self) -> HeldOutBatches:
        """In order, as they are."""
        return HeldOutBatches(self.held_out, self.recipe.batch_size)


class HeldOutBatches:
    """Every image once."""

    def __init__(self, images: Images, size: int) -> None:
        self.images, self.size = images, size

    def __len__(self) -> int:
        return -(-len(self.images.labels) // self.size)

    def __iter__(self) -> Iterator[Batch]:
        for start in range(0, len(self.images.labels), self.size):
            chosen = slice(start, start + self.size)
            yield self.images.pixels[chosen].float(), self.images.labels[chosen]


class TrainBatches:
    """The batches of one epoch after the other. Lightning sets the epoch, through `sampler`, before each."""

    def __init__(self, images: Images, recipe: Recipe, seed: int) -> None:
        self.images, self.recipe, self.seed = images, recipe, seed
        self.size = min(recipe.batch_size, len(images.labels))
        self.epoch = 0
        self.sampler = self

    def set_epoch(self, epoch: int) -> None:
        """The next iteration is this epoch's."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.images.labels) // self.size

    def __iter__(self) -> Iterator[Batch]:
        """Full batches only: what is left over is another rest in every epoch."""
        generator = torch.Generator().manual_seed(derive("epoch", self.seed, self.epoch))
        order = torch.randperm(len(self.images.labels), generator=generator)
        for start in range(0, len(self) * self.size, self.size):
            chosen = order[start : start + self.size]
            yield self._augmented(self.images.pixels[chosen].float(), generator), self.images.labels[chosen]

    def _augmented(self, pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        if self.recipe.mirror:
            chosen = torch.rand((len(pixels), 1, 1, 1), generator=generator) < 0.5
            pixels = torch.where(chosen, pixels.flip(3), pixels)
        return pixels
