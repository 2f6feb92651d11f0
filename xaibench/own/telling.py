"""What is told of a network that comes without a plugin: what it is fed, and what its outputs are taken for."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from xaibench.own.fitting import ABSENT

if TYPE_CHECKING:
    from xaibench.contracts import Task
    from xaibench.own.fitting import Fitted, Options


def no_weights(builder: str) -> str:
    """That nobody named a file with weights, of a network that is built anew."""
    way = f" ({builder}@weights.pt loads some)" if ":" in builder else ""  # what lives in a session has no reference
    return f"no weights from a file: it is as {builder} builds it{way}"


def fed(network: Fitted, options: Options, task: Task) -> str:
    """The pixels as they come to the network."""
    count = network.channels or task.shape[0]
    rows, columns = (network.resize, network.resize) if network.resize else task.shape[1:]
    said = [f"{name} {value}" for name in ("mean", "std") if (value := str(getattr(options, name)).strip())]
    scaled = f"normalised by {' and '.join(said)}" if said else "no mean and std"
    return f"fed: {count} channel{'s' * (count != 1)}, {rows} x {columns}, values 0 to 1, {scaled}"


def outputs(network: Fitted, options: Options, task: Task) -> str:
    """Which output is taken for which class, and how to have it otherwise."""
    count = len(task.classes)
    taken = network.outputs or tuple(range(count))
    pairs = [f"{ABSENT if at is None else at} {name}" for at, name in zip(taken, task.classes, strict=True)]
    if options.outputs != "":
        return f"outputs: {', '.join(pairs)} (as outputs= says)"
    turned = ",".join(ABSENT if at is None else str(at) for at in reversed(taken))
    on_task = f'classes="{",".join(reversed(task.classes))}" on the task or ' if _takes_classes(task) else ""
    return f'outputs: {", ".join(pairs)} (the task\'s order); {on_task}outputs="{turned}" on the model changes it'


def _takes_classes(task: Task) -> bool:
    """Whether the order of the classes can be said to the task."""
    return "classes" in inspect.signature(type(task).__init__).parameters
