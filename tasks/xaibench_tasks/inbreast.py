"""INbreast: digital mammograms with the outline of every lesion."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

import numpy as np

from xaibench.errors import DataError
from xaibench_tasks.checking import Finding, Report
from xaibench_tasks.dataset import Dataset, DatasetCard
from xaibench_tasks.frames import Frame, Resize
from xaibench_tasks.inbreast_tables import BIRADS, Film, Region, read_regions, read_table
from xaibench_tasks.ledger import Ledger
from xaibench_tasks.options import between, one_of
from xaibench_tasks.pictures import decode
from xaibench_tasks.records import Polygon, Record, draw
from xaibench_tasks.sources import locate
from xaibench_tasks.splits import Splitting
from xaibench_tasks.steps import Grey, named

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from xaibench.contracts import Mask
    from xaibench_tasks.sources import Source

TABLE = "*inbreast*.csv"
# 22678622_61b13c59bcba149e_MG_L_CC_ANON.dcm; conversions keep the number alone
PICTURE = re.compile(r"(\d{8})(?:_([0-9a-f]+)_MG_([LR])_(\w+)_ANON)?\.(?:dcm|png|jpe?g|tiff?)", re.ASCII)
CALCIFICATIONS = ("calcification", "calcifications")
LEVELS = {"binary": ("benign", "malignant"), "levels": ("normal", "benign", "malignant")}
ADVICE = (
    "ask the Breast Research Group, INESC Porto, for INbreast (by request; it must not be passed on). "
    "DICOM needs xaibench[dicom]; if only INbreast.xls is there, save it as INbreast.csv with ';'"
)
LAYOUT = """\
INbreast.csv, AllDICOMs/22678622_61b13c59bcba149e_MG_L_CC_ANON.dcm, AllXML/22678622.xml, in any folders below one"""
PUBLISHED: Mapping[str, int] = {
    "films": 410,
    "film files": 410,
    "MLO": 206,
    "CC": 203,
    **{f"BI-RADS {level}": count for level, count in zip(BIRADS, (67, 220, 23, 13, 8, 22, 49, 8), strict=True)},
}
CARD = DatasetCard(
    name="inbreast",
    summary="410 digital mammograms with outlined lesions; classes by BI-RADS, not by biopsy",
    citation="I. C. Moreira et al., INbreast: toward a full-field digital mammographic database, "
    "Academic Radiology 19(2):236-248 (2012)",
    licence="by request to INESC Porto; not to be redistributed",
    source=ADVICE,
    layout=LAYOUT,
    published=PUBLISHED,
)


@dataclass(frozen=True)
class Picture:
    """A film's file, and what its name tells."""

    file: str
    patient: str  # a hash; nothing for converted files
    side: str
    view: str


class Inbreast(Dataset):
    """Whole films.

    `label`: binary (BI-RADS 1 to 3 benign, 4 to 6 malignant) | levels (1 normal, 2 and 3 benign, 4 to 6 malignant).
    `lesions`: regions | all; all adds the single calcifications, those of a film as one lesion.
    """

    def __init__(
        self,
        *,
        path: str = "",
        size: int = 512,
        label: Literal["binary", "levels"] = "binary",
        lesions: Literal["regions", "all"] = "regions",
        steps: str = "",
        folds: int = 1,
        val: float = 0.15,
        test: float = 0.15,
        seed: int = 0,
        on_error: str = "raise",
    ) -> None:
        one_of("label", label, tuple(LEVELS))
        one_of("lesions", lesions, ("regions", "all"))
        between("size", size, 32, 4096)
        source = locate(CARD.name, path, TABLE, ADVICE)
        films, pictures, lists = _films(source), find_pictures(source), find_lists(source)
        self._groups = {film.number: group_regions(_regions(source, lists.get(film.number)), lesions) for film in films}
        super().__init__(
            card=CARD,
            classes=LEVELS[label],
            shape=(1, size, size),
            source=source,
            records=[_record(film, pictures.get(film.number), self._groups[film.number], label) for film in films],
            steps=(Grey(), *named(steps), Resize(size, size)),
            splitting=Splitting(folds=folds, val=val, test=test, seed=seed),
            on_error=on_error,
        )

    def film(self, record: Record) -> Frame:
        """A lesion of many regions is all of them, each closed by itself."""
        pixels = decode(record.image, self.source.read(record.image)).pixels
        shape = (pixels.shape[0], pixels.shape[1])
        return Frame(pixels, tuple(self._drawn(group, shape) for group in self._groups[record.id]))

    def _drawn(self, group: Sequence[Region], shape: tuple[int, int]) -> Mask:
        mask = np.zeros(shape, np.bool_)
        for region in group:
            mask |= draw(Polygon(region.points), shape, self.source)
        return mask


def _record(film: Film, picture: Picture | None, groups: Sequence[Sequence[Region]], label: str) -> Record:
    """Without a name that tells, every film is a patient of its own; `inspect` warns of it."""
    return Record(
        id=film.number,
        patient=(picture.patient if picture else "") or film.number,
        label=label_of(film, label),
        image=picture.file if picture else f"{film.number}.dcm",
        lesions=tuple(Polygon(tuple(point for region in group for point in region.points)) for group in groups),
        extra={"birads": film.birads, "density": film.density},
    )


def label_of(film: Film, label: str) -> int:
    """Index into the classes."""
    malignant = film.birads[0] in "456"
    return int(malignant) if label == "binary" else 2 * malignant + (film.birads in ("2", "3"))


