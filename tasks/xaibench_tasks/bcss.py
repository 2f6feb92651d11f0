"""BCSS: patches of breast cancer slides, each tissue outlined, with the tumour as lesion."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

import numpy as np

from xaibench.errors import DataError, UsageError
from xaibench_tasks.bcss_grid import OUTSIDE, Cell, cells_of, read_codes
from xaibench_tasks.checking import Finding, Report
from xaibench_tasks.damage import unreadable
from xaibench_tasks.dataset import Dataset, DatasetCard
from xaibench_tasks.ledger import Ledger
from xaibench_tasks.options import between, one_of
from xaibench_tasks.pictures import decode
from xaibench_tasks.records import MaskFile, Record
from xaibench_tasks.sources import locate
from xaibench_tasks.splits import Splitting
from xaibench_tasks.steps import Crop, Frame, Resize, Rgb

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from xaibench.contracts import Floats, Mask
    from xaibench_tasks.sources import Source
    from xaibench_tasks.steps import Step

CLASSES = ("other tissue", "tumour")
NAME = re.compile(r"(TCGA-([0-9A-Z]{2})-[0-9A-Z]{4})-DX[0-9A-Z]{1,2}_xmin[0-9]{1,9}_ymin[0-9]{1,9}[0-9A-Za-z_.-]*\.png")
CODES = 22  # 0 to 21
TUMOUR = (1,)
ALL_TUMOUR = (1, 19, 20)  # with angioinvasion and ductal carcinoma in situ, as the challenge's baseline groups them
TESTED = ("OL", "LL", "E2", "EW", "GM", "S3")  # the hospitals that the challenge's baseline tests on
REGIONS = {"regions": 151}
ADVICE = (
    "fetch the pictures and masks of BCSS (5 GB, CC0 1.0) at 0.25 micron a pixel, linked from "
    "github.com/PathologyDataScience/BCSS; they can stay packed"
)
LAYOUT = """\
masks/TCGA-A1-A0SK-DX1_xmin45749_ymin25055_MPP-0.2500.png    codes 0 to 21
<any other folder>/<the same name>                           the picture
meta/gtruth_codes.tsv                                        only looked at by the check"""


@dataclass(frozen=True)
class Region:
    """A picture and its mask."""

    name: str
    patient: str
    hospital: str
    picture: str  # "" if it is not there
    mask: str  # likewise


class Bcss(Dataset):
    """Square patches of `side` pixels, cut edge to edge out of every region, resized to `size` x `size`.

    What was not annotated (code 0) is no tissue: a patch with more of it than `outside` is left out. A patch is a
    tumour if at least `least` of its annotated pixels are; one with less, but some, is left out. `tumour`: invasive |
    all, where all counts angioinvasion and carcinoma in situ too. `splits`: official | own; the official one tests on
    the hospitals of the challenge's baseline, own ones are by patient.
    """

    def __init__(
        self,
        *,
        path: str = "",
        side: int = 512,
        size: int = 224,
        tumour: Literal["invasive", "all"] = "invasive",
        least: float = 0.1,
        outside: float = 0.5,
        splits: Literal["official", "own"] = "official",
        folds: int = 1,
        seed: int = 0,
        on_error: str = "raise",
    ) -> None:
        one_of("tumour", tumour, ("invasive", "all"))
        one_of("splits", splits, ("official", "own"))
        between("least", least, 0.001, 1)
        between("outside", outside, 0, 0.99)
        if side < 16:
            raise UsageError(f"side={side}: give 16 pixels or more")
        source = locate(CARD.name, path, "TCGA-*.png", ADVICE)
        self._codes = TUMOUR if tumour == "invasive" else ALL_TUMOUR
        self._cells: dict[str, Cell] = {}
        unread: dict[str, str] = {}
        self._opened: tuple[str, Floats, Mask] | None = None
        super().__init__(
            card=CARD,
            classes=CLASSES,
            shape=(3, size, size),
            source=source,
            records=self._patches(source, side, least, outside, unread if on_error == "skip" else None),
            steps=(Rgb(), Resize(size, size)),
            splitting=Splitting(folds=folds, seed=seed, official=splits == "official"),
            on_error=on_error,
        )
        self.skipped.update(unread)

    def _patches(
        self, source: Source, side: int, least: float, outside: float, unread: dict[str, str] | None
    ) -> list[Record]:
        """All patches with a class. Masks that cannot be read go into `unread`, if there is one."""
        records = []
        for region in _complete(source):
            try:
                cells = cells_of(source, region.mask, side)
            except DataError as error:
                if unread is None:
                    raise
                unread[region.name] = str(error)
                continue
            for cell in cells:
                label = cell.label(self._codes, least, outside)
                if label is not None:
                    records.append(_record(region, cell, label, self._codes))
                    self._cells[records[-1].id] = cell
        return records

    def steps_for(self, record: Record) -> Sequence[Step]:
        """Every patch is cut out of its region first."""
        cell = self._cells[record.id]
        return (Crop(cell.top, cell.left, cell.top + cell.side, cell.left + cell.side), *self.steps)

    def film(self, record: Record) -> Frame:
        """The whole region, kept until another one is asked for."""
        if self._opened is None or self._opened[0] != record.image:
            mask = record.extra["mask"]
            pixels = decode(record.image, self.source.read(record.image)).pixels
            codes = read_codes(self.source, mask)
            if codes.shape != pixels.shape[:2]:
                raise DataError(f"{mask} and {record.image} differ in size: {codes.shape} and {pixels.shape[:2]}")
            self._opened = (record.image, pixels, np.isin(codes, self._codes))
        _, pixels, mask_pixels = self._opened
        return Frame(pixels, (mask_pixels,) if record.lesions else ())

    def _kept(self, index: int) -> Frame:
        """With a patch, the others of its region are put into the cache: decoding the region takes the time."""
        if not self._cache.flags[index]:
            image = self.records[index].image
            for other, record in enumerate(self.records):
                if record.image == image and not self._cache.flags[other]:
                    self._cache.put(other, self.prepare(record))
            self._opened = None
        return super()._kept(index)


def parse_name(name: str) -> tuple[str, str] | None:
    """Patient and hospital of a file name; none for another file."""
    found = NAME.fullmatch(name)
    return (found[1], found[2]) if found else None


def find_regions(source: Source) -> tuple[list[Region], list[Finding]]:
    """Pictures and masks by name; and the files that are none or are there twice."""
    files: dict[str, dict[bool, str]] = {}
    findings: list[Finding] = []
    for file in source.find("TCGA-*.png"):
        where = PurePosixPath(file)
        is_mask = where.parent.name.lower() == "masks"
        if parse_name(where.name) is None:
            findings.append(Finding("warning", file, "not used: its name is not as published"))
        elif is_mask in files.setdefault(where.name, {}):
            other = files[where.name][is_mask]
            findings.append(Finding("error", file, f"is also there as {other}; leave one copy of the data"))
        else:
            files[where.name][is_mask] = file
    return [
        Region(name, *(parse_name(name) or ("", "")), found.get(False, ""), found.get(True, ""))
        for name, found in sorted(files.items())
    ], findings


def _incomplete(regions: Sequence[Region]) -> Iterator[Finding]:
    for region in regions:
        if not region.mask:
            yield Finding("error", region.picture, "has no mask in a folder called masks; fetch the data again")
        elif not region.picture:
            yield Finding("error", region.mask, "has no picture of the same name; fetch the data again")


def _complete(source: Source) -> list[Region]:
    regions, findings = find_regions(source)
    wrong = [finding for finding in findings if finding.level == "error"] + [*_incomplete(regions)]
    if wrong:
        raise DataError(f"{wrong[0].where}: {wrong[0].what}; see `xaibench data check bcss`")
    return regions


def _record(region: Region, cell: Cell, label: int, codes: tuple[int, ...]) -> Record:
    """The lesion is all tumour of the patch; the mask belongs to every patch, as it gives the class."""
    name = region.name.removesuffix(".png")
    return Record(
        id=f"{name}/{cell.top}-{cell.left}",
        patient=region.patient,
        label=label,
        image=region.picture,
        lesions=(MaskFile(region.mask, codes=codes),) if label else (),
        official="test" if region.hospital in TESTED else "train",
        extra={"mask": region.mask, "hospital": region.hospital},
    )


# ------------------------------------------------------------------------------------------------------------ checking


def inspect(source: Source) -> Report:
    """Regions, their masks' codes and sizes, damage, and the table of codes."""
    regions, findings = find_regions(source)
    if not regions:
        findings.append(Finding("error", str(source.path), f"no region named TCGA-*.png: {ADVICE}"))
    elif len(regions) < REGIONS["regions"]:
        told = f"{len(regions)} of {REGIONS['regions']} regions: the copy is not complete"
        findings.append(Finding("error", str(source.path), told))
    findings += _incomplete(regions)
    broken = unreadable(source, [name for region in regions for name in (region.picture, region.mask) if name])
    findings += broken
    damaged, ledger = {finding.where for finding in broken}, Ledger(source)
    for region in regions:
        if region.picture and region.mask and not {region.picture, region.mask} & damaged:
            findings += _compared(source, region, ledger)
    for table in source.find("gtruth_codes.tsv"):
        findings += check_codes(table, source.read(table))
    found = {
        "regions": len(regions),
        "regions to test on": sum(region.hospital in TESTED for region in regions),
        "patients": len({region.patient for region in regions}),
    }
    return Report("bcss", found, REGIONS, tuple(findings))


