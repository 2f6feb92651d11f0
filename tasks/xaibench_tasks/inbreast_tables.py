"""The table of INbreast, and its regions of interest: one property list per film."""

from __future__ import annotations

import csv
import io
import plistlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xaibench_tasks.checking import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NEEDED = ("File Name", "Laterality", "View", "Bi-Rads")
BIRADS = ("1", "2", "3", "4a", "4b", "4c", "5", "6")
FARTHEST = 1e6  # no film has as many rows
POINT = re.compile(r"\(\s*([-+.\deE]+)\s*,\s*([-+.\deE]+)\s*\)")


@dataclass(frozen=True)
class Film:
    """One row. Patient and age are the word `removed` in all of them."""

    where: str  # file and line
    number: str  # eight digits
    side: str
    view: str
    birads: str
    density: str


@dataclass(frozen=True)
class Region:
    """A lesion, or a single calcification."""

    name: str  # Mass, Calcification, Cluster, ...
    points: tuple[tuple[float, float], ...]  # (row, column)


def read_table(name: str, content: bytes) -> tuple[list[Film], list[Finding]]:
    """Read the table; what cannot be understood becomes a finding, never an exception."""
    text = content.decode("utf-8-sig", "replace")
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=";")
    try:
        lost = [column for column in NEEDED if column not in (reader.fieldnames or ())]
        if lost:
            return [], [
                Finding("error", f"{name}:1", f"is no table of INbreast: no column {', '.join(lost)} between ';'")
            ]
        rows = [(f"{name}:{reader.line_num}", row) for row in reader]
    except csv.Error as error:
        return [], [Finding("error", name, f"is no readable table: {error}")]
    films: dict[str, Film] = {}
    findings = []
    for where, row in rows:
        known, trouble = _film(where, {key: (row.get(key) or "").strip() for key in (*NEEDED, "ACR")})
        if known and films.setdefault(known.number, known) is not known:
            trouble = f"{known.number} is already in {films[known.number].where}"
        if trouble:
            findings.append(Finding("error", where, trouble))
    return list(films.values()), findings


def _film(where: str, row: Mapping[str, str]) -> tuple[Film | None, str]:
    """A film, or what is wrong. A row of blanks is neither."""
    number, birads = row["File Name"], row["Bi-Rads"].lower()
    if not any(row.values()):
        return None, ""
    if not re.fullmatch(r"\d{8}", number, re.ASCII):
        return None, f"file name {number!r} is not eight digits"
    if birads not in BIRADS:
        return None, f"BI-RADS {row['Bi-Rads']!r} is none of {', '.join(BIRADS)}"
    return Film(where, number, row["Laterality"], row["View"], birads, row["ACR"]), ""


def read_regions(name: str, content: bytes) -> tuple[list[Region], list[Finding]]:
    """Read the regions of one film; what cannot be understood becomes a finding, never an exception."""
    try:
        root = plistlib.loads(content, fmt=plistlib.FMT_XML)
        found = [roi for image in _listed(root["Images"]) for roi in _listed(image["ROIs"])]
        expected = sum(int(image["NumberOfROIs"]) for image in root["Images"])
    except Exception as error:  # a damaged list raises whatever the broken place leads to
        return [], [Finding("error", name, f"is no list of regions ({type(error).__name__}: {error})")]
    findings = []
    if expected != len(found):
        findings.append(Finding("warning", name, f"says it has {expected} regions, and has {len(found)}"))
    regions = []
    for index, roi in enumerate(found):
        region, trouble = _region(roi)
        regions += [region] if region else []
        findings += [Finding("warning", name, f"region {index}: {what}") for what in trouble]
    return regions, findings


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{str(value)[:20]!r} is no list")
    return value


def _region(roi: Any) -> tuple[Region | None, list[str]]:
    if not isinstance(roi, dict) or not isinstance(roi.get("Point_px"), list):
        return None, ["has no list of points"]
    points = list(_points(roi["Point_px"]))
    trouble = []
    if not points:
        return None, ["has no point"]
    if len(points) != len(roi["Point_px"]):
        trouble.append(f"{len(roi['Point_px']) - len(points)} of its points are no '(x, y)'")
    if roi.get("NumberOfPoints") != len(roi["Point_px"]):
        trouble.append(f"says it has {roi.get('NumberOfPoints')} points, and has {len(roi['Point_px'])}")
    return Region(str(roi.get("Name", "")).strip(), tuple(points)), trouble


def _points(texts: list[Any]) -> Iterator[tuple[float, float]]:
    """As (row, column): the file has x first."""
    for text in texts:
        matched = POINT.fullmatch(str(text).strip())
        try:
            x, y = map(float, matched.groups()) if matched else (FARTHEST, FARTHEST)
        except ValueError:
            continue
        if max(abs(x), abs(y)) < FARTHEST:
            yield y, x
