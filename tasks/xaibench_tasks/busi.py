"""BUSI: ultrasound scans of breasts, with a mask per lesion."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from xaibench.errors import DataError
from xaibench_tasks.checking import Finding, Report
from xaibench_tasks.dataset import Dataset, DatasetCard
from xaibench_tasks.options import one_of
from xaibench_tasks.pictures import decode
from xaibench_tasks.records import MaskFile, Record
from xaibench_tasks.sources import locate
from xaibench_tasks.splits import Splitting
from xaibench_tasks.steps import Grey, Resize, named

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from xaibench.contracts import Floats
    from xaibench_tasks.sources import Source

CLASSES = ("normal", "benign", "malignant")
NAME = re.compile(r"((benign|malignant|normal) \([0-9]{1,6}\))(?:_mask(?:_([1-9][0-9]{0,3}))?)?\.png")
ADVICE = (
    "fetch Dataset_BUSI_with_GT.zip (250 MB) from scholar.cu.edu.eg/?q=afahmy/pages/dataset; it can stay packed. Other "
    "copies have often been resized"
)
LAYOUT = """\
Dataset_BUSI_with_GT/benign/benign (1).png              (malignant/malignant (1).png, normal/normal (1).png)
Dataset_BUSI_with_GT/benign/benign (1)_mask.png         first lesion; all black for normal
Dataset_BUSI_with_GT/benign/benign (4)_mask_1.png       further lesions, _mask_2 and so on"""
COUNTS = {"normal": 133, "benign": 437, "malignant": 210}
SEVERAL = 17  # scans with more than one mask


@dataclass(frozen=True)
class Scan:
    """A picture and the masks of its lesions."""

    id: str  # "benign (1)"
    file: str  # "" if only masks were found
    masks: tuple[str, ...]

    @property
    def label(self) -> str:
        """The class, which is the first word."""
        return self.id.split()[0]


class Busi(Dataset):
    """Scans of normal, benign and malignant breasts; `labels=two` leaves the normal ones out.

    Patients were not published: every scan counts as a patient of its own. The set is known to hold duplicates, and
    some lesions under both classes; the leak check names those it sees. Masks are never joined: every file is a lesion.
    `steps`: named steps before the resize, such as "clahe". Scans are stretched to `size` x `size`.
    """

    def __init__(
        self,
        *,
        path: str = "",
        labels: Literal["three", "two"] = "three",
        size: int = 224,
        steps: str = "",
        folds: int = 1,
        seed: int = 0,
        on_error: str = "raise",
    ) -> None:
        one_of("labels", labels, ("three", "two"))
        classes = CLASSES if labels == "three" else CLASSES[1:]
        source = locate(CARD.name, path, "*(*).png", ADVICE)
        super().__init__(
            card=CARD,
            classes=classes,
            shape=(1, size, size),
            source=source,
            records=_records(source, classes),
            steps=(Grey(), *named(steps), Resize(size, size)),
            splitting=Splitting(folds=folds, seed=seed),
            on_error=on_error,
        )


def parse_name(name: str) -> tuple[str, int] | None:
    """Scan and number of the mask, -1 for the picture itself; none for another file."""
    found = NAME.fullmatch(name)
    if not found:
        return None
    is_mask = "_mask" in name
    return found[1], int(found[3] or 0) if is_mask else -1


def find_scans(source: Source) -> tuple[list[Scan], list[Finding]]:
    """All scans, by class and number, with their masks in order; and the files that are none or are there twice."""
    files: dict[str, dict[int, str]] = defaultdict(dict)
    findings: list[Finding] = []
    for file in source.find("*.png"):
        parsed = parse_name(PurePosixPath(file).name)
        if parsed is None:
            findings.append(Finding("warning", file, "not used: its name is not as published"))
            continue
        scan, number = parsed
        if number in files[scan]:
            told = f"is also there as {files[scan][number]}; leave one copy of the data"
            findings.append(Finding("error", file, told))
        files[scan].setdefault(number, file)
        folder = PurePosixPath(file).parent.name
        if folder in CLASSES and folder != scan.split()[0]:
            findings.append(Finding("warning", file, f"lies in {folder}, against its name; the name is believed"))
    return [_scan(scan, files[scan]) for scan in sorted(files, key=_order)], findings


def _order(scan: str) -> tuple[str, int, str]:
    word, number = scan.split()
    return word, int(number.strip("()")), scan


def _scan(scan: str, files: Mapping[int, str]) -> Scan:
    return Scan(scan, files.get(-1, ""), tuple(files[number] for number in sorted(files) if number >= 0))


def _records(source: Source, classes: tuple[str, ...]) -> list[Record]:
    """A lesion for every mask. A tumour without a mask would pass for a picture without a lesion, so it is refused."""
    scans, findings = find_scans(source)
    wrong = [finding for finding in findings if finding.level == "error"] + [
        finding for scan in scans for finding in _incomplete(scan)
    ]
    if wrong:
        raise DataError(f"{wrong[0].where}: {wrong[0].what}; see `xaibench data check busi`")
    if not scans:
        raise DataError(f"busi: {source.path} has no picture such as 'benign (1).png': {ADVICE}")
    return [
        Record(
            id=scan.id,
            patient=scan.id,
            label=classes.index(scan.label),
            image=scan.file,
            lesions=tuple(MaskFile(mask, above=0.0) for mask in scan.masks) if scan.label != "normal" else (),
        )
        for scan in scans
        if scan.label in classes
    ]


def _incomplete(scan: Scan) -> Iterator[Finding]:
    """A mask without its picture, or a tumour without a mask."""
    if not scan.file:
        yield Finding("error", scan.masks[0], f"the picture {scan.id}.png is not there; fetch the data again")
    elif not scan.masks and scan.label != "normal":
        yield Finding("error", scan.file, "no mask is there; fetch the data again")


# ------------------------------------------------------------------------------------------------------------ checking


def inspect(source: Source) -> Report:
    """Every picture and mask, decoded and held against each other."""
    scans, findings = find_scans(source)
    if not scans:
        findings.append(Finding("error", str(source.path), f"no picture such as 'benign (1).png': {ADVICE}"))
    for scan in scans:
        findings += _incomplete(scan)
        findings += _looked_at(source, scan)
    there = Counter(scan.label for scan in scans if scan.file)
    if scans and (
        missing := [f"{count - there[word]} {word}" for word, count in COUNTS.items() if there[word] < count]
    ):
        told = f"not complete: {', '.join(missing)} of the published pictures are not there"
        findings.append(Finding("error", str(source.path), told))
    if scans:
        told = "patients were not published: every scan counts as a patient of its own"
        findings.append(Finding("note", str(source.path), told))
    found = {"pictures": there.total()} | {f"pictures, {word}": there[word] for word in CLASSES}
    several = sum(len(scan.masks) > 1 for scan in scans)
    return Report("busi", found | {"pictures with several masks": several}, published(), tuple(findings))


def _looked_at(source: Source, scan: Scan) -> Iterator[Finding]:
    """Damage, masks of another size than their picture, and masks that show nothing, or something on a normal scan."""
    try:
        shape = decode(scan.file, source.read(scan.file)).pixels.shape[:2] if scan.file else None
    except DataError as error:
        shape = None
        yield Finding("error", scan.file, str(error).removeprefix(f"{scan.file} "))
    for mask in scan.masks:
        try:
            pixels = decode(mask, source.read(mask)).pixels
        except DataError as error:
            yield Finding("error", mask, str(error).removeprefix(f"{mask} "))
            continue
        yield from _compared(scan, mask, pixels, shape)


def _compared(scan: Scan, mask: str, pixels: Floats, shape: tuple[int, ...] | None) -> Iterator[Finding]:
    rows, columns = pixels.shape[:2]
    if shape and shape != (rows, columns):
        told = f"{columns} x {rows} pixels, but its picture has {shape[1]} x {shape[0]}; the mask is stretched to fit"
        yield Finding("warning", mask, told)
    if scan.label == "normal" and pixels.any():
        yield Finding("warning", mask, "shows a lesion on a normal scan; it is not used")
    if scan.label != "normal" and not pixels.any():
        yield Finding("warning", mask, "is all black: a lesion without a place")


def published() -> dict[str, int]:
    """Counts of the data's paper."""
    counts = {"pictures": sum(COUNTS.values())} | {f"pictures, {word}": COUNTS[word] for word in CLASSES}
    return counts | {"pictures with several masks": SEVERAL}


CARD = DatasetCard(
    name="busi",
    summary="780 ultrasound scans: normal, benign or malignant, with a mask per lesion",
    citation="W. Al-Dhabyani et al., Dataset of breast ultrasound images, Data in Brief 28:104863 (2020)",
    licence="not stated with the files; copies say CC0 1.0, which was not confirmed",
    source=ADVICE,
    layout=LAYOUT,
    published=published(),
)
