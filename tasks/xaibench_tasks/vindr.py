"""VinDr-Mammo: digital mammograms with a box round each finding."""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from xaibench.errors import DataError
from xaibench_tasks.checking import Finding, Report
from xaibench_tasks.dataset import Dataset, DatasetCard
from xaibench_tasks.frames import Frame, Resize
from xaibench_tasks.ledger import Ledger
from xaibench_tasks.options import between, one_of
from xaibench_tasks.pictures import decode
from xaibench_tasks.records import Box, Record, draw
from xaibench_tasks.sources import locate
from xaibench_tasks.splits import Splitting
from xaibench_tasks.steps import Grey, named

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from xaibench.contracts import Split
    from xaibench_tasks.sources import Source

FILMS, FINDINGS = "breast-level_annotations.csv", "finding_annotations.csv"
FILM_COLUMNS = ("study_id", "image_id", "laterality", "view_position", "height", "width", "breast_birads", "split")
BOX_COLUMNS = ("image_id", "finding_categories", "xmin", "ymin", "xmax", "ymax")
ENDINGS = (".dicom", ".dcm", ".png", ".jpg", ".jpeg")
SPLITS: Mapping[str, Split] = {"training": "train", "test": "test"}
LEVELS = {"binary": ("not suspicious", "suspicious"), "levels": ("normal", "benign", "suspicious")}
ADVICE = (
    "ask for VinDr-Mammo on PhysioNet, physionet.org/content/vindr-mammo (restricted access, data use agreement). "
    "Its DICOM files are compressed: xaibench[dicom], and a decoder that pydicom knows, such as pylibjpeg"
)
LAYOUT = f"{FILMS}, {FINDINGS}, images/<study_id>/<image_id>.dicom (or .png, .jpg), in any folders below one"
PUBLISHED: Mapping[str, int] = {
    "films": 20000,
    "studies": 5000,
    "training films": 16000,
    "test films": 4000,
    "film files": 20000,
}
CARD = DatasetCard(
    name="vindr",
    summary="20000 digital mammograms of 5000 studies, a box per finding; classes by BI-RADS, not by biopsy",
    citation="H. T. Nguyen et al., VinDr-Mammo: a large-scale benchmark dataset for computer-aided diagnosis in "
    "full-field digital mammography, Scientific Data 10:277 (2023)",
    licence="PhysioNet restricted health data licence; not to be redistributed",
    source=ADVICE,
    layout=LAYOUT,
    published=PUBLISHED,
)


@dataclass(frozen=True)
class Film:
    """One row of the table of films."""

    where: str
    study: str
    image: str
    side: str
    view: str
    height: int
    width: int
    birads: int
    official: Split


@dataclass(frozen=True)
class Marked:
    """One row of the table of findings that has a box."""

    where: str
    image: str
    kinds: tuple[str, ...]
    box: Box


class Vindr(Dataset):
    """Whole films.

    `label`: binary (BI-RADS 4 and 5 against the rest) | levels (1, 2 and 3, 4 and 5), of the breast. `findings`: names
    of the findings whose boxes count, between commas, such as "Mass,Suspicious Calcification"; all, if none is named.
    `official`: the publisher's split, with a validation part taken from its training part.
    """

    def __init__(
        self,
        *,
        path: str = "",
        size: int = 512,
        label: Literal["binary", "levels"] = "binary",
        findings: str = "",
        official: bool = True,
        steps: str = "",
        folds: int = 1,
        val: float = 0.15,
        test: float = 0.15,
        seed: int = 0,
        on_error: str = "raise",
    ) -> None:
        one_of("label", label, tuple(LEVELS))
        between("size", size, 32, 4096)
        source = locate(CARD.name, path, FILMS, ADVICE)
        films, boxes = _usable(source)
        self._sizes = {film.image: (film.height, film.width) for film in films}
        super().__init__(
            card=CARD,
            classes=LEVELS[label],
            shape=(1, size, size),
            source=source,
            records=records(films, boxes, find_files(source), label, _wanted(findings, boxes)),
            steps=(Grey(), *named(steps), Resize(size, size)),
            splitting=Splitting(folds=folds, val=val, test=test, seed=seed, official=official),
            on_error=on_error,
        )

    def film(self, record: Record) -> Frame:
        """Boxes are in pixels of the DICOM film; a smaller copy has them in proportion."""
        pixels = decode(record.image, self.source.read(record.image)).pixels
        shape, (height, width) = (pixels.shape[0], pixels.shape[1]), self._sizes[record.id]
        boxes = (scaled(box, shape[0] / height, shape[1] / width) for box in record.lesions if isinstance(box, Box))
        return Frame(pixels, tuple(draw(box, shape, self.source) for box in boxes))


