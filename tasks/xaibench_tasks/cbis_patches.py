"""Patches of CBIS-DDSM in five classes: masses and calcifications, benign or malignant, and background."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from xaibench.errors import UsageError
from xaibench.seeds import derive
from xaibench_tasks import cbis_inspect
from xaibench_tasks.cbis import ADVICE, LAYOUT, locate_tables, read_tables
from xaibench_tasks.cbis_files import FILM, MASK, CbisFiles
from xaibench_tasks.cbis_tables import CALLED_BACK_NOT, MALIGNANT, TABLES, by_breast_view, by_film, read_table
from xaibench_tasks.checking import Finding, Report
from xaibench_tasks.dataset import Dataset, DatasetCard
from xaibench_tasks.frames import Frame, Resize
from xaibench_tasks.options import between, one_of
from xaibench_tasks.records import MaskFile, Record, draw
from xaibench_tasks.splits import Splitting
from xaibench_tasks.steps import Grey
from xaibench_tasks.windows import BackgroundWindow, BoundingBox, LesionWindow

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from xaibench.contracts import Entry, Sample
    from xaibench_tasks.cbis_tables import Lesion
    from xaibench_tasks.sources import Source
    from xaibench_tasks.steps import Step

CLASSES = ("background", "benign calcification", "benign mass", "malignant calcification", "malignant mass")
BACKGROUND = 0
HOME = "cbis-ddsm"  # the files are the same
PRINTED = {  # training and test patches, table I of the paper
    "background": (644, 310),
    "malignant mass": (599, 144),
    "benign mass": (554, 183),
    "malignant calcification": (375, 110),
    "benign calcification": (358, 110),
}
CARD = DatasetCard(
    name="cbis-patches",
    summary="lesion and background patches of CBIS-DDSM in five classes",
    paper="S. Raut, Analysis of breast cancer lesion classification models trained using transfer learning",
    citation="R. S. Lee et al., A curated mammography data set for use in computer-aided detection and diagnosis "
    "research, Scientific Data 4:170177 (2017)",
    licence="CC BY 3.0",
    source=ADVICE,
    layout=LAYOUT,
    published=cbis_inspect.PUBLISHED,
)


class CbisPatches(Dataset):
    """Patches. Lesions that were benign without callback are no class; their films give the background.

    `protocol`: strict | paper.
    paper: a lesion's bounding box, whatever its size, a background square of `patch` film pixels; the published split
    with its leaks, `moved` calcifications moved from training to test, a validation part drawn by image. Since boxes
    and squares are all brought to one size, their blur tells background from lesions. `normalise`: none | class;
    class gives each class a mean and deviation of its own, also in testing, where that uses the label.
    strict: squares of `patch` film pixels for all classes, a lesion anywhere inside; no patient on two sides.
    `backgrounds`: patches per film without callback, `tissue`: how much of such a patch is breast at least. The paper
    leaves both open.
    """

    def __init__(
        self,
        *,
        path: str = "",
        size: int = 224,
        protocol: Literal["strict", "paper"] = "strict",
        patch: int = 550,
        backgrounds: int = 2,
        tissue: float = 0.5,
        moved: int = 110,
        normalise: Literal["none", "class"] = "none",
        conflict: Literal["test", "train"] = "test",
        val: float = 0.15,
        seed: int = 0,
        on_error: str = "raise",
    ) -> None:
        one_of("protocol", protocol, ("strict", "paper"))
        one_of("conflict", conflict, ("test", "train"))
        one_of("normalise", normalise, ("none", "class"))
        for name, value, low, high in (
            ("size", size, 16, 1024),
            ("patch", patch, 16, 4096),
            ("backgrounds", backgrounds, 0, 20),
            ("tissue", tissue, 0, 1),
            ("moved", moved, 0, 1000),
        ):
            between(name, value, low, high)
        if protocol == "strict" and normalise == "class":
            raise UsageError("normalise='class' uses the label of test patches: it goes with protocol='paper' only")
        source = locate_tables(path)
        rows = read_tables(source)
        self.normalise, self.seed = normalise, seed
        self._around: Step = BoundingBox() if protocol == "paper" else LesionWindow(patch)
        self._beside = BackgroundWindow(patch, tissue)
        self._avoided = background_films(rows)
        records = [*lesion_records(rows), *background_records(self._avoided, backgrounds)]
        if protocol == "paper":
            records = draw_validation(move_to_test(records, moved, seed), val, seed)
        super().__init__(
            card=CARD,
            classes=CLASSES,
            shape=(1, size, size),
            source=CbisFiles(source, rows),
            records=records,
            steps=(Grey(), self._around, self._beside, Resize(size, size)),
            splitting=Splitting(
                official=True, val=val, seed=seed, conflict="keep" if protocol == "paper" else conflict
            ),
            on_error=on_error,
        )

    def steps_for(self, record: Record) -> Sequence[Step]:
        """A window for its class, placed by a lot of its own."""
        lot = derive(CARD.name, self.seed, record.id)
        if record.label == BACKGROUND:
            return (self.steps[0], replace(self._beside, seed=lot), self.steps[-1])
        around = replace(self._around, seed=lot) if isinstance(self._around, LesionWindow) else self._around
        return (self.steps[0], around, self.steps[-1])

    def film(self, record: Record) -> Frame:
        """A film for background comes with the lesions to keep away from."""
        frame = super().film(record)
        if record.label != BACKGROUND:
            return frame
        shape = (frame.image.shape[0], frame.image.shape[1])
        return replace(frame, masks=tuple(draw(mask, shape, self.source) for mask in self._avoided[record.image]))

    def fingerprint(self) -> str:
        """As of any dataset, and of the lesions that background patches keep away from."""
        names = sorted({name for record in self.records for name in self._masks_beside(record)})
        digest = hashlib.blake2b("\n".join(map(self.ledger.digest, names)).encode(), digest_size=8).hexdigest()
        return f"{super().fingerprint()} avoided={digest} seed={self.seed} normalise={self.normalise}"

    def _masks_beside(self, record: Record) -> Iterable[str]:
        return (mask.name for mask in self._avoided[record.image]) if record.label == BACKGROUND else ()

    def _usable(self, records: Sequence[Record]) -> list[Record]:
        """A background patch also needs the masks it keeps away from."""
        kept = super()._usable(records)
        for record in kept:
            if trouble := next(filter(None, map(self.ledger.trouble, self._masks_beside(record))), ""):
                self.skipped[record.id] = trouble
        return [record for record in kept if record.id not in self.skipped]

    def load(self, entry: Entry) -> Sample:
        """One patch; normalised with its class's own figures if that was asked for."""
        sample = super().load(entry)
        if self.normalise == "none":
            return sample
        mean, deviation = self._tones[entry.label]
        image = np.clip(0.5 + (sample.image - mean) / (8 * deviation), 0, 1, dtype=np.float32)
        return replace(sample, image=image)

    @cached_property
    def _tones(self) -> dict[int, tuple[float, float]]:
        """Mean and deviation of each class over (at most 200 of) its training patches."""
        tones = {}
        for label in range(len(CLASSES)):
            mine = [entry for entry in self.entries("train", 0) if entry.label == label]
            mine.sort(key=lambda entry: derive("tones", self.seed, entry.id))
            pixels = [super(CbisPatches, self).load(entry).image for entry in mine[:200]]
            tones[label] = (float(np.mean(pixels)), max(float(np.std(pixels)), 1e-3)) if pixels else (0.5, 0.125)
        return tones


