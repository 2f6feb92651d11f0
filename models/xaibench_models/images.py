"""A task's images in memory, and the batches of an epoch: the same ones whenever that epoch is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from lightning.pytorch import LightningDataModule

from xaibench.errors import DataError, UsageError
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
    """What Lightning trains on. Several processes share every batch, so that the recipe's batch stays what it is."""

    def __init__(self, task: Task, fold: int, recipe: Recipe, seed: int, processes: int = 1) -> None:
        super().__init__()
        if recipe.batch_size < processes:
            told = f"batches of {recipe.batch_size} images among {processes} devices"
            raise UsageError(f"recipe {recipe.name!r} shares {told}: use fewer, or a recipe of yours with larger ones")
        self.learned, self.held_out = decoded(task, "train", fold), decoded(task, "val", fold)
        self.recipe, self.seed, self.processes = recipe, seed, processes

    @property
    def rank(self) -> int:
        """Which of the processes this is."""
        return self.trainer.global_rank if self.trainer else 0

    def train_dataloader(self) -> TrainBatches:
        """Shuffled and augmented."""
        return TrainBatches(self.learned, self.recipe, self.seed, self.rank, self.processes)

    def val_dataloader(self) -> HeldOutBatches:
        """In order, as they are."""
        return HeldOutBatches(self.held_out, self.recipe.batch_size, self.rank, self.processes)


class HeldOutBatches:
    """Every image once, in one of the processes. All have as many batches: they wait for each other in each."""

    def __init__(self, images: Images, size: int, rank: int = 0, processes: int = 1) -> None:
        self.images, self.size, self.rank, self.processes = images, size, rank, processes

    def __len__(self) -> int:
        return -(-len(self.images.labels) // self.size)

    def __iter__(self) -> Iterator[Batch]:
        for start in range(0, len(self.images.labels), self.size):
            stop = min(start + self.size, len(self.images.labels))
            chosen = slice(start + self.rank, stop, self.processes)
            labels = self.images.labels[chosen]
            # A share without images has one that does not count.
            yield self.images.pixels[chosen if len(labels) else slice(1)].float(), labels


class TrainBatches:
    """The batches of one epoch after the other. Lightning sets the epoch, through `sampler`, before each.

    It can be stopped inside an epoch and gone on with: Lightning keeps `state_dict` in its checkpoints.
    """

    def __init__(self, images: Images, recipe: Recipe, seed: int, rank: int = 0, processes: int = 1) -> None:
        self.images, self.recipe, self.seed = images, recipe, seed
        counts = torch.bincount(images.labels)
        total = recipe.per_class * int((counts > 0).sum()) if recipe.per_class else len(images.labels)
        self.rank, self.processes = rank, processes
        self.size = max(processes, min(recipe.batch_size, total) // processes * processes)  # equal shares
        self.total, self.epoch, self.given = total, 0, 0
        self.sampler = self

    def set_epoch(self, epoch: int) -> None:
        """The next iteration is this epoch's."""
        self.epoch = epoch

    def state_dict(self) -> dict[str, int]:
        """Where we are in the epoch."""
        return {"given": self.given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from there."""
        self.given = state["given"]

    def __len__(self) -> int:
        return self.total // self.size

    def __iter__(self) -> Iterator[Batch]:
        """Full batches only: what is left over is another rest in every epoch."""
        order = self._order(torch.Generator().manual_seed(derive("epoch", self.seed, self.epoch)))
        begun = self.given if self.given < len(self) else 0
        for number in range(begun, len(self)):
            chosen = order[number * self.size + self.rank : (number + 1) * self.size : self.processes]
            self.given = number + 1
            yield self.images.pixels[chosen].float(), self.images.labels[chosen]

    def _order(self, generator: torch.Generator) -> torch.Tensor:
        """Of each class as many as the recipe wants, or every image once."""
        if not self.recipe.per_class:
            return torch.randperm(len(self.images.labels), generator=generator)
        drawn = [
            _drawn(torch.nonzero(self.images.labels == label).flatten(), self.recipe.per_class, generator)
            for label in torch.unique(self.images.labels)
        ]
        mixed = torch.cat(drawn)
        return mixed[torch.randperm(len(mixed), generator=generator)]


def _drawn(rows: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    """So many of these rows, each as often as the next, but for one."""
    rounds = [rows[torch.randperm(len(rows), generator=generator)] for _ in range(-(-count // len(rows)))]
    return torch.cat(rounds)[:count]