def scaled(box: Box, down: float, across: float) -> Box:
    """In pixels of another size; never less than one."""
    top, left = math.floor(box.top * down), math.floor(box.left * across)
    return Box(top, left, max(top + 1, round(box.bottom * down)), max(left + 1, round(box.right * across)))


def records(
    films: Sequence[Film], boxes: Sequence[Marked], files: Mapping[str, str], label: str, kinds: set[str]
) -> list[Record]:
    """One per film. The set tells studies, not patients."""
    marked: dict[str, list[Box]] = defaultdict(list)
    for each in boxes:
        if kinds & set(each.kinds):
            marked[each.image].append(each.box)
    return [
        Record(
            id=film.image,
            patient=film.study,
            label=label_of(film.birads, label),
            image=files.get(film.image, f"{film.study}/{film.image}.dicom"),
            lesions=tuple(marked[film.image]),
            official=film.official,
            extra={"birads": str(film.birads), "view": film.view, "side": film.side},
        )
        for film in films
    ]


def label_of(birads: int, label: str) -> int:
    """Index into the classes."""
    return int(birads >= 4) if label == "binary" else (birads >= 2) + (birads >= 4)


def find_files(source: Source) -> dict[str, str]:
    """Files by the image id."""
    paths = [PurePosixPath(name) for name in source.names()]
    return {path.stem: str(path) for path in reversed(paths) if path.suffix.lower() in ENDINGS}


def _wanted(findings: str, boxes: Sequence[Marked]) -> set[str]:
    known = {kind for each in boxes for kind in each.kinds}
    wanted = {name.strip() for name in findings.split(",") if name.strip()} or known
    for name in sorted(wanted):
        one_of("findings", name, sorted(known))
    return wanted


def _usable(source: Source) -> tuple[list[Film], list[Marked]]:
    films, boxes, findings = read_tables(source)
    if wrong := [finding for finding in findings if finding.level == "error"]:
        raise DataError(f"{wrong[0].where}: {wrong[0].what}; see `xaibench data check vindr`")
    return films, boxes


# -------------------------------------------------------------------------------------------------------------- tables


def read_tables(source: Source) -> tuple[list[Film], list[Marked], list[Finding]]:
    """Both tables, and all that is wrong with them."""
    found: dict[str, str] = {name: next(iter(source.find(name)), "") for name in (FILMS, FINDINGS)}
    if missing := [name for name, file in found.items() if not file]:
        return [], [], [Finding("error", str(source.path), f"no {' and no '.join(missing)}: {ADVICE}")]
    films, told = read_films(found[FILMS], source.read(found[FILMS]))
    boxes, more = read_boxes(found[FINDINGS], source.read(found[FINDINGS]))
    known = {film.image: film for film in films}
    strays = [each for each in boxes if each.image not in known]
    told += more + [Finding("error", each.where, f"{each.image} is no film of {FILMS}") for each in strays]
    return films, boxes, told


def read_films(name: str, content: bytes) -> tuple[list[Film], list[Finding]]:
    """Read the table of films; what cannot be understood becomes a finding, never an exception."""
    rows, findings = _rows(name, content, FILM_COLUMNS)
    films: dict[str, Film] = {}
    for where, row in rows:
        try:
            film = _film(where, row)
        except ValueError as error:
            findings.append(Finding("error", where, str(error)))
            continue
        if films.setdefault(film.image, film) is not film:
            findings.append(Finding("error", where, f"{film.image} is already in {films[film.image].where}"))
    return list(films.values()), findings


def _film(where: str, row: Mapping[str, str]) -> Film:
    level = re.fullmatch(r"BI-RADS ([1-5])", row["breast_birads"])
    if not level:
        raise ValueError(f"breast_birads {row['breast_birads']!r} is none of BI-RADS 1 to BI-RADS 5")
    if row["split"] not in SPLITS:
        raise ValueError(f"split {row['split']!r} is neither training nor test")
    if not all(re.fullmatch(r"[\w-]+", row[key], re.ASCII) for key in ("study_id", "image_id")):
        raise ValueError(f"study {row['study_id']!r}, image {row['image_id']!r}: one of them is no id")
    sizes = [int(row[key]) if re.fullmatch(r"[1-9]\d{0,5}", row[key], re.ASCII) else 0 for key in ("height", "width")]
    if not all(sizes):
        raise ValueError(f"height {row['height']!r} and width {row['width']!r} are no size")
    return Film(
        where,
        study=row["study_id"],
        image=row["image_id"],
        side=row["laterality"],
        view=row["view_position"],
        height=sizes[0],
        width=sizes[1],
        birads=int(level[1]),
        official=SPLITS[row["split"]],
    )


