"""Split images by patient: stratified, seeded, the same on every machine."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from xaibench.errors import DataError, UsageError
from xaibench.seeds import derive

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xaibench.contracts import Split
    from xaibench_tasks.records import Record

    Assignment = dict[str, Split]  # id -> split

SPLITS: tuple[Split, ...] = ("train", "val", "test")

DEALS = 8  # of patients with unequal numbers of images; the most even one is kept


@dataclass(frozen=True, kw_only=True)
class Splitting:
    """How to split. `folds=1` holds out `test`; more folds take turns in testing."""

    folds: int = 1
    val: float = 0.15  # share of all images
    test: float = 0.15  # with one fold; with k folds it is 1/k
    seed: int = 0
    by: Literal["patient", "image"] = "patient"  # by image leaks: it is here to repeat what others did
    official: bool = False  # keep the publisher's splits; one that has no val gets `val` of train
    conflict: Literal["test", "train", "keep"] = "test"  # where a patient goes whom the publisher put into both
    untrained: bool = field(default=False, repr=False)  # the official split may have test alone; the records tell that

    def __post_init__(self) -> None:
        if not 1 <= self.folds <= 100 or (self.official and self.folds != 1):
            raise UsageError(f"folds={self.folds}: give 1 to 100, and 1 with the official split")
        shares = {"val": self.val, "test": self.test if self.folds == 1 else 1 / self.folds}
        if not all(0 < share < 1 for share in shares.values()) or sum(shares.values()) >= 1:
            raise UsageError(f"val={self.val}, test={self.test}: give shares above 0 that leave some to train on")


def assign(records: Sequence[Record], how: Splitting) -> list[Assignment]:
    """For every fold, the split of every image. A patient is in two only where by="image" or conflict="keep" asks."""
    folds = [_official(records, how)] if how.official else [_fold(records, how, test) for test in _parts(records, how)]
    for number, fold in enumerate(folds):
        held = set(fold.values())
        if how.official and how.untrained and held == {"test"}:
            continue
        if missing := [split for split in SPLITS if split not in held]:
            if how.official and how.untrained and missing[0] != "val":
                raise DataError(_unnamed(fold, missing[0]))
            units = len({_unit(record, how) for record in records})
            kind = "patients" if how.by == "patient" else "images, whatever their patient,"
            raise DataError(f"{units} {kind} are too few: fold {number} of {how.folds} gets no {missing[0]} images")
    return folds


def _unnamed(fold: Assignment, missing: Split) -> str:
    """What a split of the user's own lacks."""
    count = Counter(fold.values())
    told = ", ".join(f"{split} {count[split]}" for split in SPLITS if count[split])
    return (
        f"the column split names no {missing} image (it has {told}): name train and test images, or test for every "
        "image if all networks bring their weights; without the column the patients are dealt out"
    )


def _parts(records: Sequence[Record], how: Splitting) -> list[set[str]]:
    """The patients of each fold's test set."""
    if how.folds == 1:
        return [_deal(records, {"rest": 1 - how.test, "test": how.test}, how, "test")["test"]]
    names = {str(fold): 1 / how.folds for fold in range(how.folds)}
    dealt = _deal(records, names, how, "folds")
    return [dealt[name] for name in names]


def _fold(records: Sequence[Record], how: Splitting, test: set[str]) -> Assignment:
    rest = [record for record in records if _unit(record, how) not in test]
    share = how.val / (1 - (how.test if how.folds == 1 else 1 / how.folds))
    val = _deal(rest, {"train": 1 - share, "val": share}, how, "val")["val"]
    return {record.id: _which(_unit(record, how), test, val) for record in records}


def _unit(record: Record, how: Splitting) -> str:
    """What is never torn apart."""
    return record.patient if how.by == "patient" else record.id


def _which(unit: str, test: set[str], val: set[str]) -> Split:
    return "test" if unit in test else "val" if unit in val else "train"


def _official(records: Sequence[Record], how: Splitting) -> Assignment:
    unplaced = [record.id for record in records if not record.official]
    if unplaced:
        raise DataError(f"no official split is known for {len(unplaced)} images, such as {unplaced[0]}")
    assigned: Assignment = {record.id: record.official for record in records if record.official}
    if how.conflict != "keep":
        for patient in conflicts(records):
            assigned |= {record.id: how.conflict for record in records if record.patient == patient}
    if "val" not in assigned.values():
        tested = {_unit(record, how) for record in records if assigned[record.id] == "test"}
        learned = [r for r in records if assigned[r.id] == "train" and _unit(r, how) not in tested]
        val = _deal(learned, {"train": 1 - how.val, "val": how.val}, how, "val")["val"]
        assigned |= {record.id: "val" for record in learned if _unit(record, how) in val}
    return assigned


def conflicts(records: Sequence[Record]) -> list[str]:
    """The patients whom the publisher put into more than one split."""
    places: dict[str, set[str]] = defaultdict(set)
    for record in records:
        places[record.patient].add(record.official)
    return sorted(patient for patient, found in places.items() if len(found) > 1)


def _deal(records: Sequence[Record], shares: Mapping[str, float], how: Splitting, what: str) -> dict[str, set[str]]:
    """Deal patients out some times over, and keep the deal that gives every class nearest to its share."""
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        groups[_unit(record, how)].append(record)
    equal = len({len(group) for group in groups.values()}) <= 1
    deals = [_dealt(groups, shares, (how.seed, what, attempt)) for attempt in range(1 if equal else DEALS)]
    return min(deals, key=lambda hands: _unevenness(groups, shares, hands))


def _dealt(
    groups: Mapping[str, Sequence[Record]], shares: Mapping[str, float], seed: tuple[str | int, ...]
) -> dict[str, set[str]]:
    """Patients with like labels one after another, each to whom most images are due; nobody goes away empty."""

    def order(unit: str) -> tuple[tuple[int, ...], int, str]:
        labels = sorted({record.label for record in groups[unit]}, reverse=True)
        return tuple(labels), derive("split", *seed, unit), unit

    hands: dict[str, set[str]] = {name: set() for name in shares}
    given = dict.fromkeys(shares, 0)
    for unit in sorted(groups, key=order):
        seen = sum(given.values()) + len(groups[unit])
        due = max(shares, key=lambda name: shares[name] * seen - given[name])
        hands[due].add(unit)
        given[due] += len(groups[unit])
    for empty in [name for name, held in hands.items() if not held]:
        richest = max(hands.values(), key=len)
        if len(richest) > 1:
            spare = min(richest, key=lambda unit: (len(groups[unit]), derive("spare", *seed, unit)))
            richest.remove(spare)
            hands[empty].add(spare)
    return hands


def _unevenness(
    groups: Mapping[str, Sequence[Record]], shares: Mapping[str, float], hands: Mapping[str, set[str]]
) -> float:
    """How far the worst hand is from its share of a class, in images."""
    total = Counter(record.label for group in groups.values() for record in group)
    worst = 0.0
    for name, units in hands.items():
        held = Counter(record.label for unit in units for record in groups[unit])
        worst = max([worst, *(abs(held[label] - shares[name] * count) for label, count in total.items())])
    return worst
