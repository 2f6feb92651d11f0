"""Mini-DDSM: the films of DDSM at half their size, with a drawn contour round each lesion."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from xaibench.errors import DataError, UsageError
from xaibench_tasks.checking import Finding, Report
from xaibench_tasks.dataset import Dataset, DatasetCard
from xaibench_tasks.ledger import Ledger
from xaibench_tasks.mini_ddsm_tables import STATUSES, Film, read_table
from xaibench_tasks.options import between, one_of
from xaibench_tasks.records import FilledOutline, MaskFile, Record, mask_of
from xaibench_tasks.sources import locate
from xaibench_tasks.splits import Splitting
from xaibench_tasks.steps import Grey, Resize, named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from xaibench_tasks.sources import Source

TABLES = ("Data-MoreThanTwoMasks.xlsx", "DataWMask.xlsx")  # the first one names up to six contours of a film
CLASSES = ("normal", "benign", "cancer")
SITES = "ABCD"
ADVICE = (
    "fetch Mini-DDSM from Kaggle (cheddad/miniddsm2; derived from USF DDSM; no licence is stated: do not "
    "redistribute). It needs a .xlsx table and openpyxl: pip install 'xaibench[xlsx]'"
)
LAYOUT = """\
DataWMask.xlsx or Data-MoreThanTwoMasks.xlsx, and
MINI-DDSM-Complete-JPEG-8/<Normal|Benign|Cancer>/<case>/C_0029_1.LEFT_CC.jpg with C_0029_1.LEFT_CC_Mask.jpg
(or the same with .png, 16 bit), at any depth"""
PUBLISHED: Mapping[str, int] = {
    "films": 7808,
    "cases": 1952,
    "Normal": 2408,
    "Benign": 2684,
    "Cancer": 2716,
    "film files": 7808,
}
CARD = DatasetCard(
    name="mini-ddsm",
    summary="7808 mammograms of 1952 cases at half the size of DDSM; a filled contour per lesion",
    citation="C. D. Lekamlage et al., Mini-DDSM: mammography-based automatic age estimation, "
    "3rd International Conference on Digital Medicine and Image Processing (2020)",
    licence="none stated; for local use only",
    source=ADVICE,
    layout=LAYOUT,
    published=PUBLISHED,
)
NAMED = 20  # missing files that are named one by one


class MiniDdsm(Dataset):
    """Whole films.

    The set calls every film of a cancer case "Cancer", also those of the healthy breast, so `label` is: contour (a film
    with a contour has the class of its case, one without is normal; left out where the other view of the breast has
    one), marked (as contour, but of the benign and cancer cases only films with a contour), or case (as the set has
    it). `sites`: the letters of the hospitals to keep; B and C never sent a normal case, so they give the class away.
    """

    def __init__(
        self,
        *,
        path: str = "",
        size: int = 224,
        label: Literal["contour", "marked", "case"] = "contour",
        sites: str = SITES,
        steps: str = "",
        folds: int = 1,
        val: float = 0.15,
        test: float = 0.15,
        seed: int = 0,
        on_error: str = "raise",
    ) -> None:
        between("size", size, 32, 4096)
        if not sites or set(sites) - set(SITES):
            raise UsageError(f"sites={sites!r}: give some of the letters {SITES}")
        source = locate(CARD.name, path, "*.xlsx", ADVICE)
        films = [film for film in read_films(source) if film.site in sites]
        super().__init__(
            card=CARD,
            classes=CLASSES,
            shape=(1, size, size),
            source=source,
            records=film_records(films, label, find_files(source)),
            steps=(Grey(), *named(steps), Resize(size, size)),
            splitting=Splitting(folds=folds, val=val, test=test, seed=seed),
            on_error=on_error,
        )


def find_table(source: Source) -> str:
    """The spreadsheet."""
    for table in TABLES:
        if found := source.find(table):
            return found[0]
    raise DataError(f"{source.path} has neither {' nor '.join(TABLES)}: {ADVICE}")


def read_films(source: Source) -> list[Film]:
    """All rows; one that cannot be understood is an error."""
    name = find_table(source)
    films, findings = read_table(name, source.read(name))
    if findings:
        raise DataError(f"{findings[0].where}: {findings[0].what}; see `xaibench data check mini-ddsm`")
    return films


def find_files(source: Source) -> Callable[[str], str]:
    """From a path in the table, whatever its ending, to the file: status, case and name without its ending."""

    def key(name: str) -> str:
        return "/".join(PurePosixPath(name).with_suffix("").parts[-3:]).lower()

    names = {key(name): name for name in source.names() if name.lower().endswith((".jpg", ".png"))}
    return lambda path: names.get(key(path), "")


def film_records(films: Sequence[Film], label: str, find: Callable[[str], str]) -> list[Record]:
    """One record per film that has a class."""
    one_of("label", label, ("contour", "marked", "case"))
    marked = {film.breast for film in films if film.contours}
    return [
        Record(
            id=film.name,
            patient=film.case,
            label=STATUSES.index(status),
            image=find(film.image) or film.image,
            lesions=tuple(FilledOutline(find(contour) or contour) for contour in film.contours),
            extra={"site": film.site, "density": film.density, "case": film.status},
        )
        for film in films
        if (status := class_of(film, label, marked))
    ]


def class_of(film: Film, label: str, marked: set[tuple[str, str]]) -> str:
    """The status that counts for a film; nothing if its class is not known."""
    if label == "case" or film.contours or film.status == "Normal":
        return film.status
    return "" if label == "marked" or film.breast in marked else "Normal"


def inspect(source: Source) -> Report:
    """Counts beside the published ones, and every irregularity. Reads every film and contour that is there."""
    try:
        name = find_table(source)
        films, findings = read_table(name, source.read(name))
    except DataError as error:
        return Report(CARD.name, {}, PUBLISHED, (Finding("error", str(source.path), str(error)),))
    find = find_files(source)
    return Report(
        CARD.name,
        {**_counts(films), "film files": sum(bool(find(film.image)) for film in films)},
        PUBLISHED,
        (*findings, *_sites(name, films), *_statuses(name, films), *_ages(films), *_files(source, films, find)),
    )


def _counts(films: Sequence[Film]) -> dict[str, int]:
    statuses = Counter(film.status for film in films)
    return {
        "films": len(films),
        "cases": len({(film.status, film.case) for film in films}),
        **{status: statuses[status] for status in STATUSES},
        "films with a contour": sum(bool(film.contours) for film in films),
        "contours": sum(len(film.contours) for film in films),
    }


def _sites(name: str, films: Sequence[Film]) -> Iterator[Finding]:
    seen = Counter((film.status, film.site) for film in films)
    for site in sorted({film.site for film in films}):
        counts = {status: seen[status, site] for status in STATUSES}
        if not all(counts.values()):
            told = ", ".join(f"{status} {count}" for status, count in counts.items())
            what = (
                f"site confound: films of hospital {site} are {told}; its scanner alone tells the class. "
                "See the option `sites`"
            )
            yield Finding("warning", name, what)


def _statuses(name: str, films: Sequence[Film]) -> Iterator[Finding]:
    marked = {film.breast for film in films if film.contours}
    for status in STATUSES[1:]:
        of_status = [film for film in films if film.status == status]
        bare = sum(not film.contours for film in of_status)
        if bare:
            what = f"{bare} of {len(of_status)} films called {status} have no contour: the status is the case's"
            yield Finding("warning", name, f"{what}, not the film's. See the option `label`")
    half = [film.where for film in films if not film.contours and film.breast in marked]
    if half:
        what = f"{len(half)} films have no contour, but the other view of the breast has one: their class is not known"
        yield Finding("note", half[0], f"{what}, and label=contour leaves them out")


def _ages(films: Sequence[Film]) -> Iterator[Finding]:
    unknown = [film.where for film in films if film.age is None]
    if unknown:
        yield Finding("note", unknown[0], f"{len(unknown)} films have no age")


def _files(source: Source, films: Sequence[Film], find: Callable[[str], str]) -> Iterator[Finding]:
    missing = [(film.where, path) for film in films for path in (film.image, *film.contours) if not find(path)]
    if len(missing) > NAMED and not any(find(film.image) for film in films):
        yield Finding("error", str(source.path), "has the table, but none of the films that it names")
        return
    for where, path in missing[:NAMED]:
        yield Finding("error", where, f"{path} is not there")
    if len(missing) > NAMED:
        yield Finding("error", missing[NAMED][0], f"{len(missing) - NAMED} more files are not there")
    ledger = Ledger(source)  # a file that has not changed since is read once only
    for film in films:
        if image := find(film.image):
            contours = [found for path in film.contours if (found := find(path))]
            troubles = [trouble for name in (image, *contours) if (trouble := ledger.trouble(name))]
            yield from (Finding("error", film.where, trouble) for trouble in troubles)
            if not troubles:
                yield from (each for name in contours for each in _contour(source, film, name, ledger.shape(image)))
    ledger.save()


def _contour(source: Source, film: Film, contour: str, shape: tuple[int, ...]) -> Iterator[Finding]:
    """Does it agree with its film in size, is it closed?"""
    filled = mask_of(FilledOutline(contour), source)
    if filled.shape != shape:
        sizes = f"{filled.shape[1]} x {filled.shape[0]}, its film {shape[1]} x {shape[0]}"
        yield Finding("warning", film.where, f"{contour} is {sizes}: it is stretched")
    drawn = int(mask_of(MaskFile(contour), source).sum())
    if filled.sum() < 2 * drawn:
        what = f"{contour} encloses next to nothing ({drawn} pixels drawn, {filled.sum()} filled): is it open?"
        yield Finding("warning", film.where, what)