def group_regions(regions: Sequence[Region], lesions: str) -> list[list[Region]]:
    """The regions of each lesion: one each, but single calcifications, of which a film has hundreds, all in one."""
    specks = [region for region in regions if region.name.lower() in CALCIFICATIONS]
    groups = [[region] for region in regions if region not in specks]
    return [*groups, specks] if specks and lesions == "all" else groups


def find_pictures(source: Source) -> dict[str, Picture]:
    """Files by the number in their names."""
    found: dict[str, Picture] = {}
    for file in source.names():
        if matched := PICTURE.fullmatch(PurePosixPath(file).name):
            number, patient, side, view = matched.groups(default="")
            found.setdefault(number, Picture(file, patient, side, view))
    return found


def _films(source: Source) -> list[Film]:
    name = source.find(TABLE)[0]
    films, findings = read_table(name, source.read(name))
    if findings:
        raise DataError(f"{findings[0].where}: {findings[0].what}; see `xaibench data check inbreast`")
    return films


def find_lists(source: Source) -> dict[str, str]:
    """Files of regions by the film's number."""
    return {PurePosixPath(name).stem: name for name in source.names() if name.lower().endswith(".xml")}


def _regions(source: Source, name: str | None) -> list[Region]:
    """A film without findings has no file of regions."""
    if name is None:
        return []
    regions, findings = read_regions(name, source.read(name))
    if wrong := [finding for finding in findings if finding.level == "error"]:
        raise DataError(f"{wrong[0].where} {wrong[0].what}; see `xaibench data check inbreast`")
    return regions


def inspect(source: Source) -> Report:
    """Counts beside the published ones, and every irregularity. Reads every film."""
    tables = source.find(TABLE)
    if not tables:
        told = Finding("error", str(source.path), f"no table {TABLE}: {ADVICE}")
        return Report(CARD.name, {}, PUBLISHED, (told,))
    films, findings = read_table(tables[0], source.read(tables[0]))
    pictures = find_pictures(source)
    regions, troubles = _all_regions(source, films)
    found = {**_counts(films, pictures), **_names(regions)}
    findings += [
        *troubles,
        *_pictures(source, films, pictures, regions),
        *_strays(films, regions),
        *_unknown(films, pictures),
    ]
    return Report(CARD.name, found, PUBLISHED, tuple(findings))


def _counts(films: Sequence[Film], pictures: Mapping[str, Picture]) -> dict[str, int]:
    views, levels = Counter(film.view for film in films), Counter(film.birads for film in films)
    return {
        "films": len(films),
        "film files": sum(film.number in pictures for film in films),
        "patients": len({pictures[film.number].patient for film in films if film.number in pictures}),
        **{view: views[view] for view in ("MLO", "CC")},
        **{f"BI-RADS {level}": levels[level] for level in BIRADS},
    }


def _names(regions: Mapping[str, Sequence[Region]]) -> dict[str, int]:
    names = Counter(region.name for found in regions.values() for region in found)
    return {f"regions {name!r}": count for name, count in sorted(names.items())}


def _all_regions(source: Source, films: Sequence[Film]) -> tuple[dict[str, list[Region]], list[Finding]]:
    lists = find_lists(source)
    regions: dict[str, list[Region]] = {}
    findings: list[Finding] = []
    for film in films:
        if name := lists.get(film.number):
            regions[film.number], told = read_regions(name, source.read(name))
            findings += told
        elif film.birads != "1":
            what = f"film {film.number} of BI-RADS {film.birads} has no file of regions"
            findings.append(Finding("note", film.where, what))
    return regions, findings


def _pictures(
    source: Source, films: Sequence[Film], pictures: Mapping[str, Picture], regions: Mapping[str, Sequence[Region]]
) -> Iterator[Finding]:
    ledger = Ledger(source)  # a file that has not changed since is read once only
    for film in films:
        picture = pictures.get(film.number)
        if picture is None:
            yield Finding("error", film.where, f"film {film.number} is not there")
        elif trouble := ledger.trouble(picture.file):
            yield Finding("error", film.where, trouble)
        elif picture.side and (picture.side != film.side or film.view[:2] != picture.view[:2]):
            what = f"{picture.file} says {picture.side} {picture.view}, the table {film.side} {film.view}"
            yield Finding("warning", film.where, what)
        elif outside := _outside(regions.get(film.number, ()), ledger.shape(picture.file)):
            what = f"{outside} points of regions lie outside film {film.number}: they are cut"
            yield Finding("note", film.where, what)
    ledger.save()


def _outside(regions: Sequence[Region], shape: Sequence[int]) -> int:
    points = [point for region in regions for point in region.points]
    return sum(not (0 <= row < shape[0] and 0 <= column < shape[1]) for row, column in points)


def _strays(films: Sequence[Film], regions: Mapping[str, Sequence[Region]]) -> Iterator[Finding]:
    singles = sum(len(region.points) == 1 for found in regions.values() for region in found)
    if singles:
        yield Finding("note", "AllXML", f"{singles} regions are a single point; each is a lesion of one pixel")
    unlike = [film for film in films if film.birads == "1" and regions.get(film.number)]
    for film in unlike:
        yield Finding("note", film.where, f"film {film.number} of BI-RADS 1 has {len(regions[film.number])} regions")


def _unknown(films: Sequence[Film], pictures: Mapping[str, Picture]) -> Iterator[Finding]:
    unknown = [film for film in films if film.number in pictures and not pictures[film.number].patient]
    if unknown:
        what = (
            f"the names of {len(unknown)} films do not tell the patient, and the table never does: films of one woman "
            "may land on both sides of a split. Use the DICOM files under their own names"
        )
        yield Finding("warning", unknown[0].where, what)
