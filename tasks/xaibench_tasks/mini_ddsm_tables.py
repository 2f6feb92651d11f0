"""The spreadsheet of Mini-DDSM."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xaibench.errors import DataError
from xaibench_tasks.checking import Finding
from xaibench_tasks.spreadsheets import read_sheet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SHEET = "Data"
STATUSES = ("Normal", "Benign", "Cancer")
NEEDED = ("fullPath", "fileName", "View", "Side", "Status", "Tumour_Contour", "Age", "Density")
NAME = re.compile(r"([A-D])_(\d{4})_\d+\.(LEFT|RIGHT)_(CC|MLO)\.(?:jpg|png)")


@dataclass(frozen=True)
class Film:
    """One row: one film of a case."""

    where: str  # table and row
    image: str  # Benign/0029/C_0029_1.LEFT_CC.jpg
    contours: tuple[str, ...]
    status: str  # of the case, not of the film
    site: str  # letter of the hospital and its digitiser
    case: str  # C_0029: the number alone occurs in all three folders
    side: str
    view: str
    age: float | None
    density: str

    @property
    def name(self) -> str:
        """File name without its ending."""
        return self.image.rsplit("/", 1)[-1].rsplit(".", 1)[0]

    @property
    def breast(self) -> tuple[str, str]:
        """Both views of a breast share it."""
        return self.case, self.side


def read_table(name: str, content: bytes) -> tuple[list[Film], list[Finding]]:
    """Read the spreadsheet; what cannot be understood becomes a finding, never an exception."""
    try:
        rows = read_sheet(name, content, SHEET)
    except DataError as error:
        return [], [Finding("error", name, str(error))]
    return read_rows(name, rows)


def read_rows(name: str, rows: Sequence[Sequence[str]]) -> tuple[list[Film], list[Finding]]:
    """Read the rows, the header first."""
    header = list(rows[0]) if rows else []
    lost = [column for column in NEEDED if column not in header]
    if lost:
        return [], [Finding("error", f"{name}:1", f"is no table of Mini-DDSM: no column {', '.join(lost)}")]
    films: dict[str, Film] = {}
    findings = []
    for number, cells in enumerate(rows[1:], start=2):
        if not any(cells):
            continue
        try:
            film = _film(f"{name}:{number}", dict(zip(header, cells, strict=False)))
        except ValueError as error:
            findings.append(Finding("error", f"{name}:{number}", str(error)))
            continue
        first = films.setdefault(film.image, film)
        if first is not film:
            findings.append(Finding("error", film.where, f"{film.image} is already in {first.where}"))
    return list(films.values()), findings


def _film(where: str, row: Mapping[str, str]) -> Film:
    image = _path(row.get("fullPath", ""))
    named = NAME.fullmatch(image.rsplit("/", 1)[-1])
    if not named:
        raise ValueError(f"{image!r} is no film such as Benign/0029/C_0029_1.LEFT_CC.jpg")
    status = row.get("Status", "")
    if status not in STATUSES:
        raise ValueError(f"status {status!r} is none of {', '.join(STATUSES)}")
    if (row.get("Side"), row.get("View")) != named.group(3, 4):
        raise ValueError(f"side and view ({row.get('Side')}, {row.get('View')}) are not those of {image}")
    return Film(
        where=where,
        image=image,
        contours=tuple(
            _path(row[key]) for key in row if key.startswith("Tumour_Contour") and row[key] not in {"-", ""}
        ),
        status=status,
        site=named[1],
        case=f"{named[1]}_{named[2]}",
        side=named[3],
        view=named[4],
        age=_age(row.get("Age", "")),
        density=row.get("Density", "").removesuffix(".0"),
    )


def _path(text: str) -> str:
    path = text.replace("\\", "/")
    if ".." in path.split("/") or path.startswith("/"):
        raise ValueError(f"{text!r} leads out of the dataset")
    return path


def _age(text: str) -> float | None:
    """Twelve cells hold the text NaN."""
    try:
        age = float(text)
    except ValueError:
        return None
    return age if math.isfinite(age) else None
