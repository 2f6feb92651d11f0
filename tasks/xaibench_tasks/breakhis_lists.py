"""The names of BreaKHis, which carry class, patient and magnification, and the lists of its published folds."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal, TypeAlias

from xaibench_tasks.checking import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from xaibench_tasks.sources import Source

BENIGN = {"A": "adenosis", "F": "fibroadenoma", "PT": "phyllodes tumor", "TA": "tubular adenoma"}
MALIGNANT = {
    "DC": "ductal carcinoma",
    "LC": "lobular carcinoma",
    "MC": "mucinous carcinoma",
    "PC": "papillary carcinoma",
}
KINDS = BENIGN | MALIGNANT
MAGNIFICATIONS = (40, 100, 200, 400)
NAME = re.compile(r"SOB_([BM])_(A|F|PT|TA|DC|LC|MC|PC)-([0-9]{2})-([0-9A-Z]+)-(40|100|200|400)-([0-9]{3})\.png")
SLIDE = re.compile(r"SOB_[BM]_[A-Z]+_[0-9]{2}-[0-9A-Z]+")  # a slide's folder has `_` where its files have `-`


@dataclass(frozen=True)
class Photo:
    """What the name of a picture says."""

    name: str
    kind: str  # a key of KINDS
    patient: str  # year and id: 14-22549AB
    magnification: int

    @property
    def is_malignant(self) -> bool:
        """Whether its class is one of the carcinomas."""
        return self.kind in MALIGNANT

    @property
    def slide(self) -> str:
        """The folder of its slide."""
        return f"SOB_{'M' if self.is_malignant else 'B'}_{self.kind}_{self.patient}"


Part: TypeAlias = Literal["train", "test"]
PARTS: dict[str, Part] = {"train": "train", "test": "test"}


@dataclass(frozen=True)
class Row:
    """One line of a list."""

    photo: Photo
    part: Part
    line: int


@dataclass(frozen=True)
class FoldList:
    """One published fold."""

    file: str
    number: int
    rows: tuple[Row, ...]

    def parts(self) -> dict[str, Part]:
        """File name -> train or test."""
        return {row.photo.name: row.part for row in self.rows}

    def leaks(self) -> dict[str, list[Row]]:
        """The patients on both sides, with their rows."""
        rows: dict[str, list[Row]] = defaultdict(list)
        for row in self.rows:
            rows[row.photo.patient].append(row)
        return {patient: listed for patient, listed in rows.items() if len({row.part for row in listed}) > 1}


def parse_name(name: str) -> Photo | None:
    """The picture a file name stands for; none if it is not a name of BreaKHis."""
    found = NAME.fullmatch(name)
    if not found or (found[1] == "M") != (found[2] in MALIGNANT):
        return None
    return Photo(name, found[2], f"{found[3]}-{found[4]}", int(found[5]))


def parse_list(file: str, content: bytes, number: int) -> tuple[FoldList, list[Finding]]:
    """Read `name|magnification|fold|train or test`, with LF or CRLF. Lines that are otherwise are findings."""
    rows: list[Row] = []
    findings: list[Finding] = []
    seen: set[str] = set()
    for line, text in enumerate(content.decode("utf-8", "replace").split("\n"), 1):
        if not text.strip():
            continue
        row = _parse_row(text, line, number)
        if isinstance(row, Row) and row.photo.name in seen:
            row = f"{row.photo.name} is listed twice"
        if isinstance(row, str):
            findings.append(Finding("error", f"{file}:{line}", row))
            continue
        seen.add(row.photo.name)
        rows.append(row)
    return FoldList(file, number, tuple(rows)), findings


def _parse_row(text: str, line: int, number: int) -> Row | str:
    """The row, or what is wrong with it."""
    fields = [field.strip() for field in text.split("|")]  # the last one ends in CR in some copies
    if len(fields) != 4:
        return f"{text[:80]!r} has {len(fields)} fields; expected are name|magnification|fold|train or test"
    name, magnification, fold, part = fields
    photo = parse_name(name)
    if photo is None:
        return f"{name[:80]!r} is no name of BreaKHis, such as SOB_B_A-14-22549AB-40-001.png"
    if magnification != str(photo.magnification):
        return f"magnification {magnification[:80]!r} does not agree with {name}"
    if fold != str(number):
        return f"fold {fold[:80]!r} in the list of fold {number}"
    if part not in PARTS:
        return f"{part[:80]!r} is neither train nor test"
    return Row(photo, PARTS[part], line)


def read_lists(source: Source) -> tuple[list[FoldList], list[Finding]]:
    """The published folds that are there. They may lie beside an archive that holds the pictures."""
    lists: list[FoldList] = []
    findings: list[Finding] = []
    for number in range(1, 6):
        found = _contents(source, f"dsfold{number}.txt")
        if not found:
            continue
        (file, content), *others = found.items()
        parsed, wrong = parse_list(file, content, number)
        lists.append(parsed)
        findings += wrong
        findings += [
            Finding("warning", other, f"differs from {file}, which is used")
            for other, text in others
            if text.replace(b"\r", b"") != content.replace(b"\r", b"")
        ]
    return lists, findings


def _contents(source: Source, name: str) -> dict[str, bytes]:
    """Every list of that name, shortest path first."""
    inside = {found: source.read(found) for found in sorted(source.find(name), key=lambda found: (len(found), found))}
    if inside or source.path.is_dir():
        return inside
    beside = [source.path.with_name(name), source.path.parent / "mkfold" / name]
    return {str(place): place.read_bytes() for place in beside if place.is_file()}


# ------------------------------------------------------------------------------------------------------------ pictures


def find_photos(source: Source) -> tuple[dict[str, Photo], list[Finding]]:
    """File -> what its name says, for every picture; and the files that look like one and are none."""
    photos: dict[str, Photo] = {}
    findings: list[Finding] = []
    for file in source.find("SOB_*.png"):
        photo = parse_name(PurePosixPath(file).name)
        if photo is None:
            findings.append(Finding("warning", file, "not used: its name is not as published"))
            continue
        photos[file] = photo
        findings += _misplaced(file, photo)
    return photos, findings


def _misplaced(file: str, photo: Photo) -> list[Finding]:
    """Folders that contradict the name. Copies in other folders than the published ones are fine."""
    for part in PurePosixPath(file).parts[:-1]:
        is_slide = SLIDE.fullmatch(part) and part != photo.slide
        is_zoom = re.fullmatch(r"[0-9]+X", part) and part != f"{photo.magnification}X"
        if is_slide or is_zoom:
            return [Finding("warning", file, f"lies in {part}, against its name; the name is believed")]
    return []


def count_photos(photos: Iterable[Photo], prefix: str) -> dict[str, int]:
    """How many there are in all, per magnification, side and class, and of how many patients."""
    known = list(photos)
    sides = Counter((photo.magnification, photo.is_malignant) for photo in known)
    kinds = Counter(photo.kind for photo in known)
    counts = {prefix: len(known), f"{prefix}, patients": len({photo.patient for photo in known})}
    for zoom in MAGNIFICATIONS:
        counts[f"{prefix}, {zoom}x"] = sides[zoom, False] + sides[zoom, True]
        counts[f"{prefix}, {zoom}x benign"] = sides[zoom, False]
        counts[f"{prefix}, {zoom}x malignant"] = sides[zoom, True]
    return counts | {f"{prefix}, {KINDS[kind]}": kinds[kind] for kind in KINDS}


# --------------------------------------------------------------------------------------------------------------- leaks


def leak_findings(fold: FoldList) -> list[Finding]:
    """Every patient whom a list has on both sides, with the first line on the test side."""
    found = []
    for patient, rows in fold.leaks().items():
        sides = {part: [row for row in rows if row.part == part] for part in PARTS}
        told = " and ".join(
            f"in {part} as {'/'.join(sorted({row.photo.kind for row in listed}))} ({len(listed)} pictures)"
            for part, listed in sides.items()
        )
        where = f"{fold.file}:{sides['test'][0].line}"
        found.append(Finding("warning", where, f"leak in fold {fold.number}: patient {patient} is {told}"))
    return found


def two_class_findings(photos: Iterable[Photo]) -> list[Finding]:
    """Patients under more than one class: one patient for any split, and for eight classes labels in doubt."""
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    numbers: dict[str, Counter[str]] = defaultdict(Counter)
    for photo in photos:
        kinds[photo.patient][photo.kind] += 1
        numbers[photo.patient][photo.name.partition("-")[2]] += 1
    return [
        Finding(
            "warning",
            patient,
            f"one patient under {' and '.join(f'{kind} ({count} pictures)' for kind, count in sorted(of.items()))}; "
            f"{sum(times > 1 for times in numbers[patient].values())} have the same magnification and number under "
            "both and may be the same pictures",
        )
        for patient, of in sorted(kinds.items())
        if len(of) > 1
    ]


def partition_findings(lists: Sequence[FoldList]) -> list[Finding]:
    """Say how often patients are tested, unless each is exactly once."""
    if len(lists) < 5:
        return []
    patients = {row.photo.patient for fold in lists for row in fold.rows}
    tested = Counter(
        patient for fold in lists for patient in {row.photo.patient for row in fold.rows if row.part == "test"}
    )
    times = Counter(tested[patient] for patient in patients)
    if set(times) == {1}:
        return []
    told = ", ".join(f"{times[often]} {_often(often)}" for often in sorted(times))
    return [Finding("warning", "dsfold1.txt to dsfold5.txt", f"test parts are no partition; patients tested: {told}")]


def _often(times: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(times, f"{times} times")


def missing_findings(fold: FoldList, present: Mapping[str, Photo]) -> list[Finding]:
    """Pictures that a list names and that are not there, and the other way round, in the magnifications there are."""
    zooms = {photo.magnification for photo in present.values()}
    listed = {row.photo.name: row.line for row in fold.rows if row.photo.magnification in zooms}
    missing = [name for name in listed if name not in present]
    unlisted = sorted(set(present) - set(listed))
    found = []
    if missing:
        where = f"{fold.file}:{listed[missing[0]]}"
        found.append(Finding("error", where, f"{len(missing)} pictures are listed but not there, first {missing[0]}"))
    if unlisted:
        found.append(Finding("warning", fold.file, f"{len(unlisted)} pictures are not listed, first {unlisted[0]}"))
    return found
