"""A task on trial: its index and its first samples."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from xaibench.contracts import Split
from xaibench.testing.trying import Trial

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xaibench.contracts import Entry, Sample

SPLITS: tuple[Split, ...] = get_args(Split)
LOADED = 4  # samples of each split


class TaskTrial(Trial):
    """One task. Of each split the first few samples are loaded."""

    @property
    def task(self) -> Any:
        """The task."""
        return self.made.plugin

    @cached_property
    def folds(self) -> range:
        """Its folds."""
        return range(self.task.folds)

    @cached_property
    def first(self) -> First:
        """The first use of all, watched."""
        return First(self)

    def evidence(self) -> dict[str, NDArray[Any]]:
        """What another process must find too."""
        return {
            "ids": np.array([entry.id for entries in self.first.index.values() for entry in entries]),
            "fingerprint": np.array([self.task.fingerprint()]),
            "images": np.stack([sample.image for sample in self.first.samples]),
        }


class First:
    """Index and first samples, and what was seen meanwhile."""

    def __init__(self, trial: TaskTrial) -> None:
        task = trial.task
        with trial.watch():
            self.fingerprint: str = task.fingerprint()
            self.index: dict[tuple[Split, int], list[Entry]] = {
                (split, fold): list(task.entries(split, fold)) for fold in trial.folds for split in SPLITS
            }
            self.samples: list[Sample] = [
                task.load(entry) for split in SPLITS for entry in self.index[split, 0][:LOADED]
            ]


def masks_of(sample: Sample) -> dict[str, Any]:
    """All masks of a sample by a name to call them by."""
    lesions = {f"lesions[{number}]": mask for number, mask in enumerate(sample.lesions)}
    return lesions | {f"regions[{name!r}]": mask for name, mask in sample.regions.items()}
