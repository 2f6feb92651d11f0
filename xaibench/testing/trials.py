"""The trial of each kind of plugin, and the promises made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xaibench.testing import (
    common_checks,
    explainer_checks,
    explainer_manners,
    metric_checks,
    model_checks,
    task_checks,
)
from xaibench.testing.explaining import ExplainerTrial
from xaibench.testing.measuring import MetricTrial
from xaibench.testing.modelling import ModelTrial
from xaibench.testing.tasking import TaskTrial

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from xaibench.testing.subjects import Subject

# Importing these modules puts their promises on the list, in this order.
MODULES = (common_checks, explainer_checks, explainer_manners, metric_checks, model_checks, task_checks)
TRIALS: dict[str, Callable[[Subject], Any]] = {
    "explainers": ExplainerTrial,
    "metrics": MetricTrial,
    "models": ModelTrial,
    "tasks": TaskTrial,
}


def trial_of(subject: Subject, network: type[nn.Module] | None = None) -> Any:
    """What the checks of a subject's kind are given. network: what explainers are tried on, instead of the toys."""
    return TRIALS[subject.kind](subject) if network is None else ExplainerTrial(subject, network)
