"""BACH: photos of breast biopsies in four classes. Classes, no masks."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from xaibench.errors import DataError
from xaibench_tasks.checking import Finding, Report
from xaibench_tasks.damage import unreadable
from xaibench_tasks.dataset import Dataset, DatasetCard
from xaibench_tasks.options import one_of
from xaibench_tasks.records import Record
from xaibench_tasks.sources import locate
from xaibench_tasks.splits import Splitting
from xaibench_tasks.steps import Resize, Rgb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xaibench_tasks.sources import Source

CLASSES = ("Normal", "Benign", "InSitu", "Invasive")
PREFIXES = {"n": "Normal", "b": "Benign", "is": "InSitu", "iv": "Invasive"}
NAME = re.compile(r"(n|b|is|iv)([0-9]{3})\.tif")
TEST_NAME = re.compile(r"test[0-9]+\.tif")
TABLE = "microscopy_ground_truth.csv"
PATIENTS = "patients.csv"
ADVICE = (
    "fetch ICIAR2018_BACH_Challenge.zip (10 GB, CC BY-NC-ND 4.0) from zenodo.org/records/3632035; it can stay packed"
)
LAYOUT = """\
ICIAR2018_BACH_Challenge/Photos/Normal/n001.tif  (Benign/b001.tif, InSitu/is001.tif, Invasive/iv001.tif)
microscopy_ground_truth.csv    rows such as n001.tif,Normal; if there, only what it lists is used
patients.csv                   if you have it: rows such as n001.tif,17, so that own splits are by patient"""
# The photos that share no patient with any other, as ranges of numbers. Worked out by the authors of kaiko's eva
# benchmark from the partial list of patients that the challenge gave out.
APART = {
    "b": (range(42, 60), range(61, 91)),
    "is": (range(40, 70),),
    "iv": (range(41, 59), range(61, 74)),
    "n": (range(46, 69),),
}


@dataclass(frozen=True)
class Listed:
    """One row of a table of two columns."""

    value: str
    line: int


class Bach(Dataset):
    """The 400 labelled photos of BACH in four classes.

    `splits`: apart | own. Patients were published in part only. `apart` tests on 132 photos known to share no patient
    with the other 268, of which some validate; whether those share patients with the rest is not known. `own` splits by
    the patients of patients.csv, and takes every photo it does not name for a patient of its own. Photos are stretched
    to `size` x `size`.
    """

    def __init__(
        self,
        *,
        path: str = "",
        splits: Literal["apart", "own"] = "apart",
        folds: int = 1,
        size: int = 224,
        seed: int = 0,
        on_error: str = "raise",
    ) -> None:
        one_of("splits", splits, ("apart", "own"))
        source = locate(CARD.name, path, "*.tif", ADVICE)
        super().__init__(
            card=CARD,
            classes=CLASSES,
            shape=(3, size, size),
            source=source,
            records=_records(source),
            steps=(Rgb(), Resize(size, size)),
            splitting=Splitting(folds=folds, seed=seed, official=splits == "apart"),
            on_error=on_error,
        )


def parse_name(name: str) -> str | None:
    """The class a file name stands for; none if it is no photo with a label."""
    found = NAME.fullmatch(name)
    return PREFIXES[found[1]] if found and int(found[2]) else None


def is_apart(name: str) -> bool:
    """Whether a photo is one of the 132 to test on."""
    found = NAME.fullmatch(name)
    return bool(found) and any(int(found[2]) in numbers for numbers in APART[found[1]]) if found else False


def parse_table(file: str, content: bytes, allowed: tuple[str, ...] = ()) -> tuple[dict[str, Listed], list[Finding]]:
    """Rows `photo,value`, with LF or CRLF, without header; a header is passed over. Other lines are findings."""
    rows: dict[str, Listed] = {}
    findings: list[Finding] = []
    for line, text in enumerate(content.decode("utf-8-sig", "replace").split("\n"), 1):
        if not text.strip():
            continue
        name, _, value = (part.strip() for part in text.partition(","))
        if wrong := _wrong(name, value, allowed) or ("is listed twice" if name in rows else ""):
            level: Literal["note", "error"] = "note" if line == 1 and not parse_name(name) else "error"
            findings.append(Finding(level, f"{file}:{line}", f"{text.strip()[:80]!r} {wrong}"))
        else:
            rows[name] = Listed(value, line)
    return rows, findings


def _wrong(name: str, value: str, allowed: tuple[str, ...]) -> str:
    """What is wrong with a row; nothing if it is right."""
    label = parse_name(name)
    if label is None:
        return "does not begin with the name of a photo, such as is001.tif"
    if not value or (allowed and value not in allowed):
        return f"has no value of {', '.join(allowed) or 'any kind'}"
    return f"contradicts its name, which says {label}" if allowed and value != label else ""


def find_photos(source: Source) -> tuple[dict[str, str], list[Finding]]:
    """Name -> file of every labelled photo; and of what was passed over, or is there twice."""
    photos: dict[str, str] = {}
    findings: list[Finding] = []
    tests = 0
    for file in source.find("*.tif"):
        name = PurePosixPath(file).name
        label = parse_name(name)
        tests += bool(TEST_NAME.fullmatch(name))
        if label is None:
            if not TEST_NAME.fullmatch(name):
                findings.append(Finding("note", file, "not used: its name is none of a labelled photo"))
        elif name in photos:
            findings.append(Finding("error", file, f"is also there as {photos[name]}; leave one copy of the data"))
        else:
            photos[name] = file
            findings += _misplaced(file, label)
    if tests:
        findings.append(Finding("note", str(source.path), f"{tests} photos of the test set are not used: no labels"))
    return photos, findings


def _misplaced(file: str, label: str) -> list[Finding]:
    """A folder of another class than the name's."""
    folder = PurePosixPath(file).parent.name
    if folder in CLASSES and folder != label:
        return [Finding("warning", file, f"lies in {folder}, but its name says {label}; the name is believed")]
    return []


