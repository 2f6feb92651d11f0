"""CDD-CESM: contrast-enhanced spectral mammograms with hand-drawn lesions."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from xaibench.errors import DataError
from xaibench_tasks.checking import Finding, Report
from xaibench_tasks.dataset import Dataset, DatasetCard
from xaibench_tasks.frames import Resize
from xaibench_tasks.ledger import Ledger
from xaibench_tasks.options import between, one_of
from xaibench_tasks.records import Record
from xaibench_tasks.sources import locate
from xaibench_tasks.splits import Splitting
from xaibench_tasks.spreadsheets import read_sheet
from xaibench_tasks.steps import Grey, named
from xaibench_tasks.via import Region, read_export

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from xaibench_tasks.sources import Source

TABLE, EXPORT, SHEET = "Radiology*manual*annotations.xlsx", "Radiology_hand_drawn_segmentations*.csv", "all"
IMAGE, PATHOLOGY, PATIENT = "Image_name", "Pathology Classification/ Follow up", "Patient_ID"
NAME = re.compile(r"P(\d+)_([LR])_(DM|CM)_?(CC|MLO)\w*", re.ASCII)
CLASSES = ("normal", "benign", "malignant")
KINDS = {"low-energy": "DM", "subtracted": "CM"}
ENDINGS = (".jpg", ".jpeg", ".png")
ADVICE = (
    "fetch CDD-CESM (CC BY 4.0) from The Cancer Imaging Archive, doi.org/10.7937/29kw-ae92: the images, "
    "Radiology-manual-annotations.xlsx and Radiology_hand_drawn_segmentations_v2.csv; needs xaibench[xlsx]"
)
LAYOUT = """\
Radiology-manual-annotations.xlsx, Radiology_hand_drawn_segmentations_v2.csv,
Low energy images of CDD-CESM/P2_L_DM_CC.jpg, Subtracted images of CDD-CESM/P2_L_CM_CC.jpg, at any depth"""
PUBLISHED: Mapping[str, int] = {
    "images": 2006,
    "low-energy": 1003,
    "subtracted": 1003,
    "patients": 326,
    "image files": 2006,
}
CARD = DatasetCard(
    name="cdd-cesm",
    summary="2006 contrast-enhanced mammograms of 326 women, low-energy and subtracted, with hand-drawn lesions",
    citation="R. Khaled et al., Categorized contrast enhanced mammography dataset for diagnostic and artificial "
    "intelligence research, Scientific Data 9:122 (2022)",
    licence="CC BY 4.0",
    source=ADVICE,
    layout=LAYOUT,
    published=PUBLISHED,
)


@dataclass(frozen=True)
class Image:
    """One image; several rows of the table may speak of it."""

    where: str  # of its first row
    name: str  # P2_L_DM_CC
    patient: str
    kind: str  # DM, CM
    label: int  # the worst of its rows


class CddCesm(Dataset):
    """Whole images. `images`: low-energy (as a usual mammogram) | subtracted | both."""

    def __init__(
        self,
        *,
        path: str = "",
        size: int = 512,
        images: Literal["low-energy", "subtracted", "both"] = "low-energy",
        steps: str = "",
        folds: int = 1,
        val: float = 0.15,
        test: float = 0.15,
        seed: int = 0,
        on_error: str = "raise",
    ) -> None:
        one_of("images", images, (*KINDS, "both"))
        between("size", size, 32, 4096)
        source = locate(CARD.name, path, TABLE, ADVICE)
        listed, regions, findings = read_tables(source)
        if wrong := [finding for finding in findings if finding.level == "error"]:
            raise DataError(f"{wrong[0].where}: {wrong[0].what}; see `xaibench data check cdd-cesm`")
        chosen = [image for image in listed if images == "both" or image.kind == KINDS[images]]
        super().__init__(
            card=CARD,
            classes=CLASSES,
            shape=(1, size, size),
            source=source,
            records=records(chosen, regions, find_files(source)),
            steps=(Grey(), *named(steps), Resize(size, size)),
            splitting=Splitting(folds=folds, val=val, test=test, seed=seed),
            on_error=on_error,
        )


def records(images: Sequence[Image], regions: Sequence[Region], files: Mapping[str, str]) -> list[Record]:
    """One per image."""
    drawn = by_name(regions)
    return [
        Record(
            id=image.name,
            patient=image.patient,
            label=image.label,
            image=files.get(image.name, f"{image.name}.jpg"),
            lesions=tuple(region.outline for region in drawn.get(image.name, ())),
            extra={"kind": image.kind},
        )
        for image in images
    ]


def by_name(regions: Sequence[Region]) -> dict[str, list[Region]]:
    """The regions of each image."""
    found: dict[str, list[Region]] = defaultdict(list)
    for region in regions:
        found[region.name].append(region)
    return dict(found)


def find_files(source: Source) -> dict[str, str]:
    """Images by their names; some have a blank before the ending."""
    paths = [PurePosixPath(name) for name in source.names()]
    return {path.stem.strip(): str(path) for path in reversed(paths) if path.suffix.lower() in ENDINGS}


def read_tables(source: Source) -> tuple[list[Image], list[Region], list[Finding]]:
    """Spreadsheet and export, and what is wrong with them."""
    found = {pattern: source.find(pattern) for pattern in (TABLE, EXPORT)}
    if missing := [pattern for pattern, names in found.items() if not names]:
        return [], [], [Finding("error", str(source.path), f"no {' and no '.join(missing)}: {ADVICE}")]
    table, export = found[TABLE][0], found[EXPORT][-1]  # of several exports the last version
    try:
        images, findings = read_rows(table, read_sheet(table, source.read(table), SHEET))
    except DataError as error:
        return [], [], [Finding("error", table, str(error))]
    regions, told = read_export(export, source.read(export))
    known = {image.name for image in images}
    strays = [region for region in regions if region.name not in known]
    told += [Finding("warning", region.where, f"{region.name} is no image of {table}") for region in strays]
    return images, regions, findings + told


def read_rows(name: str, rows: Sequence[Sequence[str]]) -> tuple[list[Image], list[Finding]]:
    """Read the rows of the spreadsheet, the header first."""
    header = list(rows[0]) if rows else []
    if lost := [column for column in (IMAGE, PATHOLOGY, PATIENT) if column not in header]:
        return [], [Finding("error", f"{name}:1", f"is no table of CDD-CESM: no column {', '.join(lost)}")]
    images: dict[str, Image] = {}
    findings: list[Finding] = []
    for number, cells in enumerate(rows[1:], start=2):
        row = dict(zip(header, cells, strict=False))
        if not any(row.values()):
            continue
        image, trouble = _image(f"{name}:{number}", row)
        if image is None:
            findings.append(Finding("error", f"{name}:{number}", trouble))
        elif (first := images.get(image.name)) is None or first.label < image.label:
            images[image.name] = Image(first.where if first else image.where, *list(vars(image).values())[1:])
    return list(images.values()), findings


def _image(where: str, row: Mapping[str, str]) -> tuple[Image | None, str]:
    name, pathology = row.get(IMAGE, "").strip(), row.get(PATHOLOGY, "").strip().lower()
    matched = NAME.fullmatch(name)
    if not matched:
        return None, f"{name!r} is no image such as P2_L_DM_CC"
    if pathology not in CLASSES:
        return None, f"pathology {row.get(PATHOLOGY, '')!r} of {name} is none of {', '.join(CLASSES)}"
    return Image(where, name, f"P{int(matched[1])}", matched[3], CLASSES.index(pathology)), ""


def inspect(source: Source) -> Report:
    """Counts beside the published ones, and every irregularity. Reads every image."""
    images, regions, findings = read_tables(source)
    if not images:
        return Report(CARD.name, {}, PUBLISHED, tuple(findings))
    kinds, files = Counter(image.kind for image in images), find_files(source)
    labels = Counter(image.label for image in images)
    found = {
        "images": len(images),
        **{name: kinds[kind] for name, kind in KINDS.items()},
        "patients": len({image.patient for image in images}),
        **{name: labels[label] for label, name in enumerate(CLASSES)},
        "regions": len(regions),
        "image files": sum(image.name in files for image in images),
    }
    findings += [*_files(source, images, files), *_unlike(images, by_name(regions))]
    return Report(CARD.name, found, PUBLISHED, tuple(findings))


def _files(source: Source, images: Sequence[Image], files: Mapping[str, str]) -> Iterator[Finding]:
    if not any(image.name in files for image in images):
        yield Finding("error", str(source.path), "has the tables, but none of the images that they name")
        return
    ledger = Ledger(source)  # a file that has not changed since is read once only
    for image in images:
        if image.name not in files:
            yield Finding("error", image.where, f"image {image.name} is not there")
        elif trouble := ledger.trouble(files[image.name]):
            yield Finding("error", image.where, trouble)
    ledger.save()


def _unlike(images: Sequence[Image], drawn: Mapping[str, Sequence[Region]]) -> Iterator[Finding]:
    """Labels and drawings that do not go together."""
    normal = [image for image in images if image.label == 0 and image.name in drawn]
    if normal:
        yield Finding("warning", normal[0].where, f"{len(normal)} images are called normal and have drawn lesions")
    bare = [image for image in images if image.label and image.name not in drawn]
    if bare:
        what = f"{len(bare)} images are called benign or malignant and have no drawn lesion"
        yield Finding("note", bare[0].where, what)
