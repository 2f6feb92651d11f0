"""BreaKHis: photos of breast tumour slides at four magnifications. Classes, no masks."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from xaibench.errors import DataError
from xaibench_tasks.breakhis_lists import (
    BENIGN,
    KINDS,
    MAGNIFICATIONS,
    MALIGNANT,
    count_photos,
    find_photos,
    leak_findings,
    missing_findings,
    partition_findings,
    read_lists,
    two_class_findings,
)
from xaibench_tasks.checking import Finding, Report
from xaibench_tasks.damage import unreadable
from xaibench_tasks.dataset import Dataset, DatasetCard
from xaibench_tasks.options import one_of
from xaibench_tasks.records import Record
from xaibench_tasks.sources import locate
from xaibench_tasks.splits import Splitting, assign
from xaibench_tasks.steps import Resize, Rgb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xaibench.contracts import Split
    from xaibench_tasks.breakhis_lists import FoldList, Photo
    from xaibench_tasks.sources import Source

ADVICE = (
    "fetch BreaKHis_v1.tar.gz (4 GB) from the page of the Federal University of Parana, "
    "web.inf.ufpr.br/vri/databases-software/breast-cancer-histopathological-database-breakhis; for the published folds "
    "also mkfold.tar.gz, unpacked"
)
LAYOUT = """\
BreaKHis_v1/histology_slides/breast/benign/SOB/adenosis/SOB_B_A_14-22549AB/40X/SOB_B_A-14-22549AB-40-001.png
(any folders will do: class, patient and magnification are read from the file names)
dsfold1.txt .. dsfold5.txt    only for splits="official"; in any folder, or beside the archive"""
PER_ZOOM = {40: (625, 1370), 100: (644, 1437), 200: (623, 1390), 400: (588, 1232)}  # benign, malignant
PER_KIND = {"A": 444, "F": 1014, "PT": 453, "TA": 569, "DC": 3451, "LC": 626, "MC": 792, "PC": 560}
LISTED = {1: (5005, 2904), 2: (5506, 2403), 3: (5332, 2577), 4: (5211, 2698), 5: (4826, 3083)}  # train, test


class BreakHis(Dataset):
    """One magnification of BreaKHis, or all (`magnification=0`).

    `labels`: binary | kinds, two classes or eight. `splits`: own | official; own ones are by patient, with `folds` of
    them. The five official folds put patient 14-13412, who has two classes, on both sides of folds 1, 3 and 5;
    `conflict`: test | train | keep says where that patient goes, and keep leaves the leak in. Their test parts are no
    partition of the patients. Pictures are stretched to `size` x `size`.
    """

    def __init__(
        self,
        *,
        path: str = "",
        magnification: int = 40,
        labels: Literal["binary", "kinds"] = "binary",
        splits: Literal["own", "official"] = "own",
        folds: int = 5,
        conflict: Literal["test", "train", "keep"] = "test",
        size: int = 224,
        seed: int = 0,
        on_error: str = "raise",
    ) -> None:
        one_of("labels", labels, ("binary", "kinds"))
        one_of("splits", splits, ("own", "official"))
        one_of("conflict", conflict, ("test", "train", "keep"))
        one_of("magnification", str(magnification), ("0", *map(str, MAGNIFICATIONS)))
        source = locate(CARD.name, path, "SOB_*.png", ADVICE)
        photos = _choose(source, magnification)
        self.lists = _official(source, photos, folds) if splits == "official" else []
        self._conflict = conflict
        super().__init__(
            card=CARD,
            classes=("benign", "malignant") if labels == "binary" else tuple(KINDS.values()),
            shape=(3, size, size),
            source=source,
            records=[_record(file, photo, labels) for file, photo in photos.items()],
            steps=(Rgb(), Resize(size, size)),
            splitting=Splitting(folds=folds, seed=seed),
            on_error=on_error,
        )

    def fingerprint(self) -> str:
        """As of any dataset, and of the lists of folds."""
        if not self.lists:
            return super().fingerprint()
        digest = hashlib.blake2b(self._conflict.encode(), digest_size=8)
        for fold in self.lists:
            digest.update(repr(sorted(fold.parts().items())).encode())
        return f"{super().fingerprint()} official={digest.hexdigest()}"

    @cached_property
    def _assigned(self) -> list[dict[str, Split]]:
        if not self.lists:
            return assign(self.records, self.splitting)
        return [self._as_listed(fold) for fold in self.lists]

    def _as_listed(self, fold: FoldList) -> dict[str, Split]:
        """One published fold; its training part gives up some patients for validation."""
        parts = fold.parts()
        how = Splitting(seed=self.splitting.seed, official=True, conflict=self._conflict)
        placed = [replace(record, official=parts[_basename(record.image)]) for record in self.records]
        return assign(placed, how)[0]


def _choose(source: Source, magnification: int) -> dict[str, Photo]:
    """The pictures of one magnification."""
    photos, _ = find_photos(source)
    chosen = {file: photo for file, photo in photos.items() if magnification in (0, photo.magnification)}
    if not chosen:
        raise DataError(f"breakhis: {source.path} has no picture SOB_*-{magnification or ''}*.png: {ADVICE}")
    return dict(sorted(chosen.items(), key=lambda item: item[1].name))


def _official(source: Source, photos: Mapping[str, Photo], folds: int) -> list[FoldList]:
    """The five lists; each must place every picture."""
    if folds != 5:
        raise DataError(f"breakhis(splits='official', folds={folds}): there are 5 official folds")
    lists, findings = read_lists(source)
    if errors := [finding for finding in findings if finding.level == "error"]:
        raise DataError(f"{errors[0].where}: {errors[0].what}; see `xaibench data check breakhis`")
    if len(lists) != 5:
        raise DataError(f"breakhis: {source.path} has {len(lists)} of dsfold1.txt .. dsfold5.txt: {ADVICE}")
    for fold in lists:
        listed = fold.parts()
        if unlisted := [photo.name for photo in photos.values() if photo.name not in listed]:
            raise DataError(f"{fold.file} does not list {len(unlisted)} of the pictures, such as {unlisted[0]}")
    return lists


def _record(file: str, photo: Photo, labels: str) -> Record:
    """The id is the name without its ending."""
    label = int(photo.is_malignant) if labels == "binary" else list(KINDS).index(photo.kind)
    extra = {"kind": photo.kind, "magnification": str(photo.magnification), "slide": photo.slide}
    return Record(id=photo.name.removesuffix(".png"), patient=photo.patient, label=label, image=file, extra=extra)


def _basename(file: str) -> str:
    return PurePosixPath(file).name


# ------------------------------------------------------------------------------------------------------------ checking


def inspect(source: Source) -> Report:
    """Names, counts, damaged pictures, and what is wrong with the published folds."""
    photos, findings = find_photos(source)
    lists, wrong = read_lists(source)
    findings += wrong + _repeated(photos) + unreadable(source, photos)
    findings += _incomplete(source, photos)
    if not lists:
        findings.append(Finding("note", str(source.path), "no dsfold1.txt .. dsfold5.txt: splits='official' cannot be"))
    for fold in lists:
        findings += leak_findings(fold)
        if photos:
            findings += missing_findings(fold, {photo.name: photo for photo in photos.values()})
    findings += partition_findings(lists)
    findings += two_class_findings(photos.values() or {row.photo for fold in lists for row in fold.rows})
    return Report(
        "breakhis", count_photos(photos.values(), "pictures") | _listed(lists), _expected(lists), tuple(findings)
    )


def _incomplete(source: Source, photos: Mapping[str, Photo]) -> list[Finding]:
    """A magnification that is there in part is a broken copy; one that is not there at all cannot be used."""
    where, there = str(source.path), Counter(photo.magnification for photo in photos.values())
    if not photos:
        return [Finding("error", where, f"no picture named SOB_*.png: {ADVICE}")]
    found = []
    for zoom, (benign, malignant) in PER_ZOOM.items():
        if not there[zoom]:
            found.append(Finding("warning", where, f"no picture at {zoom}x"))
        elif there[zoom] < benign + malignant:
            told = (
                f"{there[zoom]} of {benign + malignant} pictures at {zoom}x: the copy is not complete, fetch it again"
            )
            found.append(Finding("error", where, told))
    return found


def _repeated(photos: Mapping[str, Photo]) -> list[Finding]:
    """A name in two places would be an image twice."""
    times = Counter(photo.name for photo in photos.values())
    return [
        Finding("error", file, f"{photo.name} is there {times[photo.name]} times; leave one copy of the data")
        for file, photo in photos.items()
        if times[photo.name] > 1
    ]


def _listed(lists: list[FoldList]) -> dict[str, int]:
    """Counts of the lists; the names of all of them together."""
    named = {row.photo.name: row.photo for fold in lists for row in fold.rows}
    counts = count_photos(named.values(), "listed") if lists else {}
    for fold in lists:
        parts = Counter(row.part for row in fold.rows)
        counts |= {f"fold {fold.number}, {part}": parts[part] for part in ("train", "test")}
    return counts


def _expected(lists: list[FoldList]) -> dict[str, int]:
    """The published counts: of the pictures, and of the lists that are there."""
    expected = published("pictures") | (published("listed") if lists else {})
    for fold in lists:
        train, test = LISTED[fold.number]
        expected |= {f"fold {fold.number}, train": train, f"fold {fold.number}, test": test}
    return expected


def published(prefix: str) -> dict[str, int]:
    """Counts of the files. The page of the data set says 82 patients: 14-13412, who has two classes, counted twice."""
    counts = {prefix: 7909, f"{prefix}, patients": 81}
    for zoom, (benign, malignant) in PER_ZOOM.items():
        counts[f"{prefix}, {zoom}x"] = benign + malignant
        counts |= {f"{prefix}, {zoom}x benign": benign, f"{prefix}, {zoom}x malignant": malignant}
    return counts | {f"{prefix}, {(BENIGN | MALIGNANT)[kind]}": count for kind, count in PER_KIND.items()}


CARD = DatasetCard(
    name="breakhis",
    summary="7909 photos of breast tumour slides of 81 patients at 40, 100, 200 and 400 times: benign or malignant, or "
    "eight kinds; no masks",
    citation="F. A. Spanhol et al., A dataset for breast cancer histopathological image classification, IEEE "
    "Transactions on Biomedical Engineering 63(7):1455-1462 (2016)",
    licence="for research, by the terms of its page; CC BY 4.0 is often quoted and was not confirmed",
    source=ADVICE,
    layout=LAYOUT,
    published=published("pictures"),
)
