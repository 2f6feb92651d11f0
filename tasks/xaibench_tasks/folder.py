"""Any images with a table: the way to bring data of one's own."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from xaibench.errors import DataError, UsageError
from xaibench_tasks.checking import Finding, Report
from xaibench_tasks.damage import unreadable
from xaibench_tasks.dataset import Dataset, DatasetCard
from xaibench_tasks.layout import FOLDERS, by_folders
from xaibench_tasks.ledger import Ledger
from xaibench_tasks.options import between
from xaibench_tasks.records import MaskFile, Record
from xaibench_tasks.sources import locate, open_source, place_of
from xaibench_tasks.splits import SPLITS, Splitting
from xaibench_tasks.steps import Grey, Resize, Rgb, named
from xaibench_tasks.tables import Line, read_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xaibench_tasks.records import Official
    from xaibench_tasks.sources import Source

TABLE = "index.csv"
NEEDED = ("image", "label")
LAYOUT = (
    "a folder or archive with index.csv and the images and masks it names; columns: image, label, and if known "
    "patient, mask (several with ; between them), split (train, val or test; test alone for networks that bring their "
    "weights). Or without a table: " + FOLDERS
)
CARD = DatasetCard(
    name="folder",
    summary="images and masks of your own, listed in a CSV file",
    source="yours",
    licence="yours",
    layout=LAYOUT,
)


class UserFolder(Dataset):
    """Images and masks of your own, in a folder per class or listed in a CSV file with patients and splits.

    Without patients every image is its own patient. Without a column split, `test` of the patients are tested, 15 %; if
    every row has `test` in it, all images are, and only networks that bring their weights can take part. The classes
    are in the order of the alphabet unless `classes` names them in another.
    """

    def __init__(
        self,
        *,
        path: str = "",
        table: str = TABLE,
        classes: str = "",
        size: int = 224,
        channels: int = 1,
        steps: str = "",
        folds: int = 1,
        val: float = 0.15,
        test: float = 0.15,
        seed: int = 0,
        on_error: str = "raise",
    ) -> None:
        between("size", size, 16, 2048)
        if channels not in (1, 3):
            raise UsageError(f"channels={channels}: give 1 for grey or 3 for colour")
        source = source_of(path, table)
        name, lines = listing(source, table)
        refuse(lacking(name, lines))
        known = class_names(lines, classes)
        found = records(source, name, lines, known)
        super().__init__(
            card=CARD,
            classes=known,
            shape=(channels, size, size),
            source=source,
            records=found,
            steps=(Grey() if channels == 1 else Rgb(), *named(steps), Resize(size, size)),
            splitting=Splitting(
                folds=folds,
                val=val,
                test=test,
                seed=seed,
                official=any(record.official for record in found),
                untrained=True,
            ),
            on_error=on_error,
        )
        self._ordered = bool(classes.strip())

    def remarks(self) -> Iterator[Finding]:
        """The order of the classes, and which images are tested."""
        names = ", ".join(self.classes)
        other = f"in the order of the alphabet; classes='{','.join(reversed(self.classes))}' is another one"
        yield Finding("note", "classes", names if self._ordered else f"{names} ({other})")
        yield Finding("note", "split", f"{self._tested()}: {self._why()}")

    def _tested(self) -> str:
        tested = len({entry.id for fold in range(self.folds) for entry in self.entries("test", fold)})
        return f"{tested} of {len(self.records)} images {'is' if tested == 1 else 'are'} tested"

    def _why(self) -> str:
        how = self.splitting
        if how.official and not self.entries("train", 0):
            return (
                "the column split has test alone; networks must bring their weights, for there is nothing to train on"
            )
        if how.official:
            return "as the column split says"
        if how.folds > 1:
            return f"no column split, so each patient in one of {how.folds} folds"
        told = f"no column split, so {100 * how.test:g} % of the patients"
        return f"{told}; networks that bring their weights can be tested on all with split=test in every row"


def source_of(path: str, table: str) -> Source:
    """The place, if it holds the table, or images by class."""
    place = place_of("folder", path, LAYOUT)
    if place.exists() and by_folders(source := open_source(place)):
        return source
    return locate("folder", path, table, LAYOUT)


def listing(source: Source, table: str) -> tuple[str, list[Line]]:
    """The table and its rows; without one, what the folders say, and no name."""
    if not source.find(table) and (lines := by_folders(source)):
        return "", lines
    name = table_name(source, table)
    return name, read_table(name, source.read(name))


def table_name(source: Source, table: str) -> str:
    """The table; of several of that name the one that lies highest."""
    found = sorted(source.find(table), key=lambda name: (name.count("/"), name))
    if not found:
        raise DataError(f"{source.path} holds no {table}: expected {LAYOUT}")
    return found[0]


def class_names(lines: Sequence[Line], asked: str) -> tuple[str, ...]:
    """The classes in the order asked for, else in that of the alphabet."""
    found = sorted({line["label"] for line in lines} - {""})
    names = tuple(name.strip() for name in asked.split(",") if name.strip()) or tuple(found)
    if unknown := sorted(set(found) - set(names)):
        raise UsageError(f"classes={asked!r}: the table also has {', '.join(unknown)}")
    if len(names) < 2:
        told = f"one class ({found[0]})" if len(found) == 1 else "no class"
        raise DataError(f"the column label names {told}; two are needed at least")
    return names


def records(source: Source, table: str, lines: Sequence[Line], classes: Sequence[str]) -> list[Record]:
    """One record per row. The first row that cannot be used is an error."""
    refuse(wrong(source, table, lines))
    return [
        Record(
            id=line["image"],
            patient=line["patient"] or line["image"],
            label=list(classes).index(line["label"]),
            image=beside(table, line["image"]),
            lesions=tuple(MaskFile(mask, None) for mask in masks(table, line)),
            official=official(line["split"]),
        )
        for line in lines
    ]


def refuse(findings: Iterator[Finding]) -> None:
    """The first one is an error."""
    for finding in findings:
        raise DataError(f"{finding.where}: {finding.what}")


def lacking(table: str, lines: Sequence[Line]) -> Iterator[Finding]:
    """A table without the columns that it must have: told once, not for every row."""
    columns = list(dict.fromkeys(column for line in lines for column in line.cells))
    if lines and not set(NEEDED) <= set(columns):
        told = f"has columns {', '.join(columns)}; needed in its first line: {', '.join(NEEDED)}"
        yield Finding("error", table, f"{told} (and if known patient, mask, split)")


def official(text: str) -> Official:
    """A split by name."""
    named = {str(split): split for split in SPLITS}
    return named.get(text.lower(), "")


def beside(table: str, name: str) -> str:
    """The name of a file that lies where the table is."""
    parent = table.rpartition("/")[0]
    plain = name.replace("\\", "/").removeprefix("./")
    return f"{parent}/{plain}" if parent else plain


def masks(table: str, line: Line) -> list[str]:
    """The mask files of a row."""
    return [beside(table, name.strip()) for name in line["mask"].split(";") if name.strip()]


def wrong(source: Source, table: str, lines: Sequence[Line]) -> Iterator[Finding]:
    """Rows that cannot be used."""
    present, seen = set(source.names()), dict[str, str]()
    if not lines:
        yield Finding("error", table, "has no rows")
    if unlike := list(lacking(table, lines)):
        yield from unlike
        return
    some_split = any(line["split"] for line in lines)
    for line in lines:
        for column in NEEDED:
            if not line[column]:
                yield Finding("error", line.where, f"has nothing in column {column!r}")
        if line["image"] in seen:
            yield Finding("error", line.where, f"{line['image']} is in {seen[line['image']]} already")
        seen[line["image"]] = line.where
        for name in [beside(table, line["image"]), *masks(table, line)] if line["image"] else []:
            if name not in present:
                yield Finding("error", line.where, f"{name} is not there")
        if some_split and not official(line["split"]):
            yield Finding("error", line.where, f"split {line['split']!r} is none of {', '.join(SPLITS)}")


def inspect(source: Source) -> Report:
    """Counts and irregularities."""
    name, lines = listing(source, TABLE)
    findings = list(wrong(source, name, lines))
    listed = [beside(name, line["image"]) for line in lines if line["image"]]
    drawn = [mask for line in lines for mask in masks(name, line)]
    there = set(source.names())
    findings += unreadable(source, dict.fromkeys(file for file in (*listed, *drawn) if file in there))
    findings += [] if findings else _odd_masks(source, name, lines)
    if lines and not any(line["patient"] for line in lines):
        told = "no column patient: images of one patient may be on both sides of a split"
        findings.append(Finding("warning", name or f"no {TABLE}", told))
    labels = Counter(line["label"] for line in lines)
    counts = {"images": len(listed), "patients": len({line["patient"] or line["image"] for line in lines})}
    counts |= {"masks": len(drawn)} | {f"label {label}": count for label, count in sorted(labels.items())}
    return Report("folder", counts, {}, tuple(findings))


def _odd_masks(source: Source, table: str, lines: Sequence[Line]) -> Iterator[Finding]:
    """Masks of another size than their image."""
    ledger = Ledger(source)
    for line in lines:
        shape = ledger.shape(beside(table, line["image"]))
        for mask in masks(table, line):
            if (other := ledger.shape(mask)) != shape:
                told = f"{mask} is {other[1]} x {other[0]}, its image {shape[1]} x {shape[0]}: it is stretched to fit"
                yield Finding("warning", line.where, told)
