"""The list of the MIAS database: one row per lesion, or one for a normal film."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from xaibench.errors import DataError
from xaibench_tasks.checking import Finding
from xaibench_tasks.records import Circle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xaibench_tasks.sources import Source

SIDE = 1024  # films are square
ROW = re.compile(r"^(mdb\d{3})\s")
BACKGROUNDS = ("F", "G", "D")
KINDS = ("CALC", "CIRC", "SPIC", "MISC", "ARCH", "ASYM", "NORM")
SEVERITIES = ("", "B", "M")  # in the order of the classes: normal, benign, malignant
MISPLACED = ("mdb212", "mdb214")  # their circles lie outside the breast, whichever way y is read
LISTS = ("info.txt", "*info*.txt", "mias.txt", "readme", "readme.txt")


@dataclass(frozen=True)
class Row:
    """One line of the list."""

    film: str
    background: str
    kind: str
    severity: str  # B, M, or nothing for a normal film
    circle: Circle | None
    where: str  # file:line

    @property
    def label(self) -> int:
        """0 normal, 1 benign, 2 malignant."""
        return SEVERITIES.index(self.severity)

    @property
    def patient(self) -> str:
        """Films 1 and 2 are of one woman, 3 and 4 of the next."""
        return f"mias-{(int(self.film[3:]) + 1) // 2:03d}"


@dataclass(frozen=True)
class FilmList:
    """The rows, and what is wrong with the lines that are none."""

    name: str
    rows: tuple[Row, ...]
    findings: tuple[Finding, ...] = ()

    def films(self) -> dict[str, list[Row]]:
        """Rows by film."""
        grouped: dict[str, list[Row]] = defaultdict(list)
        for row in self.rows:
            grouped[row.film].append(row)
        return dict(sorted(grouped.items()))

    def labels(self, rule: Literal["first", "worst"]) -> dict[str, int]:
        """The class of every film: that of its first row, or of its worst."""
        chosen = (lambda labels: labels[0]) if rule == "first" else max
        return {film: chosen([row.label for row in rows]) for film, rows in self.films().items()}


def parse(name: str, text: str) -> FilmList:
    """Read the rows out of whatever stands around them: a banner, column names, notes."""
    rows: list[Row] = []
    findings: list[Finding] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if ROW.match(line + " "):
            row, trouble = _row(line.split(), f"{name}:{number}")
            rows += [row] if row else []
            findings += trouble
    return FilmList(name, tuple(rows), tuple(findings))


def _row(words: Sequence[str], where: str) -> tuple[Row | None, list[Finding]]:
    """A row, or why it is none."""
    film, background, kind, severity = (*words[:4], "", "", "")[:4]
    if background in BACKGROUNDS and kind == "NORM":
        return Row(film, background, kind, "", None, where), []
    if background in BACKGROUNDS and kind in KINDS and severity in SEVERITIES[1:]:
        circle, trouble = _circle(words[4:], where)
        return Row(film, background, kind, severity, circle, where), trouble
    told = f"{' '.join(words)!r} is no row: background F, G or D, class {', '.join(KINDS)}, severity B or M"
    return None, [Finding("error", where, told)]


def _circle(words: Sequence[str], where: str) -> tuple[Circle | None, list[Finding]]:
    """x, y and radius. Y is measured from the bottom of the film."""
    if not words or words[0].startswith("*NOTE"):
        return None, [Finding("note", where, "no coordinates: the lesion has no mask")]
    if len(words) < 3 or not all(re.fullmatch(r"\d{1,4}", word, re.ASCII) for word in words[:3]):
        return None, [Finding("warning", where, f"{' '.join(words)!r} is no x, y and radius: the lesion has no mask")]
    x, y, radius = map(int, words[:3])
    if not (x < SIDE and y < SIDE and 0 < radius < SIDE):
        return None, [Finding("warning", where, f"circle {x}, {y}, {radius} leaves the film: the lesion has no mask")]
    return Circle(SIDE - 1 - y, x, radius), []


def read_list(source: Source, name: str = "") -> FilmList:
    """The list by name, or the one that is there under a usual name."""
    if name:
        return parse(name, source.read(name).decode("utf-8", "replace"))
    names = dict.fromkeys(found for pattern in LISTS for found in sorted(source.find(pattern), key=len))
    for found in names:
        films = parse(found, source.read(found).decode("utf-8", "replace"))
        if films.rows or films.findings:
            return films
    raise DataError(
        f"{source.path} holds no list of films: looked for Info.txt, README and the like with rows such as "
        "'mdb001 G CIRC B 535 425 197'; fetch it, or name another with labels=..."
    )