def _compared(source: Source, region: Region, ledger: Ledger) -> Iterator[Finding]:
    """Sizes and codes of a picture and its mask."""
    if ledger.shape(region.picture)[:2] != ledger.shape(region.mask)[:2]:
        yield Finding("error", region.mask, f"is of another size than {region.picture}")
    try:
        codes = read_codes(source, region.mask)
    except DataError as error:
        yield Finding("error", region.mask, str(error).removeprefix(f"{region.mask} "))
        return
    if codes.max() >= CODES:
        yield Finding("warning", region.mask, f"holds code {codes.max()}; known are 0 to {CODES - 1}")
    if not (codes != OUTSIDE).any():
        yield Finding("warning", region.mask, "has nothing annotated: no patch comes from it")


def check_codes(file: str, content: bytes) -> list[Finding]:
    """Hold a table of codes (`label<tab>GT_code`) against the ones used here."""
    known: Mapping[str, int] = {"outside_roi": OUTSIDE, "tumor": 1, "angioinvasion": 19, "dcis": 20}
    found = []
    for line, text in enumerate(content.decode("utf-8", "replace").split("\n"), 1):
        label, _, code = (part.strip() for part in text.partition("\t"))
        if label in known and code != str(known[label]):
            told = f"{label} is {code[:20]!r} here, but {known[label]} as published: masks would be misread"
            found.append(Finding("error", f"{file}:{line}", told))
    return found


CARD = DatasetCard(
    name="bcss",
    summary="patches of 151 annotated regions of breast cancer slides: tumour or other tissue, with the tumour as mask",
    citation="M. Amgad et al., Structured crowdsourcing enables convolutional segmentation of histology images, "
    "Bioinformatics 35(18):3461-3467 (2019)",
    licence="CC0 1.0",
    source=ADVICE,
    layout=LAYOUT,
    published=REGIONS,
)
