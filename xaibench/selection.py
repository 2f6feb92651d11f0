"""Which samples, in which order, and which class of each is explained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xaibench.errors import UsageError
from xaibench.seeds import derive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xaibench.contracts import Entry, Split, Task

POLICIES = ("predicted", "true", "each")


def ordered(task: Task, split: Split, fold: int) -> list[Entry]:
    """A split in the order of a hash of its ids: the first 100 samples are the same whether 100 or 1000 are asked."""
    return sorted(task.entries(split, fold), key=lambda entry: (derive("order", entry.id), entry.id))


def expand_target(policy: str, classes: Sequence[str]) -> list[str]:
    """The target policies to run: `each` stands for every class; a class is written `class:NAME`."""
    if policy in ("predicted", "true"):
        return [policy]
    if policy == "each":
        return [f"class:{name}" for name in classes]
    name = policy.removeprefix("class:")
    if name not in classes:
        msg = f"--target {policy}: not a policy and not a class; allowed are {', '.join((*POLICIES, *classes))}"
        raise UsageError(msg)
    return [f"class:{name}"]


def target_of(policy: str, classes: Sequence[str], label: int, predicted: int) -> int:
    """The class to explain for one sample."""
    if policy == "predicted":
        return predicted
    return label if policy == "true" else list(classes).index(policy.removeprefix("class:"))
