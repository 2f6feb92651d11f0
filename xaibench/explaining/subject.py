"""The network that is to be explained, with what is known of its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from xaibench.allocator import keep_memory
from xaibench.classifier import TorchClassifier
from xaibench.errors import DataError, UsageError
from xaibench.orders import Order, Prepared
from xaibench.own.model import OwnModel
from xaibench.weights import build, digest_of, load

if TYPE_CHECKING:
    from torch import nn

    from xaibench.contracts import Precision, Sample
    from xaibench.registry import Loaded


@dataclass(frozen=True, eq=False)
class Subject:
    """A model and the task whose classes it tells apart."""

    model: Loaded
    task: Loaded
    fold: int
    classifier: TorchClassifier
    weights: str  # their digest
    trained: bool  # False: random weights, of which no map means anything
    origin: str  # where the weights are from, in words

    @property
    def learned_here(self) -> bool:
        """Whether the weights come from training on the task."""
        return self.trained and bool(self.model.card["trained"])

    @property
    def gated(self) -> bool:
        """Whether the network sees no more than a mask allows."""
        return "masks" in self.model.card["needs"]


def subject_of(model: Loaded, task: Loaded, fold: int, seed: int, device: str, precision: Precision) -> Subject:
    """The network with the weights that a benchmark on this task would use; random ones if there are none yet."""
    if not 0 <= fold < task.plugin.folds:
        msg = f"--fold {fold}: {task.label} has {task.plugin.folds} fold(s), counted from 0"
        raise UsageError(msg)
    order = Order(model, task, fold, seed)
    found = order.find() if model.card["trained"] else None
    keep_memory()
    network = _built(order, found)
    classifier = TorchClassifier(
        network,
        task.plugin.classes,
        model.plugin.cam_layer(task.plugin),
        device=device,
        precision=precision,
        needs_gate="masks" in model.card["needs"],
    )
    trained = found is not None or not model.card["trained"]
    return Subject(model, task, fold, classifier, digest_of(network), trained, _origin(model, task, fold, found))


def _built(order: Order, found: Prepared | None) -> nn.Module:
    try:
        return load(order, found.digest, found.file) if found else build(order)
    except DataError as error:
        raise DataError(f"{error}\n  {_other_classes(order.task)}") from error
    except UsageError as error:
        if not isinstance(order.model.plugin, OwnModel):
            raise
        raise UsageError(f"{error}\n  {_other_classes(order.task)}") from error


def _other_classes(task: Loaded) -> str:
    """What to do if a network and a task do not have the same classes."""
    classes, side = task.plugin.classes, task.plugin.shape[1]
    return (
        f"The network is taken for one of the {len(classes)} classes of --task {task.label}: {', '.join(classes)}. "
        f"If yours has others, or takes another size, say so: --task \"picture(classes='a,b',size={side})\"."
    )


def _origin(model: Loaded, task: Loaded, fold: int, found: Prepared | None) -> str:
    if found:
        return f"learned on {task.label}, fold {fold}"
    if checkpoint := model.params.get("checkpoint"):
        return f"from the file {checkpoint}"
    return "random: not trained" if model.card["trained"] else "as the model brings them"


def how_to_train(subject: Subject) -> str:
    """What to do about random weights."""
    model, task = subject.model.label, subject.task.label
    return (
        f"WARNING: this network is untrained: there are no weights of {model} on {task} yet, so its prediction and "
        f"its maps mean nothing.\n  Train it: xaibench run --models '{model}' --tasks '{task}' --limit 1, "
        f"or give weights: --model {subject.model.name}@weights.safetensors"
    )


@torch.inference_mode()
def probabilities(subject: Subject, sample: Sample) -> list[float]:
    """What the network says of an image: one share per class, by softmax."""
    images = torch.from_numpy(sample.image)[None].to(subject.classifier.device)
    shares = torch.softmax(subject.classifier.logits(images).double(), dim=1)[0]
    if len(shares) != len(subject.classifier.classes):
        msg = f"{subject.model.label} gives {len(shares)} outputs. {_other_classes(subject.task)}"
        raise UsageError(msg)
    return [float(share) for share in shares]