def class_of(lesion: Lesion) -> int:
    """The class of a lesion's patch."""
    severity = "malignant" if lesion.pathology == MALIGNANT else "benign"
    return CLASSES.index(f"{severity} {'mass' if lesion.kind == 'mass' else 'calcification'}")


def lesion_records(rows: Sequence[Lesion]) -> list[Record]:
    """One per lesion that was biopsied."""
    return [
        Record(
            id=lesion.mask.folder,
            patient=lesion.patient,
            label=class_of(lesion),
            image=FILM + lesion.film.folder,
            lesions=(MaskFile(MASK + lesion.mask.folder),),
            official=lesion.part,
        )
        for lesion in rows
        if lesion.pathology != CALLED_BACK_NOT
    ]


def background_films(rows: Sequence[Lesion]) -> dict[str, tuple[MaskFile, ...]]:
    """Films all of whose lesions, in either table, were benign without callback; with the masks of those lesions."""
    shown = by_breast_view(rows)
    return {
        FILM + folder: tuple(MaskFile(MASK + lesion.mask.folder) for lesion in lesions)
        for folder, lesions in by_film(rows).items()
        if all(lesion.pathology == CALLED_BACK_NOT for lesion in shown[lesions[0].breast_view])
        # Of a film in both tables only the masks of one are known to fit it.
        and all(lesion.film.folder == folder for lesion in shown[lesions[0].breast_view])
    }


def background_records(films: Iterable[str], count: int) -> list[Record]:
    """So many patches per film."""
    return [
        Record(
            id=f"{film.removeprefix(FILM)}-background-{number}",
            patient="_".join(film.split("_")[1:3]),
            label=BACKGROUND,
            image=film,
            official="train" if "-Training_" in film else "test",
        )
        for film in films
        for number in range(1, count + 1)
    ]


def move_to_test(records: Sequence[Record], count: int, seed: int) -> list[Record]:
    """Move so many training calcifications, half of them benign, to the test part, whoever the patient is."""
    moved: set[str] = set()
    for name, share in (("benign calcification", count // 2), ("malignant calcification", count - count // 2)):
        mine = [record.id for record in records if record.label == CLASSES.index(name) and record.official == "train"]
        moved |= set(sorted(mine, key=lambda name: derive("moved", seed, name))[:share])
    return [replace(record, official="test") if record.id in moved else record for record in records]


def draw_validation(records: Sequence[Record], share: float, seed: int) -> list[Record]:
    """Call this share of each class's training patches validation, whoever the patient is."""
    drawn: set[str] = set()
    for label in range(len(CLASSES)):
        mine = [record.id for record in records if record.label == label and record.official == "train"]
        drawn |= set(sorted(mine, key=lambda name: derive("validation", seed, name))[: round(share * len(mine))])
    return [replace(record, official="val") if record.id in drawn else record for record in records]


def inspect(source: Source) -> Report:
    """As of cbis-ddsm, with the patches of each class."""
    report = cbis_inspect.inspect(source)
    rows = [
        row for table in TABLES for name in source.find(table)[:1] for row in read_table(name, source.read(name))[0]
    ]
    counts = Counter((CLASSES[record.label], record.official) for record in lesion_records(rows))
    films = Counter(record.official for record in background_records(background_films(rows), 1))
    counts |= {("background", part): count for part, count in films.items()}
    found = {f"{name}, {part}": counts[name, part] for name in CLASSES for part in ("train", "test")}
    printed = ", ".join(f"{name} {train} and {test}" for name, (train, test) in PRINTED.items())
    what = f"the paper had (training and test) {printed}; which rows it left out is not stated"
    return Report(
        CARD.name, {**report.found, **found}, report.published, (*report.findings, Finding("note", "tables", what))
    )
