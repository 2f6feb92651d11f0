"""What an explainer promises to leave alone."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import torch

from xaibench.guard import Guard
from xaibench.testing.checks import promise
from xaibench.testing.explainer_checks import REPEATABLE, explainer
from xaibench.testing.verdicts import Broken, NotAsked

if TYPE_CHECKING:
    from torch import nn

    from xaibench.testing.explaining import ExplainerTrial


@promise(explainer, after=("works",))
def network_untouched(trial: ExplainerTrial) -> None:
    """The network is left as it was: weights, buffers, statistics, hooks, train mode and requires_grad."""
    if changes := trial.first.changes:
        raise Broken(f"it changed the network: {changes}")


@promise(explainer, after=("works", "network-untouched"))
def error_untouched(trial: ExplainerTrial) -> None:
    """If the network raises an error, it is left as it was all the same: hooks are removed in a `finally`."""
    classifier = trial.classifier()
    last = [module for module in classifier.network.modules() if not list(module.children())][-1]
    handle = last.register_forward_pre_hook(_fail)
    guard = Guard(classifier.network)
    with contextlib.suppress(Exception):  # handed on as it is or as another: both are fine
        trial.call(trial.batch(), classifier)
    changes = guard.changes()
    handle.remove()
    if changes:
        raise Broken(f"after an error inside the network, {changes}: remove it in a `finally` or by `with`")


def _fail(_module: nn.Module, _given: object) -> NoReturn:
    raise RuntimeError("the network was told to fail")


@promise(explainer, after=("works",))
def batch_untouched(trial: ExplainerTrial) -> None:
    """Images, targets, masks and prior are not written into, and ask for no gradient afterwards."""
    batch, copy = trial.first.batch, trial.first.copy
    if not torch.equal(batch.images, copy.images) or not torch.equal(batch.targets, copy.targets):
        raise Broken("it wrote into the images or targets of the batch: work on a .clone()")
    if batch.images.requires_grad or batch.images.grad is not None:
        raise Broken("it asked for the gradient of batch.images itself: do so with batch.images.clone()")
    for name in ("masks", "prior"):
        before, after = getattr(copy, name), getattr(batch, name)
        if before is not None and not np.array_equal(before, after):
            raise Broken(f"it wrote into batch.{name}: work on a copy")


@promise(explainer, after=(*REPEATABLE, "batch-untouched"))
def own_memory(trial: ExplainerTrial) -> None:
    """Maps are no window into the batch or into memory that the next call overwrites."""
    batch = trial.batch()
    classifier = trial.classifier()
    answer = trial.call(batch, classifier)
    before = np.array(answer.detach() if isinstance(answer, torch.Tensor) else answer)
    batch.images.zero_()
    for array in (batch.masks, batch.prior):
        if array is not None:
            array[:] = 0
    if not np.array_equal(before, np.asarray(answer.detach() if isinstance(answer, torch.Tensor) else answer)):
        raise Broken("the maps change when the batch is overwritten: return a copy, not a view")


@promise(explainer, after=("works",))
def blind_reference(trial: ExplainerTrial) -> None:
    """A floor or ceiling never looks at the network."""
    if not trial.card["reference"]:
        raise NotAsked("it is no floor or ceiling")
    if trial.first.forward or trial.first.backward:
        raise Broken("its card calls it a floor or ceiling, but it asks the network")
