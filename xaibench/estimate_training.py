"""How long a training will take, from its first steps."""

from __future__ import annotations

import itertools
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from xaibench.contracts import Workshop
from xaibench.isolation import isolated_randomness
from xaibench.weights import build

if TYPE_CHECKING:
    from xaibench.orders import Order

STEPS = 6  # the first is slower than all that follow
SECONDS = 20.0  # or fewer steps, once these are over
PASSES = 3  # forward, and backward for twice as much: what a step takes of each image; a look at held-out images one


class _EnoughError(BaseException):
    """Not an Exception: whoever trains may catch those."""


def training_seconds(order: Order, device: str) -> float | None:
    """Train a few steps and throw them away; None for a model that tells of no steps, or cannot be trained."""
    marks: list[float] = []
    steps = 0

    def tell(_what: str, done: int, total: int) -> None:
        nonlocal steps
        marks.append(time.perf_counter())
        steps = total
        if done >= total or len(marks) >= STEPS or (len(marks) > 1 and marks[-1] - marks[0] > SECONDS):
            raise _EnoughError

    network, started = build(order), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, isolated_randomness(0):
        workshop = Workshop(Path(folder), device, 0, tell)
        with suppress(_EnoughError):
            order.model.plugin.prepare(network, order.task.plugin, order.fold, workshop)
    if not marks:
        return None
    each = sorted(late - early for early, late in itertools.pairwise(marks))
    step = each[len(each) // 2] if each else marks[0] - started
    return (marks[0] - started) + step * (steps - 1) * (1 + held_out(order) / PASSES)


def held_out(order: Order) -> float:
    """Images that are looked at after an epoch, per image that is learned in it."""
    count = {split: len(order.task.plugin.entries(split, order.fold)) for split in ("train", "val")}
    return count["val"] / max(1, count["train"])
