"""The four case-description tables of CBIS-DDSM, in the release of 2017 and in the older one."""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from xaibench_tasks.checking import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

TABLES = (
    "calc_case_description_test_set.csv",
    "calc_case_description_train_set.csv",
    "mass_case_description_test_set.csv",
    "mass_case_description_train_set.csv",
)
BENIGN, MALIGNANT, CALLED_BACK_NOT = "BENIGN", "MALIGNANT", "BENIGN_WITHOUT_CALLBACK"
PATHOLOGIES = (BENIGN, CALLED_BACK_NOT, MALIGNANT)
# What a column is called: in the mass tables, in the calcification tables (a blank for a dash), in the old release.
COLUMNS: dict[str, tuple[str, ...]] = {
    "patient": ("patient_id",),
    "density": ("breast_density", "breast density"),
    "side": ("left or right breast", "side"),
    "view": ("image view", "view"),
    "number": ("abnormality id", "abn_num"),
    "pathology": ("pathology",),
    "assessment": ("assessment",),
    "subtlety": ("subtlety",),
    "film": ("image file path", "od_img_path"),
    "crop": ("cropped image file path", "od_crop_path"),
    "mask": ("ROI mask file path", "mask_path"),
}
# "Mass-Training_P_00001_LEFT_CC" holds a film, the same with "_1" the crop and the mask of its first lesion.
FOLDER = re.compile(r"(Mass|Calc)-(Training|Test)_(P_\d+)_(LEFT|RIGHT)_(CC|MLO)(?:_(\d+))?")


@dataclass(frozen=True)
class Place:
    """A picture as the tables name it. File numbers are not kept: they do not say which picture is the mask."""

    folder: str
    study: str
    series: str


@dataclass(frozen=True)
class Lesion:
    """One row: an abnormality on one film."""

    where: str  # table and line
    kind: Literal["mass", "calc"]
    part: Literal["train", "test"]
    patient: str
    side: str
    view: str
    number: int
    pathology: str
    density: str
    assessment: str
    subtlety: str
    film: Place
    crop: Place
    mask: Place

    @property
    def breast_view(self) -> tuple[str, str, str]:
        """The film itself: masses and calcifications of one film stand in different tables under different folders."""
        return self.patient, self.side, self.view


def read_table(name: str, content: bytes) -> tuple[list[Lesion], list[Finding]]:
    """Read one table; a row that cannot be understood becomes a finding, never an exception."""
    try:
        # A bare line feed inside most quoted paths: the text must reach the reader with its line ends untouched.
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        return _read_rows(name, reader)
    except (UnicodeDecodeError, csv.Error) as error:
        return [], [Finding("error", name, f"is no readable table: {error}")]


def _read_rows(name: str, reader: Iterator[list[str]]) -> tuple[list[Lesion], list[Finding]]:
    header = [cell.strip() for cell in next(reader, [])]
    columns = {
        key: next((header.index(alias) for alias in known if alias in header), -1) for key, known in COLUMNS.items()
    }
    lost = [" or ".join(map(repr, COLUMNS[key])) for key, index in columns.items() if index < 0]
    if lost:
        return [], [Finding("error", f"{name}:1", f"is no CBIS-DDSM table: no column {', '.join(lost)}")]
    lesions: list[Lesion] = []
    findings: list[Finding] = []
    line = _line(reader)
    for cells in reader:
        where, line = f"{name}:{line + 1}", _line(reader)
        if not any(cell.strip() for cell in cells):
            continue
        row = {key: cells[index].strip() if index < len(cells) else "" for key, index in columns.items()}
        try:
            lesions.append(_lesion(where, row))
        except ValueError as error:
            findings.append(Finding("error", where, str(error)))
    return lesions, findings + _repeated(lesions)


def _line(reader: Iterator[list[str]]) -> int:
    """How many lines of the file were read: rows span several."""
    return cast("int", reader.line_num)  # type: ignore[attr-defined]  # the class of csv.reader has no name


def _lesion(where: str, row: Mapping[str, str]) -> Lesion:
    film, crop, mask = (_place(key, row[key]) for key in ("film", "crop", "mask"))
    named = FOLDER.fullmatch(film.folder)
    if not named or named[6]:
        raise ValueError(f"{film.folder!r} is no folder of a film, such as Mass-Training_P_00001_LEFT_CC")
    if row["pathology"] not in PATHOLOGIES:
        raise ValueError(f"pathology {row['pathology']!r} is none of {', '.join(PATHOLOGIES)}")
    if not re.fullmatch(r"[0-9]{1,3}", row["number"]):
        raise ValueError(f"abnormality number {row['number']!r} is no number")
    number = int(row["number"])
    if (row["patient"], row["side"], row["view"]) != named.group(3, 4, 5):
        raise ValueError(
            f"patient, side and view ({row['patient']}, {row['side']}, {row['view']}) are not {film.folder}"
        )
    for picture in (crop, mask):
        if picture.folder != f"{film.folder}_{number}":
            raise ValueError(f"{picture.folder} is not the folder of lesion {number} of {film.folder}")
    return Lesion(
        where=where,
        kind="mass" if named[1] == "Mass" else "calc",
        part="train" if named[2] == "Training" else "test",
        number=number,
        film=film,
        crop=crop,
        mask=mask,
        **{key: row[key] for key in ("patient", "side", "view", "pathology", "density", "assessment", "subtlety")},
    )


def _place(what: str, path: str) -> Place:
    parts = path.replace("\\", "/").split("/")
    if len(parts) != 4 or not all(parts):
        raise ValueError(f"the path of the {what} is {path!r}; it should be folder/study/series/file")
    return Place(*parts[:3])


def _repeated(lesions: list[Lesion]) -> list[Finding]:
    seen: dict[str, str] = {}
    findings = []
    for lesion in lesions:
        first = seen.setdefault(lesion.mask.folder, lesion.where)
        if first != lesion.where:
            findings.append(Finding("error", lesion.where, f"{lesion.mask.folder} is already in {first}"))
    return findings


def by_film(rows: Sequence[Lesion]) -> dict[str, list[Lesion]]:
    """Lesions of each film folder."""
    films: dict[str, list[Lesion]] = defaultdict(list)
    for row in rows:
        films[row.film.folder].append(row)
    return dict(films)


def by_breast_view(rows: Sequence[Lesion]) -> dict[tuple[str, str, str], list[Lesion]]:
    """Lesions of each film, whichever table lists them."""
    films: dict[tuple[str, str, str], list[Lesion]] = defaultdict(list)
    for row in rows:
        films[row.breast_view].append(row)
    return dict(films)
