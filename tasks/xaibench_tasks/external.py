"""An external test set: learn from one dataset, be tested on another one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from xaibench.contracts import Entry, Sample
from xaibench.errors import DataError, UsageError
from xaibench.references import Reference, parse
from xaibench.registry import create
from xaibench_tasks.dataset import Dataset, DatasetCard
from xaibench_tasks.leaks import find_leaks, identical

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xaibench.contracts import Split, Task
    from xaibench_tasks.records import Record

SIDES = ("train", "test")
SHOWN = 3
PLACES: tuple[Split, ...] = ("train", "val", "test")


class External:
    """Learn from the train and val images of one task; be tested on all images of another.

    `train`, `test`: two tasks, as on the command line; `train_path`, `test_path`: where their files lie. `classes`:
    the classes to keep, by name; needed where the two do not have the same. The first task's own test images stay
    unused, so that its weights were learned from as many images as without an external test. An image that is learned
    from and tested, the same pixel for pixel, is an error; shared=True lets it be, and has it among the leaks.
    """

    def __init__(
        self,
        *,
        train: str = "",
        test: str = "",
        train_path: str = "",
        test_path: str = "",
        classes: str = "",
        shared: bool = False,
    ) -> None:
        if not train or not test:
            raise UsageError("external needs two tasks: external(train='mias', test='inbreast')")
        self.parts: dict[str, Any] = {"train": _made(train, train_path), "test": _made(test, test_path)}
        self.classes = _common(self.parts, classes)
        self.shape = self.parts["train"].shape
        if self.shape != self.parts["test"].shape:
            shapes = " and ".join(str(part.shape) for part in self.parts.values())
            raise UsageError(f"external: the two tasks have images of {shapes}; give both the same size and channels")
        self.folds = self.parts["train"].folds
        for side, split in (("train", "train"), ("train", "val"), ("test", "test")):
            if not self.entries(split, 0):  # type: ignore[arg-type]
                place = "" if side == "test" else f"{split} "
                named = self.parts[side].card.name
                raise DataError(f"external: {side}={named} has no {place}image of {', '.join(self.classes)}")
        self.card = self._card(shared)

    def fingerprint(self) -> str:
        """Changes with the content of either."""
        return " ".join(f"{side}=({self.parts[side].fingerprint()})" for side in SIDES) + f" classes={self.classes}"

    def entries(self, split: Split, fold: int) -> Sequence[Entry]:
        """Of the first task train and val, of the second one everything."""
        if split != "test":
            return self._of("train", self.parts["train"].entries(split, fold))
        everything = [entry for place in PLACES for entry in self.parts["test"].entries(place, 0)]
        return self._of("test", everything)

    def load(self, entry: Entry) -> Sample:
        """From the task it belongs to."""
        side, _, name = entry.id.partition("/")
        if side not in SIDES:
            raise DataError(f"{entry.id} is no image of external: load what `entries` of this task returned")
        part = self.parts[side]
        label = part.classes.index(self.classes[entry.label])
        sample: Sample = part.load(Entry(name, entry.patient.partition("/")[2], label))
        return replace(sample, entry=entry)

    def _of(self, side: str, entries: Sequence[Entry]) -> list[Entry]:
        """Entries under names and class numbers of our own."""
        names = self.parts[side].classes
        return [
            Entry(f"{side}/{entry.id}", f"{side}/{entry.patient}", self.classes.index(names[entry.label]))
            for entry in entries
            if names[entry.label] in self.classes
        ]

    def _card(self, shared: bool) -> DatasetCard:
        one, other = (self.parts[side].card for side in SIDES)
        return DatasetCard(
            name="external",
            summary=f"learn from {one.name}, be tested on all of {other.name}",
            citation="; ".join(filter(None, (one.citation, other.citation))),
            licence="; ".join(filter(None, (one.licence, other.licence))),
            source="; ".join(filter(None, (one.source, other.source))),
            leaks=tuple(self._leaks(shared)),
        )

    def _leaks(self, shared: bool) -> list[str]:
        """Images of the test set that are, or look like, images that were learned from."""
        sets: dict[str, Dataset] = {side: part for side, part in self.parts.items() if isinstance(part, Dataset)}
        if len(sets) < len(SIDES):
            return ["leak check: not done, since not both tasks are made of files"]
        assigned = {
            entry.id: split for fold in range(self.folds) for split in PLACES for entry in self.entries(split, fold)
        }
        names = [name for each in sets.values() for name in each.classes]
        renamed = [_renamed(side, record, names, part) for side, part in sets.items() for record in part.records]
        used = [record for record in renamed if record.id in assigned]
        both = [group for group in identical(used, _Ledgers(sets)) if len({_side(name) for name in group}) > 1]
        if both and not shared:
            raise DataError(_twice(both))
        return [
            *_namesakes(sets, used),
            *(finding.what for finding in find_leaks(used, [assigned], _Ledgers(sets))),
        ]


class _Ledgers:
    """The ledgers of both tasks as one."""

    def __init__(self, parts: dict[str, Dataset]) -> None:
        self.parts = parts

    def pixels(self, name: str) -> str:
        """Hash of the decoded pixels."""
        side, _, file = name.partition("/")
        return self.parts[side].ledger.pixels(file)

    def look(self, name: str) -> str:
        """Perceptual hash."""
        side, _, file = name.partition("/")
        return self.parts[side].ledger.look(file)

    def save(self) -> None:
        """Keep what was found."""
        for part in self.parts.values():
            part.ledger.save()


def _side(name: str) -> str:
    return name.partition("/")[0]


def _twice(groups: Sequence[Sequence[str]]) -> str:
    tested = sorted(name for group in groups for name in group if _side(name) == "test")
    names = ", ".join(name.partition("/")[2] for name in tested[:SHOWN])
    more = f" and {len(tested) - SHOWN} more" if len(tested) > SHOWN else ""
    return (
        f"external: {len(tested)} test image{'' if len(tested) == 1 else 's'} can be learned from as well, with the "
        f"very same pixels ({names}{more}): this is no external test. Give other images, take these out of one side, "
        "or say shared=True to go on nevertheless"
    )


def _namesakes(sets: Mapping[str, Dataset], used: Sequence[Record]) -> list[str]:
    """Patients of one name on both sides of one kind of task, who may be the same persons."""
    if len({part.card.name for part in sets.values()}) > 1:
        return []
    named = {side: {record.patient.partition("/")[2] for record in used if _side(record.id) == side} for side in SIDES}
    both = sorted(set.intersection(*named.values()))
    names = ", ".join(both[:SHOWN]) + (f" and {len(both) - SHOWN} more" if len(both) > SHOWN else "")
    return [f"{len(both)} patients have the same name on both sides: {names}"] if both else []


def _made(text: str, path: str) -> Any:
    reference = parse(text)
    params = {**reference.params, **({"path": path} if path else {})}
    return create("tasks", str(Reference(reference.target, params))).plugin


def _common(parts: Mapping[str, Task], asked: str) -> tuple[str, ...]:
    """The classes to keep, in the order asked for, else in that of the first task."""
    one, other = (parts[side].classes for side in SIDES)
    shared = [name for name in one if name in other]
    names = tuple(name.strip() for name in asked.split(",") if name.strip())
    if names and (unknown := [name for name in names if name not in shared]):
        raise UsageError(f"classes={asked!r}: {unknown[0]!r} is not in both tasks; {', '.join(shared) or 'none'} are")
    if not names and set(one) != set(other):
        told = f"{', '.join(one)} against {', '.join(other)}"
        raise UsageError(f"external: the classes differ ({told}); say with classes='{','.join(shared)}' which to keep")
    if len(names or shared) < 2:
        raise UsageError("external: fewer than two classes are in both tasks")
    return names or tuple(one)


def _renamed(side: str, record: Record, names: list[str], part: Dataset) -> Record:
    return replace(
        record,
        id=f"{side}/{record.id}",
        patient=f"{side}/{record.patient}",
        label=names.index(part.classes[record.label]),  # one numbering for both
        image=f"{side}/{record.image}",
    )
