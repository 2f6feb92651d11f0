"""Checkpoints that are there whole or not at all."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import CheckpointIO

if TYPE_CHECKING:
    import os

    from lightning.pytorch import LightningModule, Trainer


class WholeFiles(CheckpointIO):
    """Write beside, then replace; Lightning's own way leads through the temporary folder of the system."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any | None = None
    ) -> None:
        """Replace the file at once: after a kill there is the old one or the new one."""
        file = Path(path)
        beside = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
        torch.save(checkpoint, beside)
        beside.replace(file)

    def load_checkpoint(
        self, path: str | os.PathLike[str], map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Tensors and plain values only, whatever is asked: a checkpoint never runs code."""
        checkpoint: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=True)
        return checkpoint

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Remove it if it is there."""
        Path(path).unlink(missing_ok=True)


class KeepLast(Checkpoint):
    """Save at the end of every epoch, after the lesson has taken stock of it, and every minute or so inside."""

    seconds = 60.0  # a checkpoint of a large network takes about one

    def __init__(self, file: Path) -> None:
        self.file, self.saved = file, time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Not behind the last batch: the end of the epoch is saved anyway."""
        if batch_idx + 1 < trainer.num_training_batches and self._due(trainer):
            self._save(trainer)

    def _due(self, trainer: Trainer) -> bool:
        """Processes that share a training save together, and their clocks differ: the first to ask decides."""
        due = time.monotonic() - self.saved >= self.seconds
        return trainer.strategy.reduce_boolean_decision(due, all=False) if trainer.world_size > 1 else due

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lightning calls checkpoint callbacks last."""
        self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.file)
        self.saved = time.monotonic()
