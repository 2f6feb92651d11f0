"""What a task promises of its index and its samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xaibench.testing.checks import promise
from xaibench.testing.tasking import SPLITS, masks_of
from xaibench.testing.verdicts import Broken

if TYPE_CHECKING:
    from xaibench.contracts import Entry, Sample
    from xaibench.testing.tasking import TaskTrial

task = "tasks"
INDEXED = ("card", "shape", "works", "index")


@promise(task, after=("card",))
def shape(trial: TaskTrial) -> None:
    """`classes`, `shape` (channels, rows, columns) and `folds` are what they should be."""
    found = trial.task
    if len(found.classes) < 1 or not all(isinstance(name, str) and name for name in found.classes):
        raise Broken(f"classes is {found.classes!r}; a tuple of names is asked")
    if len(set(found.classes)) < len(found.classes):
        raise Broken(f"classes names one twice: {found.classes!r}")
    if len(found.shape) != 3 or not all(isinstance(side, int) and side > 0 for side in found.shape):
        raise Broken(f"shape is {found.shape!r}; (channels, rows, columns) is asked, as in (1, 224, 224)")
    if not isinstance(found.folds, int) or found.folds < 1:
        raise Broken(f"folds is {found.folds!r}; there is at least 1")


@promise(task, after=("card", "shape"))
def works(trial: TaskTrial) -> None:
    """`entries(split, fold)` gives an index for train, val and test, `load(entry)` a sample, `fingerprint()` a text."""
    if not isinstance(trial.first.fingerprint, str) or not trial.first.fingerprint:
        raise Broken(f"fingerprint() is {trial.first.fingerprint!r}; a text that changes with the data is asked")
    for fold in trial.folds:
        if not trial.first.index["test", fold]:
            raise Broken(f"the test split of fold {fold} is empty: there is nothing to benchmark")


@promise(task, after=("card", "works"))
def index(trial: TaskTrial) -> None:
    """Every entry has an id that no other has, a patient, and a label that is the number of a class."""
    for fold in trial.folds:
        entries = [entry for split in SPLITS for entry in trial.first.index[split, fold]]
        for entry in entries:
            _must_be_entry(entry, len(trial.task.classes))
        ids = [entry.id for entry in entries]
        if len(set(ids)) < len(ids):
            twice = next(name for name in ids if ids.count(name) > 1)
            raise Broken(f"in fold {fold} there are two entries with the id {twice!r}")


def _must_be_entry(entry: Entry, classes: int) -> None:
    if not isinstance(entry.id, str) or not entry.id or not isinstance(entry.patient, str) or not entry.patient:
        raise Broken(f"{entry!r}: id and patient are texts, and not empty")
    if isinstance(entry.label, bool) or not isinstance(entry.label, int | np.integer):
        raise Broken(f"{entry!r}: the label is a {type(entry.label).__name__}; the number of a class is asked")
    if not 0 <= entry.label < classes:
        raise Broken(f"{entry!r}: the label is {entry.label}, but the {classes} classes count from 0 to {classes - 1}")


@promise(task, after=INDEXED)
def patients(trial: TaskTrial) -> None:
    """No patient is in two splits of a fold: what was learned must not be tested."""
    for fold in trial.folds:
        found = {split: {entry.patient for entry in trial.first.index[split, fold]} for split in SPLITS}
        for first, second in (("train", "test"), ("train", "val"), ("val", "test")):
            if both := found[first] & found[second]:  # type: ignore[index]  # names of splits
                raise Broken(f"in fold {fold}, patient {min(both)!r} is in {first} and in {second}")


@promise(task, after=INDEXED)
def same_again(trial: TaskTrial) -> None:
    """The index and the fingerprint are the same whenever they are asked for, also of the task made again."""
    for other, which in ((trial.task, "asked again"), (trial.subject.make().plugin, "made again")):
        if other.fingerprint() != trial.first.fingerprint:
            raise Broken(f"{which}, the task has another fingerprint: it may depend on the data and parameters alone")
        for (split, fold), entries in trial.first.index.items():
            if list(other.entries(split, fold)) != entries:
                raise Broken(f"{which}, the task has another {split} split: draw it from a fixed seed, and sort files")


@promise(task, after=INDEXED)
def entries(trial: TaskTrial) -> None:
    """A sample carries the very entry that it was loaded by."""
    wanted = [entry for split in SPLITS for entry in trial.first.index[split, 0]]
    known = {entry.id: entry for entry in wanted}
    for sample in trial.first.samples:
        if known.get(sample.entry.id) != sample.entry:
            raise Broken(f"a sample came with {sample.entry!r}, which is not in the index: hand on the entry you get")


@promise(task, after=INDEXED)
def images(trial: TaskTrial) -> None:
    """Images are float32, of the task's shape, finite, and within 0 and 1."""
    for sample in trial.first.samples:
        image, name = sample.image, sample.entry.id
        if not isinstance(image, np.ndarray) or image.dtype != np.float32:
            raise Broken(f"the image of {name!r} is {getattr(image, 'dtype', type(image))}; a float32 array is asked")
        if image.shape != tuple(trial.task.shape):
            raise Broken(f"the image of {name!r} has the shape {image.shape}, the task says {tuple(trial.task.shape)}")
        if not np.isfinite(image).all() or image.min() < 0 or image.max() > 1:
            raise Broken(f"the image of {name!r} runs from {image.min():g} to {image.max():g}; 0 to 1 is asked")


@promise(task, after=INDEXED)
def masks(trial: TaskTrial) -> None:
    """Lesions and regions are boolean masks of the image's rows and columns, and a lesion has a pixel."""
    for sample in trial.first.samples:
        for name, mask in masks_of(sample).items():
            where = f"{name} of {sample.entry.id!r}"
            if not isinstance(mask, np.ndarray) or mask.dtype != bool:
                raise Broken(f"{where} is {getattr(mask, 'dtype', type(mask))}; a boolean array is asked")
            if mask.shape != tuple(trial.task.shape[1:]):
                raise Broken(f"{where} has the shape {mask.shape}; {tuple(trial.task.shape[1:])} is [rows, columns]")
            if name.startswith("lesions") and not mask.any():
                raise Broken(f"{where} is empty: leave it out, so that the image counts as normal")


@promise(task, after=(*INDEXED, "entries", "images", "same-again"))
def same_samples(trial: TaskTrial) -> None:
    """A sample is the same whenever it is loaded, in whatever order."""
    for sample in reversed(trial.first.samples):
        again = trial.task.load(sample.entry)
        if not np.array_equal(again.image, sample.image) or not _same_masks(again, sample):
            raise Broken(f"{sample.entry.id!r}, loaded twice, is not the same: draw from a seed derived from its id")


def _same_masks(first: Sample, second: Sample) -> bool:
    ours, theirs = masks_of(first), masks_of(second)
    return ours.keys() == theirs.keys() and all(np.array_equal(ours[name], theirs[name]) for name in ours)