def read_table(source: Source, name: str, allowed: tuple[str, ...]) -> tuple[str, dict[str, Listed], list[Finding]]:
    """The file, rows and findings of a table that may or may not be there."""
    for file in source.find(name):
        return file, *parse_table(file, source.read(file), allowed)
    return "", {}, []


def _records(source: Source) -> list[Record]:
    """The photos that the table lists; all there are, if there is no table."""
    photos, findings = find_photos(source)
    table, labels, wrong = read_table(source, TABLE, CLASSES)
    _, patients, strange = read_table(source, PATIENTS, ())
    if errors := [finding for finding in findings + wrong + strange if finding.level == "error"]:
        raise DataError(f"{errors[0].where}: {errors[0].what}; see `xaibench data check bach`")
    if not photos:
        raise DataError(f"bach: {source.path} has no photo such as b001.tif: {ADVICE}")
    if missing := [name for name in labels if name not in photos]:
        raise DataError(f"bach: {len(missing)} photos of {table} are not there, such as {missing[0]}: {ADVICE}")
    return [
        Record(
            id=name.removesuffix(".tif"),
            patient=patients[name].value if name in patients else name.removesuffix(".tif"),
            label=CLASSES.index(parse_name(name) or ""),
            image=photos[name],
            official="test" if is_apart(name) else "train",
        )
        for name in sorted(labels or photos)
    ]


# ------------------------------------------------------------------------------------------------------------ checking


def inspect(source: Source) -> Report:
    """Photos, table, damage, and what does not belong there."""
    photos, findings = find_photos(source)
    table, labels, wrong = read_table(source, TABLE, CLASSES)
    patients_file, patients, strange = read_table(source, PATIENTS, ())
    findings += wrong + strange + unreadable(source, photos.values())
    findings += _incomplete(source, photos) if not table else _compared(table, labels, photos)
    if not patients_file:
        told = "no patients.csv: splits='own' would take every photo for a patient of its own"
        findings.append(Finding("note", str(source.path), told))
    elif unnamed := sorted(set(photos) - set(patients)):
        told = f"{len(unnamed)} photos without a patient, first {unnamed[0]}; each is taken for a patient of its own"
        findings.append(Finding("note", patients_file, told))
    used = [name for name in photos if not table or name in labels]
    found = _count("photos", [parse_name(name) for name in used]) | (
        _count("listed", [row.value for row in labels.values()]) if table else {}
    )
    wanted = published("photos") | (published("listed") if table else {})
    return Report("bach", found, wanted, tuple(findings))


def _incomplete(source: Source, photos: Mapping[str, str]) -> list[Finding]:
    """Without a table the published number is all there is to compare with."""
    if not photos:
        return [Finding("error", str(source.path), f"no photo such as b001.tif: {ADVICE}")]
    if len(photos) < 400:
        return [Finding("error", str(source.path), f"{len(photos)} of 400 photos: the copy is not complete")]
    return [Finding("note", str(source.path), f"no {TABLE}: labels are read from the names alone")]


def _compared(table: str, labels: Mapping[str, Listed], photos: Mapping[str, str]) -> list[Finding]:
    """What the table lists and is not there, and the other way round."""
    found = []
    if missing := [name for name in labels if name not in photos]:
        where = f"{table}:{labels[missing[0]].line}"
        told = f"{len(missing)} of {len(labels)} listed photos are not there, first {missing[0]}: {ADVICE}"
        found.append(Finding("error", where, told))
    for name in sorted(set(photos) - set(labels)):
        found.append(Finding("warning", photos[name], f"not used: {table} does not list it"))
    return found


def _count(prefix: str, labels: list[str | None] | list[str]) -> dict[str, int]:
    per = Counter(labels)
    return {prefix: len(labels)} | {f"{prefix}, {label}": per[label] for label in CLASSES}


def published(prefix: str) -> dict[str, int]:
    """400 photos, 100 per class."""
    return {prefix: 400} | {f"{prefix}, {label}": 100 for label in CLASSES}


CARD = DatasetCard(
    name="bach",
    summary="400 photos of breast biopsies: normal, benign, in situ or invasive; no masks",
    citation="G. Aresta et al., BACH: grand challenge on breast cancer histology images, Medical Image Analysis "
    "56:122-139 (2019)",
    licence="CC BY-NC-ND 4.0",
    source=ADVICE,
    layout=LAYOUT,
    published=published("photos"),
)
