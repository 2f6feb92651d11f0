"""Training with Lightning: quiet, resumable at every epoch, and the same to the last bit whenever it is repeated."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import logging
import warnings
from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch.utils.flop_counter import FlopCounterMode

from xaibench.allocator import keep_memory
from xaibench.precision import has_fast_bf16
from xaibench_models.checkpoints import KeepLast, WholeFiles
from xaibench_models.fleet import Fleet, current
from xaibench_models.images import TaskImages
from xaibench_models.lesson import Lesson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import nn

    from xaibench.contracts import Task, Workshop
    from xaibench_models.recipes import Recipe

# Of a recipe, what no training looks at.
BESIDE = {"summary", "paper", "model", "task", "strict", "repeats", "reported", "open"}


def train(
    network: nn.Module, task: Task, fold: int, workshop: Workshop, recipe: Recipe, name: str, head: Sequence[str] = ()
) -> Mapping[str, Any]:
    """Leave in `network` the weights of its best epoch, and return a report. `head`: its last modules, by name.

    Killed at any moment and called again with the same workshop, it goes on from where it was saved last, and ends
    with the same weights as if nothing had happened.
    """
    report = _fit(network, task, fold, workshop, recipe, name, head)
    # What fits it holds itself in circles, and four times the network: it would stay until Python looks for such.
    gc.collect()
    return report


def _fit(
    network: nn.Module, task: Task, fold: int, workshop: Workshop, recipe: Recipe, name: str, head: Sequence[str]
) -> Mapping[str, Any]:
    fleet = current()
    kept, precision = keep_memory(), "bf16-mixed" if has_fast_bf16(workshop.device) else "32-true"
    images = TaskImages(task, fold, recipe, workshop.seed, fleet.size)
    steps = len(images.train_dataloader())
    lesson = Lesson(network, len(task.classes), recipe, steps, workshop.seed, head, fleet.compiled)
    last = workshop.folder / f"last-{_digest(recipe, workshop)}.ckpt"
    network.train().requires_grad_(True).to(memory_format=torch.channels_last)
    with _quiet(), _interruptible(), torch.random.fork_rng():
        callbacks = [*_stopping(recipe), Steps(workshop.progress, name), KeepLast(last)]
        trainer = _trainer(workshop, recipe, precision, callbacks, fleet)
        trainer.fit(lesson, images, ckpt_path=last if last.exists() else None)
    network.load_state_dict(lesson.best)
    network.eval().to(memory_format=torch.contiguous_format).zero_grad(set_to_none=True)
    return {**_report(lesson, workshop.device, precision, kept, task.shape), "fleet": asdict(fleet)}


def _stopping(recipe: Recipe) -> list[Callback]:
    """What ends a training that gains nothing any more."""
    if not recipe.patience:
        return []
    mode = "min" if recipe.watch == "val_loss" else "max"
    stopping = Stopping(
        "watched", recipe.min_delta, recipe.patience, mode=mode, check_on_train_epoch_end=True, check_finite=False
    )
    return [stopping]


class Stopping(EarlyStopping):
    """A training that had ended before it was killed has ended."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """What is known from the checkpoint."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True


class Steps(Callback):
    """Tell the workshop of every step."""

    def __init__(self, progress: Callable[[str, int, int], None], name: str) -> None:
        self.progress, self.name = progress, name

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """One step is done."""
        what = f"training {self.name}: epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        self.progress(what, trainer.global_step, int(trainer.estimated_stepping_batches))


def _digest(recipe: Recipe, workshop: Workshop) -> str:
    """A checkpoint of another recipe is none of ours."""
    text = json.dumps({**learned(recipe), "seed": workshop.seed}, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def learned(recipe: Recipe) -> dict[str, Any]:
    """The part of a recipe that decides the weights."""
    return {name: value for name, value in asdict(recipe).items() if name not in BESIDE}


def _trainer(workshop: Workshop, recipe: Recipe, precision: Any, callbacks: list[Callback], fleet: Fleet) -> Trainer:
    accelerator, _, index = workshop.device.partition(":")
    alone = fleet.size == 1
    return Trainer(
        accelerator=accelerator,
        devices=[int(index)] if index else fleet.devices,
        num_nodes=fleet.nodes,
        strategy="auto" if alone else _shared(recipe),
        sync_batchnorm=not alone and accelerator == "cuda",  # torch has it for no other device
        precision=precision,
        max_epochs=recipe.epochs,
        callbacks=callbacks,
        # One process, whatever cluster we are on, unless more are asked for: the harness spreads work itself.
        plugins=[WholeFiles(), LightningEnvironment()] if alone else [WholeFiles()],
        default_root_dir=workshop.folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def _shared(recipe: Recipe) -> DDPStrategy:
    """Every device has the whole network and its share of each batch; frozen layers have no gradient to wait for."""
    frozen = recipe.freezing.ratio > 0 or recipe.freezing.gradual
    return DDPStrategy(find_unused_parameters=frozen)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No greetings from Lightning, and none of its quarrels with newer versions of what it uses."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated", category=FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Lightning leaves the process on Ctrl-C and on a scheduler's SIGTERM; who called us wants to know what it was."""
    try:
        yield
    except SIGTERMException:
        raise KeyboardInterrupt from None
    except SystemExit as leaving:
        if isinstance(leaving.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise


def flops(network: nn.Module, shape: tuple[int, int, int]) -> int:
    """Of one image forward, as torch counts them: matrix products and convolutions."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval().cpu()(torch.zeros(1, *shape))
    return int(counter.get_total_flops())


def _report(lesson: Lesson, device: str, precision: str, kept: bool, shape: tuple[int, int, int]) -> dict[str, Any]:
    best = max(lesson.curve, key=lambda row: (lesson.merit(row), row["epoch"]))
    return {
        "recipe": learned(lesson.recipe),
        "epochs": len(lesson.curve),
        "best_epoch": best["epoch"],
        # Measured while learning, on augmented images: a pass of its own would take a tenth of the time.
        "train_accuracy": best["train_accuracy"],
        "train_balanced_accuracy": best["train_balanced_accuracy"],
        "val_balanced_accuracy": best["val_balanced_accuracy"],
        "curve": lesson.curve,
        "seconds": round(sum(row["seconds"] for row in lesson.curve), 3),
        "parameters": sum(parameter.numel() for parameter in lesson.network.parameters()),
        "flops": flops(lesson.network, shape),  # multiplications and additions: twice the MACs
        "device": device,
        "threads": torch.get_num_threads(),
        "precision": precision,
        "memory_kept": kept,
        "versions": {name: version(name) for name in ("torch", "lightning", "torchmetrics", "torchvision")},
    }
