"""What one split tells about another: patients in both, the same image twice, images that look the same."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Protocol

import numpy as np

from xaibench_tasks.checking import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from xaibench.contracts import Split
    from xaibench_tasks.checking import Level
    from xaibench_tasks.records import Record

# Of 256 signs. On the 51,681 pairs of different MIAS films the least distance is 42; a film against itself after JPEG
# at quality 30, halving, noise, a gamma of 0.7 or a crop of 1 percent stays within 30.
NEAR = 32
SHOWN = 5
BLOCK = 1024  # rows compared at once


class Facts(Protocol):
    """What is asked of a ledger, or of several taken as one."""

    def pixels(self, name: str) -> str:
        """Hash of the decoded pixels."""

    def look(self, name: str) -> str:
        """Perceptual hash."""

    def save(self) -> None:
        """Keep what was found."""


def find_leaks(
    records: Sequence[Record], assigned: Sequence[Mapping[str, Split]], ledger: Facts, look: bool = True
) -> list[Finding]:
    """All that is found in all folds, and a note that says what was looked at. Without `look` no image is read."""
    known = {record.id: record for record in records}
    patients = list(shared_patients(records, assigned))
    if not look:
        told = f"{len(patients)} of {len(assigned)} fold(s) with shared patients; `xaibench data check` compares images"
        return [*patients, Finding("note", "splits", f"leak check: {told}")]
    twins = identical(records, ledger)
    pairs = near_duplicates(records, ledger)
    findings = [*patients, *_groups(twins, known, assigned), *_pairs(pairs, known, assigned)]
    ledger.save()
    told = (
        f"leak check of {len(records)} images of {len({record.patient for record in records})} patients in "
        f"{len(assigned)} fold(s): {len(patients)} fold(s) with shared patients, {len(twins)} group(s) of identical "
        f"images, {len(pairs)} pair(s) of near-duplicates"
    )
    return [*findings, Finding("note", "splits", told)]


def shared_patients(records: Sequence[Record], assigned: Sequence[Mapping[str, Split]]) -> Iterator[Finding]:
    """Patients with images on two sides, fold by fold."""
    for fold, splits in enumerate(assigned):
        sides: dict[str, set[Split]] = defaultdict(set)
        for record in records:
            sides[record.patient].add(splits[record.id])
        shared = sorted(patient for patient, found in sides.items() if len(found) > 1)
        if shared:
            tested = sum("test" in sides[patient] for patient in shared)
            told = (
                f"{len(shared)} of {len(sides)} patients have images in several splits, {tested} of them in test: "
                f"{_some(shared)}"
            )
            yield Finding("warning", f"fold {fold}", told)


def identical(records: Sequence[Record], ledger: Facts) -> list[list[str]]:
    """Groups of ids whose images have the same pixels. Records that share a file are one image on purpose."""
    files: dict[str, dict[str, str]] = defaultdict(dict)
    for record in records:
        if pixels := ledger.pixels(record.image):
            files[pixels].setdefault(record.image, record.id)
    return [sorted(found.values()) for found in files.values() if len(found) > 1]


def near_duplicates(records: Sequence[Record], ledger: Facts) -> list[tuple[str, str]]:
    """Pairs of ids that look the same and are not identical."""
    images = {record.image: record.id for record in reversed(records)}
    looks = {name: ledger.look(name) for name in images}
    names = [name for name, look in looks.items() if look]
    if not names:
        return []
    bits = np.unpackbits(np.array([list(bytes.fromhex(looks[name])) for name in names], np.uint8), axis=1)
    found = [(names[one], names[other]) for one, other in _close(bits)]
    return sorted(
        (min(images[one], images[other]), max(images[one], images[other]))
        for one, other in found
        if ledger.pixels(one) != ledger.pixels(other)
    )


def _close(bits: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    """Pairs of rows that differ in at most NEAR places, block by block."""
    signs = bits.astype(np.float32) * 2 - 1
    for start in range(0, len(signs), BLOCK):
        agreement = signs[start : start + BLOCK] @ signs[start:].T
        for one, other in np.argwhere((bits.shape[1] - agreement) / 2 <= NEAR):
            if one < other:
                yield start + int(one), start + int(other)


def _groups(
    groups: Sequence[Sequence[str]], known: Mapping[str, Record], assigned: Sequence[Mapping[str, Split]]
) -> Iterator[Finding]:
    for group in groups:
        told = f"identical pixels: {_some(group)}{_meaning(group, known, assigned)}"
        yield Finding(_level(group, known, assigned), known[group[0]].image, told)


def _pairs(
    pairs: Sequence[tuple[str, str]], known: Mapping[str, Record], assigned: Sequence[Mapping[str, Split]]
) -> Iterator[Finding]:
    for pair in pairs:
        told = f"near-duplicates: {' and '.join(pair)}{_meaning(pair, known, assigned)}"
        yield Finding(_level(pair, known, assigned), known[pair[0]].image, told)


def _meaning(ids: Sequence[str], known: Mapping[str, Record], assigned: Sequence[Mapping[str, Split]]) -> str:
    """What is bad about it."""
    split = _split_folds(ids, assigned)
    parts = [f"in different splits of fold(s) {', '.join(map(str, split))}"] if split else []
    if len({known[each].label for each in ids}) > 1:
        parts.append("with different labels")
    if len({known[each].patient for each in ids}) > 1:
        parts.append("of different patients")
    return "".join(f", {part}" for part in parts)


def _level(ids: Sequence[str], known: Mapping[str, Record], assigned: Sequence[Mapping[str, Split]]) -> Level:
    bad = _split_folds(ids, assigned) or len({known[each].label for each in ids}) > 1
    return "warning" if bad else "note"


def _split_folds(ids: Sequence[str], assigned: Sequence[Mapping[str, Split]]) -> list[int]:
    return [fold for fold, splits in enumerate(assigned) if len({splits[each] for each in ids}) > 1]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
