"""MIAS: 322 films of 161 women, with a circle round each lesion."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from xaibench.errors import DataError, UsageError
from xaibench_tasks.checking import Finding, Report
from xaibench_tasks.dataset import Dataset, DatasetCard
from xaibench_tasks.ledger import Ledger
from xaibench_tasks.mias_list import MISPLACED, SIDE, FilmList, read_list
from xaibench_tasks.options import one_of
from xaibench_tasks.records import Record
from xaibench_tasks.sources import Source, locate
from xaibench_tasks.splits import Splitting
from xaibench_tasks.steps import Grey, Resize, named

if TYPE_CHECKING:
    from collections.abc import Iterator

PATTERN = "mdb[0-9][0-9][0-9].pgm"
CLASSES = ("normal", "benign", "malignant")
PUBLISHED = {
    "rows": 330,
    "films": 322,
    "patients": 161,
    "circles": 119,
    "rows without coordinates": 4,
    "normal (first row)": 207,
    "benign (first row)": 64,
    "malignant (first row)": 51,
    "benign (worst row)": 63,
    "malignant (worst row)": 52,
}
LAYOUT = "mdb001.pgm to mdb322.pgm and Info.txt, at any depth of a folder, .zip, .tar or .tar.gz"
CARD = DatasetCard(
    name="mias",
    summary="322 mammograms of 161 women, digitised at 200 micron; a circle round each lesion",
    paper="J. Suckling et al., The Mammographic Image Analysis Society digital mammogram database, 1994",
    citation="Suckling J. et al. (1994), Excerpta Medica, International Congress Series 1069, pp. 375-378",
    licence="MIAS licence of 1995: research only, not to be rented, leased or sold; do not redistribute",
    source="all-mias.tar.gz of the mini-MIAS database, http://peipa.essex.ac.uk/info/mias.html (or its Kaggle copy)",
    layout=LAYOUT,
    published=PUBLISHED,
)
ADVICE = f"fetch {CARD.source}. {LAYOUT}. {CARD.licence}"


class Mias(Dataset):
    """322 mammograms with a circle round each lesion.

    `steps` are named steps before the resize, such as "breast,clahe:2:8"; `normalise="set"` goes by the training films.
    """

    def __init__(
        self,
        *,
        path: str = "",
        size: int = 224,
        label: str = "first",
        binary: bool = False,
        misplaced: str = "exclude",
        labels: str = "",
        steps: str = "",
        normalise: str = "",
        folds: int = 1,
        val: float = 0.15,
        test: float = 0.15,
        seed: int = 0,
        on_error: str = "raise",
    ) -> None:
        if not 32 <= size <= 1024:
            raise UsageError(f"size={size}: give 32 to 1024")
        one_of("normalise", normalise, ("", "set"))
        source = locate("mias", path, PATTERN, ADVICE)
        films = records(source, read_list(source, labels), label_rule(label), exclude_misplaced(misplaced))
        super().__init__(
            card=CARD,
            classes=("not malignant", "malignant") if binary else CLASSES,
            shape=(1, size, size),
            source=source,
            records=[as_binary(record) for record in films] if binary else films,
            steps=(Grey(), *named(steps), Resize(size, size)),
            splitting=Splitting(folds=folds, val=val, test=test, seed=seed),
            on_error=on_error,
            per_set=normalise == "set",
        )


def label_rule(rule: str) -> Literal["first", "worst"]:
    """Which row of a film with several gives its class."""
    if rule not in ("first", "worst"):
        raise UsageError(f"label={rule!r}: give 'first' (as in most papers) or 'worst'; they differ in mdb144 alone")
    return "first" if rule == "first" else "worst"


def exclude_misplaced(choice: str) -> bool:
    """Whether the two circles outside the breast are left out."""
    if choice not in ("exclude", "keep"):
        raise UsageError(f"misplaced={choice!r}: give 'exclude' or 'keep' for the circles of {' and '.join(MISPLACED)}")
    return choice == "exclude"


def as_binary(record: Record) -> Record:
    """Malignant against the rest."""
    return Record(**{**vars(record), "label": int(record.label == 2)})


def records(source: Source, films: FilmList, rule: Literal["first", "worst"], exclude: bool) -> list[Record]:
    """One record per film of the list."""
    images, labels = film_files(source), films.labels(rule)
    if missing := [film for film in labels if film not in images]:
        raise DataError(
            f"{source.path} lacks {len(missing)} of the {len(labels)} films in {films.name}, such as {missing[0]}.pgm; "
            "`xaibench data check mias` names them all"
        )
    return [
        Record(
            id=film,
            patient=rows[0].patient,
            label=labels[film],
            image=images[film],
            lesions=tuple(row.circle for row in rows if row.circle and not (exclude and film in MISPLACED)),
            extra={"background": rows[0].background, "kinds": "+".join(row.kind for row in rows)},
        )
        for film, rows in films.films().items()
    ]


def film_files(source: Source) -> dict[str, str]:
    """Files by film; of two copies the one that lies higher."""
    found = sorted(source.find(PATTERN), key=lambda name: (-name.count("/"), name), reverse=True)
    return {PurePosixPath(name).stem.lower(): name for name in found}


def inspect(source: Source) -> Report:
    """Counts and irregularities of the files."""
    images = film_files(source)
    try:
        films = read_list(source)
    except DataError as error:
        films = FilmList("Info.txt", (), (Finding("error", "Info.txt", str(error)),))
    findings = [*films.findings, *_unmatched(films, images), *_doubts(films, source)]
    findings += [Finding("error", name, trouble) for name, trouble in _damaged(source, images)]
    return Report("mias", _counts(films, images), PUBLISHED, tuple(findings))


def _counts(films: FilmList, images: dict[str, str]) -> dict[str, int]:
    """What the published counts speak of, counted."""
    first, worst = Counter(films.labels("first").values()), Counter(films.labels("worst").values())
    counts = {
        "rows": len(films.rows),
        "films": len(images),
        "patients": len({row.patient for row in films.rows}),
        "circles": sum(row.circle is not None for row in films.rows),
        "rows without coordinates": sum(bool(row.severity) and row.circle is None for row in films.rows),
    }
    for label, name in enumerate(CLASSES):
        counts[f"{name} (first row)"] = first[label]
        if label:
            counts[f"{name} (worst row)"] = worst[label]
    return counts


def _unmatched(films: FilmList, images: dict[str, str]) -> Iterator[Finding]:
    """Films without a row, rows without a film."""
    listed = films.films()
    for film, rows in listed.items():
        if film not in images:
            yield Finding("error", rows[0].where, f"{film}.pgm is missing: fetch it again")
    for film, name in images.items():
        if film not in listed:
            yield Finding("warning", name, f"has no row in {films.name}: the film is not used")
    if not images:
        yield Finding("error", ".", f"no film is here; expected {LAYOUT}")


def _doubts(films: FilmList, source: Source) -> Iterator[Finding]:
    """What is known to be odd about rows that can be read."""
    for film, rows in films.films().items():
        if film in MISPLACED and rows[0].severity == "":
            told = f"{film} is NORM here, but CALC B in the published list: this list was edited, and its counts differ"
            yield Finding("warning", rows[0].where, told)
        elif film in MISPLACED:
            told = "its circle lies outside the breast: left out of the masks, unless misplaced='keep'"
            yield Finding("note", rows[0].where, told)
        if len({row.severity for row in rows}) > 1:
            told = f"{film} is benign and malignant: the first row or the worst gives its class (label=...)"
            yield Finding("note", rows[0].where, told)
    copies = [name for name in source.find(PATTERN) if name not in film_files(source).values()]
    for name in copies:
        yield Finding("warning", name, "is a second copy of a film: the one that lies higher is used")


def _damaged(source: Source, images: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Films that cannot be decoded, or are not of the size the circles are measured in."""
    ledger = Ledger(source)
    for name in images.values():
        if trouble := ledger.trouble(name):
            yield name, trouble.removeprefix(f"{name} ")
        elif (shape := ledger.shape(name)) != (SIDE, SIDE):
            yield name, f"is {shape[1]} x {shape[0]} pixels: the circles are measured in films of {SIDE} x {SIDE}"
    ledger.save()
