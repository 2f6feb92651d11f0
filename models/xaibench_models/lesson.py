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

from xaibench.errors import XaibenchError
from xaibench.seeds import derive

if TYPE_CHECKING:
    from torch import nn

    from xaibench_models.recipes import Recipe

    Batch = tuple[torch.Tensor, torch.Tensor]


class Lesson(LightningModule):
    """Classification by cross-entropy. It keeps the weights of the epoch that did best on the validation images."""

    def __init__(self, network: nn.Module, classes: int, recipe: Recipe, steps: int, seed: int) -> None:
        super().__init__()
        self.network, self.recipe, self.steps, self.seed = network, recipe, steps, seed
        self.loss = MeanMetric(nan_strategy="disable")
        self.accuracy = MulticlassAccuracy(classes, average="micro")
        self.balanced = MulticlassAccuracy(classes, average="macro")  # mean recall
        self.held_out = MulticlassAccuracy(classes, average="macro")
        self.curve: list[dict[str, Any]] = []
        self.best: dict[str, torch.Tensor] = {}
        self.started = 0.0

    def on_train_epoch_start(self) -> None:
        """Dropout and the like draw from the global generator: each epoch has its own seed, resumed or not."""
        torch.manual_seed(derive("train", self.seed, self.current_epoch))
        self.started = time.perf_counter()

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        """One batch."""
        images, labels = batch
        logits = self.network(images).float()
        loss = F.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)
        self.loss.update(loss.detach())
        self.accuracy.update(logits.detach(), labels)
        self.balanced.update(logits.detach(), labels)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        """One batch of held-out images."""
        images, labels = batch
        self.held_out.update(self.network(images).float(), labels)

    def on_train_epoch_end(self) -> None:
        """Take stock. Of equally good epochs the later one counts: its learning rate is lower."""
        names = {"train_loss": self.loss, "train_accuracy": self.accuracy, "train_balanced_accuracy": self.balanced}
        values = {name: _taken(metric) for name, metric in (names | {"val_balanced_accuracy": self.held_out}).items()}
        if not math.isfinite(values["train_loss"]):
            raise XaibenchError(
                f"training diverged in epoch {self.current_epoch + 1}: the loss is {values['train_loss']}. "
                f"Recipe {self.recipe.name!r} has a learning rate of {self.recipe.learning_rate}; lower it."
            )
        if values["val_balanced_accuracy"] >= max((row["val_balanced_accuracy"] for row in self.curve), default=0):
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in self.network.state_dict().items()}
        seconds = round(time.perf_counter() - self.started, 3)
        self.curve.append({"epoch": self.current_epoch + 1, **values, "seconds": seconds})

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """What Lightning does not know of."""
        checkpoint["curve"], checkpoint["best"] = self.curve, self.best

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from there."""
        self.curve, self.best = checkpoint["curve"], checkpoint["best"]

    def configure_optimizers(self) -> Any:
        """AdamW, with weight decay for weights alone; one cycle of the learning rate."""
        weights = [parameter for parameter in self.network.parameters() if parameter.ndim > 1]
        others = [parameter for parameter in self.network.parameters() if parameter.ndim <= 1]
        groups = [
            {"params": weights, "weight_decay": self.recipe.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        # Fused: on a CPU the plain one takes a tenth of the training time.
        optimiser = torch.optim.AdamW(groups, lr=self.recipe.learning_rate, fused=True)
        cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, self.recipe.learning_rate, self.steps * self.recipe.epochs, pct_start=self.recipe.warm_up
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}


def _taken(metric: Any) -> float:
    """The value of a metric, which then starts again."""
    value = float(metric.compute())
    metric.reset()
    return value
