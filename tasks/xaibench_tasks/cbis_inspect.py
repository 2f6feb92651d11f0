"""Look at the files of CBIS-DDSM: counts, leaks, and what is missing or damaged."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from xaibench_tasks.cbis_files import FILM, MASK, CbisFiles
from xaibench_tasks.cbis_tables import MALIGNANT, PATHOLOGIES, TABLES, by_breast_view, by_film, read_table
from xaibench_tasks.checking import Finding, Report
from xaibench_tasks.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from xaibench_tasks.cbis_tables import Lesion
    from xaibench_tasks.sources import Source

PUBLISHED: Mapping[str, int] = {
    "rows": 3568,
    "patients": 1566,
    "films": 3103,
    **{"rows mass train": 1318, "rows mass test": 378, "rows calc train": 1546, "rows calc test": 326},
    **{"MALIGNANT": 1457, "BENIGN": 1429, "BENIGN_WITHOUT_CALLBACK": 682},
    **{"film files": 3103, "mask files": 3568},
}
NAMED = 5  # examples in one finding


def inspect(source: Source) -> Report:
    """Counts beside the published ones, and every irregularity. Reads every picture."""
    lesions, findings = _tables(source)
    found = _counts(lesions)
    if lesions:
        findings += [*_leaks(lesions), *_labels(lesions), *_twins(lesions), *_apart(lesions)]
        files = CbisFiles(source, lesions)
        found |= {
            "film files": sum(bool(files.candidates(FILM + folder)) for folder in by_film(lesions)),
            "mask files": sum(len(files.candidates(MASK + lesion.mask.folder)) > 1 for lesion in lesions),
        }
        findings += _pictures(files, lesions)
    return Report("cbis-ddsm", found, PUBLISHED, tuple(findings))


def _tables(source: Source) -> tuple[list[Lesion], list[Finding]]:
    lesions: list[Lesion] = []
    findings: list[Finding] = []
    for table in TABLES:
        names = source.find(table)
        if not names:
            findings.append(Finding("warning", table, "is not there: its films cannot be used"))
            continue
        rows, told = read_table(names[0], source.read(names[0]))
        lesions, findings = lesions + rows, findings + told
        first = source.read(names[0])
        findings += [
            Finding("warning", name, f"differs from {names[0]}, which is the one that is used")
            for name in names[1:]
            if source.read(name) != first
        ]
    if not lesions:
        findings.append(Finding("error", str(source.path), f"has no usable table; expected are {', '.join(TABLES)}"))
    return lesions, findings


def _counts(lesions: Sequence[Lesion]) -> dict[str, int]:
    parts = Counter(f"rows {lesion.kind} {lesion.part}" for lesion in lesions)
    pathologies = Counter(lesion.pathology for lesion in lesions)
    return {
        "rows": len(lesions),
        "patients": len({lesion.patient for lesion in lesions}),
        "films": len(by_film(lesions)),
        **{
            f"rows {kind} {part}": parts[f"rows {kind} {part}"]
            for kind in ("mass", "calc")
            for part in ("train", "test")
        },
        **{pathology: pathologies[pathology] for pathology in PATHOLOGIES},
    }


def leaking(lesions: Sequence[Lesion]) -> dict[str, list[str]]:
    """Patients on both sides, by the pair of tables that share them."""
    patients = {
        (kind, part): {lesion.patient for lesion in lesions if (lesion.kind, lesion.part) == (kind, part)}
        for kind in ("mass", "calc")
        for part in ("train", "test")
    }
    return {
        f"{one} train and {other} test": sorted(patients[one, "train"] & patients[other, "test"])
        for one in ("calc", "mass")
        for other in ("mass", "calc")
    }


def _leaks(lesions: Sequence[Lesion]) -> Iterator[Finding]:
    for tables, patients in leaking(lesions).items():
        if patients:
            what = f"{tables} share {len(patients)} patients ({', '.join(patients)}): see the option `conflict`"
            yield Finding("warning", "tables", what)


def _labels(lesions: Sequence[Lesion]) -> Iterator[Finding]:
    mixed = {
        folder: rows for folder, rows in by_film(lesions).items() if len({lesion.pathology for lesion in rows}) > 1
    }
    if mixed:
        worst = sum(any(lesion.pathology == MALIGNANT for lesion in rows) for rows in mixed.values())
        what = (
            f"{len(mixed)} films carry lesions of different pathology, {worst} a malignant one: see the option `label`"
        )
        yield Finding("note", _examples(rows[0].where for rows in mixed.values()), what)


def _twins(lesions: Sequence[Lesion]) -> Iterator[Finding]:
    twins = [rows for rows in by_breast_view(lesions).values() if len({lesion.film.folder for lesion in rows}) > 1]
    if twins:
        what = (
            f"{len(twins)} films are listed twice, for masses and for calcifications, each time with the masks of one "
            "kind only: see the option `twins`"
        )
        yield Finding("warning", _examples(rows[0].where for rows in twins), what)


def _apart(lesions: Sequence[Lesion]) -> Iterator[Finding]:
    apart = [lesion.where for lesion in lesions if lesion.crop.series != lesion.mask.series]
    if apart:
        what = (
            f"{len(apart)} rows have crop and mask in different series; they are told apart by content, as everywhere"
        )
        yield Finding("note", _examples(apart), what)


def _pictures(files: CbisFiles, lesions: Sequence[Lesion]) -> Iterator[Finding]:
    """Every film and mask: is it there, can it be read, is it what it should be, do the sizes agree."""
    if not files.names():
        yield Finding("error", str(files.path), "has the tables, but no film and no mask that they name")
        return
    yield Finding("note", str(files.path), f"pictures are {files.form}")
    ledger = Ledger(files)  # a file that has not changed since is read once only
    for folder, rows in by_film(lesions).items():
        yield from _trouble(ledger, files, FILM + folder, rows[0].where)
        for lesion in rows:
            yield from _trouble(ledger, files, MASK + lesion.mask.folder, lesion.where) or _stretched(ledger, lesion)
    ledger.save()


def _trouble(ledger: Ledger, files: CbisFiles, name: str, where: str) -> list[Finding]:
    """What is wrong with a film or mask, and which files were looked at."""
    trouble, looked_at = ledger.trouble(name), ", ".join(files.candidates(name))
    return [Finding("error", where, f"{trouble} [{looked_at}]" if looked_at else trouble)] if trouble else []


def _stretched(ledger: Ledger, lesion: Lesion) -> list[Finding]:
    film, mask = FILM + lesion.film.folder, MASK + lesion.mask.folder
    if ledger.trouble(film) or ledger.shape(film) == ledger.shape(mask):
        return []
    sizes = " x ".join(map(str, ledger.shape(mask)[::-1])), " x ".join(map(str, ledger.shape(film)[::-1]))
    return [
        Finding("warning", lesion.where, f"mask {lesion.mask.folder} is {sizes[0]}, its film {sizes[1]}: stretched")
    ]


def _examples(places: Iterable[str]) -> str:
    """The first few."""
    named = list(places)
    return ", ".join(named[:NAMED]) + (", ..." if len(named) > NAMED else "")