def read_boxes(name: str, content: bytes) -> tuple[list[Marked], list[Finding]]:
    """Read the table of findings; rows without a box say that there is none."""
    rows, findings = _rows(name, content, BOX_COLUMNS)
    boxes = []
    for where, row in rows:
        texts = [row[key] for key in ("xmin", "ymin", "xmax", "ymax")]
        if all(text.lower() in {"", "nan"} for text in texts):
            continue
        kinds = tuple(re.findall(r"['\"]([^'\"]+)['\"]", row["finding_categories"]))
        try:
            left, top, right, bottom = map(float, texts)
            good = left < right and top < bottom and right > 0 and bottom > 0 and max(right, bottom) < 1e6
        except ValueError:
            good = False
        if good and kinds:
            boxes.append(Marked(where, row["image_id"], kinds, Box(max(0, top), max(0, left), bottom, right)))
        else:
            told = f"({', '.join(texts)}) with {row['finding_categories']!r} is no box of a finding"
            findings.append(Finding("error", where, told))
    return boxes, findings


def _rows(name: str, content: bytes, needed: Sequence[str]) -> tuple[list[tuple[str, dict[str, str]]], list[Finding]]:
    """Rows with their lines."""
    reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig", "replace"), newline=""))
    try:
        lost = [column for column in needed if column not in (reader.fieldnames or ())]
        if lost:
            return [], [Finding("error", f"{name}:1", f"is no such table of VinDr-Mammo: no column {', '.join(lost)}")]
        rows = [(f"{name}:{reader.line_num}", {key: (row[key] or "").strip() for key in needed}) for row in reader]
        return [(where, row) for where, row in rows if any(row.values())], []
    except csv.Error as error:
        return [], [Finding("error", name, f"is no readable table: {error}")]


# ------------------------------------------------------------------------------------------------------------ checking


def inspect(source: Source) -> Report:
    """Counts beside the published ones, and every irregularity. Reads every film."""
    films, boxes, findings = read_tables(source)
    files = find_files(source)
    official = Counter(film.official for film in films)
    levels = Counter(film.birads for film in films)
    found = {
        "films": len(films),
        "studies": len({film.study for film in films}),
        "training films": official["train"],
        "test films": official["test"],
        **{f"BI-RADS {level}": levels[level] for level in range(1, 6)},
        "boxes": len(boxes),
        "film files": sum(film.image in files for film in films),
    }
    if films:
        findings += [*_shared(films), *_files(source, films, files), *_outside(films, boxes)]
    return Report(CARD.name, found if films else {}, PUBLISHED, tuple(findings))


def _shared(films: Sequence[Film]) -> Iterator[Finding]:
    parts: dict[str, set[str]] = defaultdict(set)
    for film in films:
        parts[film.study].add(film.official)
    shared = sorted(study for study, found in parts.items() if len(found) > 1)
    if shared:
        yield Finding("warning", FILMS, f"{len(shared)} studies are in training and test: {', '.join(shared[:5])}")


def _files(source: Source, films: Sequence[Film], files: Mapping[str, str]) -> Iterator[Finding]:
    if not any(film.image in files for film in films):
        yield Finding("error", str(source.path), "has the tables, but none of the films that they name")
        return
    ledger = Ledger(source)  # a file that has not changed since is read once only
    resized = []
    for film in films:
        file = files.get(film.image)
        if file is None:
            yield Finding("error", film.where, f"film {film.image} is not there")
        elif trouble := ledger.trouble(file):
            yield Finding("error", film.where, trouble)
        elif ledger.shape(file) != (film.height, film.width):
            resized.append(file)
    if resized:
        what = f"{len(resized)} films have another size than the table says: boxes are scaled with them"
        yield Finding("note", resized[0], what)
    ledger.save()


def _outside(films: Sequence[Film], boxes: Sequence[Marked]) -> Iterator[Finding]:
    known = {film.image: film for film in films}
    for each in boxes:
        film = known.get(each.image)
        if film and (each.box.top >= film.height or each.box.left >= film.width):
            yield Finding("warning", each.where, f"the box lies outside its film of {film.width} x {film.height}")
        elif film and (each.box.bottom > film.height or each.box.right > film.width):
            yield Finding(
                "note", each.where, f"the box reaches over its film of {film.width} x {film.height}: it is cut"
            )
