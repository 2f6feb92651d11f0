"""What is learned: a loss, its optimiser, and the curve of how well it goes."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import LightningModule
from torch.nn import functional as F
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from xaibench.errors import UsageError, XaibenchError
from xaibench.seeds import derive
from xaibench_models.augment import augmented
from xaibench_models.freezing import layers_of, parameters_of, rates, set_learning

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

    from xaibench_models.recipes import Recipe

    Batch = tuple[torch.Tensor, torch.Tensor]

LOW = 10  # of cyclic learning rates: how many times lower the low end is


class Lesson(LightningModule):
    """Classification by cross-entropy. It keeps the weights of the epoch that did best on the validation images."""

    weights: torch.Tensor | None

    def __init__(
        self,
        network: nn.Module,
        classes: int,
        recipe: Recipe,
        steps: int,
        seed: int,
        head: Sequence[str] = (),
        compiled: bool = False,
    ) -> None:
        super().__init__()
        # A function, not a module: the weights are in the checkpoint once, and under their own names.
        self.answer = torch.compile(network.forward) if compiled else network.forward
        self.network, self.recipe, self.steps, self.seed = network, recipe, steps, seed
        self.layers = layers_of(network, head, recipe.freezing)
        if recipe.class_weights and len(recipe.class_weights) != classes:
            given = f"{len(recipe.class_weights)} class_weights for {classes} classes"
            raise UsageError(f"recipe {recipe.name!r} has {given}")
        self.register_buffer("weights", torch.tensor(recipe.class_weights) if recipe.class_weights else None, False)
        self.loss = MeanMetric(nan_strategy="disable")
        self.held_out_loss = MeanMetric(nan_strategy="disable")
        self.accuracy = MulticlassAccuracy(classes, average="micro")
        self.balanced = MulticlassAccuracy(classes, average="macro")  # mean recall
        self.held_out = MulticlassAccuracy(classes, average="macro")
        for metric in (self.loss, self.held_out_loss, self.accuracy, self.balanced, self.held_out):
            metric.persistent(True)  # a training resumed inside an epoch goes on counting
        self.curve: list[dict[str, Any]] = []
        self.best: dict[str, torch.Tensor] = {}
        self.started, self.learning = 0.0, 0

    def on_train_start(self) -> None:
        """Also where an epoch is gone on with."""
        self.started = time.perf_counter()

    def on_train_epoch_start(self) -> None:
        """Begin to count."""
        self.started = time.perf_counter()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Dropout and the like draw from the global generator: each step has its own seed, resumed or not."""
        torch.manual_seed(self._drawn("train"))
        learning = self.layers.learning(self.recipe.freezing, self.current_epoch)
        self.learning = len(set_learning(self.network, learning))

    def _drawn(self, what: str) -> int:
        """The seed of this step; each process that shares the work has its own, the first the one it has alone."""
        return derive(what, self.seed, self.global_step, *([self.global_rank] if self.global_rank else []))

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        """One batch."""
        images, labels = batch
        images = augmented(images, self.recipe.augmentation, self._drawn("augment"))
        logits = self.answer(images).float()
        loss = F.cross_entropy(logits, labels, self.weights, label_smoothing=self.recipe.label_smoothing)
        self.loss.update(loss.detach())
        self.accuracy.update(logits.detach(), labels)
        self.balanced.update(logits.detach(), labels)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        """One batch of held-out images."""
        images, labels = batch
        logits = self.answer(images).float()[: len(labels)]
        if len(labels):  # none for a process that only keeps step with the others
            self.held_out.update(logits, labels)
            self.held_out_loss.update(F.cross_entropy(logits, labels), len(labels))

    def on_train_epoch_end(self) -> None:
        """Take stock. Of equally good epochs the later one counts: its learning rate is lower."""
        names = {"train_loss": self.loss, "train_accuracy": self.accuracy, "train_balanced_accuracy": self.balanced}
        names |= {"val_balanced_accuracy": self.held_out, "val_loss": self.held_out_loss}
        values = {name: _taken(metric) for name, metric in names.items()}
        if not math.isfinite(values["train_loss"]):
            raise XaibenchError(
                f"training diverged in epoch {self.current_epoch + 1}: the loss is {values['train_loss']}. "
                f"Recipe {self.recipe.name!r} has a learning rate of {self.recipe.learning_rate}; lower it."
            )
        # The metrics have gathered what all processes saw, so that the mean over these is the value.
        self.log("watched", values[self.recipe.watch], sync_dist=self.trainer.world_size > 1)
        if not self.curve or self.merit(values) >= max(map(self.merit, self.curve)):
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in self.network.state_dict().items()}
        seconds = round(time.perf_counter() - self.started, 3)
        self.curve.append({"epoch": self.current_epoch + 1, **values, "learning": self.learning, "seconds": seconds})

    def merit(self, row: Mapping[str, Any]) -> float:
        """What the best epoch has most of."""
        watched = float(row[self.recipe.watch])
        return -watched if self.recipe.watch == "val_loss" else watched

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """What Lightning does not know of."""
        checkpoint["curve"], checkpoint["best"] = self.curve, self.best

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from there."""
        self.curve, self.best = checkpoint["curve"], checkpoint["best"]

    def configure_optimizers(self) -> Any:
        """Every group of layers with its learning rate; weight decay for weights alone."""
        groups = []
        for layers, rate in rates(self.layers, self.recipe):
            learned = parameters_of(layers)
            weights, others = [p for p in learned if p.ndim > 1], [p for p in learned if p.ndim <= 1]
            groups.append({"params": weights, "lr": rate, "weight_decay": self.recipe.weight_decay})
            groups.append({"params": others, "lr": rate, "weight_decay": 0.0})
        # Fused: on a CPU the plain one takes a tenth of the training time.
        kind = torch.optim.AdamW if self.recipe.optimiser == "adamw" else torch.optim.Adam
        optimiser = kind([group for group in groups if group["params"]], fused=True)
        cycle = scheduled(optimiser, self.recipe, self.steps)
        return (
            optimiser
            if cycle is None
            else {"optimizer": optimiser, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}
        )


def scheduled(optimiser: torch.optim.Optimizer, recipe: Recipe, steps: int) -> Any:
    """How learning rates change from step to step; `steps` make an epoch."""
    highest = [group["lr"] for group in optimiser.param_groups]
    if recipe.schedule == "one-cycle":
        return torch.optim.lr_scheduler.OneCycleLR(
            optimiser, highest, total_steps=steps * recipe.epochs, pct_start=recipe.warm_up
        )
    if recipe.schedule == "cyclic":
        return torch.optim.lr_scheduler.CyclicLR(
            optimiser,
            [rate / LOW for rate in highest],
            highest,
            step_size_up=max(1, steps * recipe.cycle // 2),
            cycle_momentum=False,
        )
    return None


def _taken(metric: Any) -> float:
    """The value of a metric, which then starts again."""
    value = float(metric.compute())
    metric.reset()
    return value
