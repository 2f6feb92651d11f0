"""The tasks: the clean phantom, and what can be planted in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from xaibench.contracts import Entry, Sample, TaskCard
from xaibench.errors import DataError, UsageError
from xaibench.seeds import derive
from xaibench_tasks.phantom.film import Plan, draw_film
from xaibench_tasks.phantom.patients import BENIGN, CLASSES, MALIGNANT, label_of, patient_of
from xaibench_tasks.reading import read_film
from xaibench_tasks.steps import Grey, Resize

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from xaibench.contracts import Split
    from xaibench.explaining.films import Film as OutsideFilm
    from xaibench_tasks.phantom.outline import View

VIEWS: tuple[View, View] = ("cc", "mlo")
SPLITS: tuple[Split, ...] = ("train", "val", "test")
SIZES = (64, 1024)
MOST = 100_000  # images per split: more than anyone trains on, and few enough that a slip of the finger shows


@dataclass(frozen=True)
class Film:
    """Which film an id names."""

    split: Split
    index: int
    view: View


class Phantom:
    """Phantom mammograms without any shortcut: only the lesion tells the class."""

    card: ClassVar[TaskCard] = TaskCard(
        name="phantom",
        summary="phantom mammograms: normal, benign or malignant, with exact lesion masks, drawn in memory",
        source="drawn on the fly; nothing to fetch",
        scenario="clean: only the lesions tell the class",
        licence="Apache-2.0",
    )
    classes = CLASSES
    folds = 1

    def __init__(self, *, size: int = 128, train: int = 960, val: int = 120, test: int = 120, seed: int = 0) -> None:
        _check("size", size, *SIZES)
        self.counts: dict[Split, int] = {"train": train, "val": val, "test": test}
        for split, count in self.counts.items():
            _check(split, count, 2, MOST)
            if count % 2:
                raise UsageError(f"{split}={count} is odd, but every patient has two views: give an even number")
        _check("seed", seed, 0, 2**63 - 1)
        self.size, self.seed = size, seed
        self.shape = (1, size, size)

    def fingerprint(self) -> str:
        """Name, version and parameters: the images follow from them."""
        counts = " ".join(f"{split}={count}" for split, count in self.counts.items())
        return f"{self.card.name}@{self.card.version} size={self.size} {counts} seed={self.seed}"

    def entries(self, split: Split, fold: int) -> Sequence[Entry]:
        """Two views per patient; nothing is drawn."""
        if fold != 0:
            raise UsageError(f"{self.card.name} has one fold, number 0; fold {fold} was asked for")
        films = (Film(split, index // 2, VIEWS[index % 2]) for index in range(self.counts[split]))
        return [self._entry(film) for film in films]

    def load(self, entry: Entry) -> Sample:
        """Draw one film."""
        film = self._film(entry)
        rng = np.random.default_rng(derive("phantom", self.seed, film.split, film.index, film.view))
        drawn = draw_film(rng, self._plan(film), self.size)
        return Sample(entry, drawn.image[None], drawn.lesions, drawn.regions)

    def read(self, film: Path, mask: Path | None = None) -> OutsideFilm:
        """A film from outside, grey and at the size of the drawn ones."""
        return read_film(film, mask, (Grey(), Resize(self.size, self.size)), self.shape)

    def _entry(self, film: Film) -> Entry:
        patient = f"{self.card.name}-{film.split}-{film.index:04d}"
        return Entry(f"{patient}-{film.view}", patient, label_of(self.seed, film.split, film.index))

    def _film(self, entry: Entry) -> Film:
        """Read an id; refuse one that this task did not give."""
        for split, view in product(SPLITS, VIEWS):
            index = entry.id.removeprefix(f"{self.card.name}-{split}-").removesuffix(f"-{view}")
            if index.isdecimal() and self._entry(film := Film(split, int(index), view)) == entry:
                return film
        raise DataError(f"{entry} is no film of {self.fingerprint()}: load what `entries` of the same task returned")

    def _rng(self, film: Film, what: str) -> np.random.Generator:
        """Randomness of a scenario, apart from that of the drawing: scenarios of one seed share their films."""
        return np.random.default_rng(derive(self.card.name, self.seed, film.split, film.index, what))

    def _plan(self, film: Film) -> Plan:
        return Plan(patient_of(self.seed, film.split, film.index), film.view)


class PhantomShortcut(Phantom):
    """A marker in the corner gives the class away, until testing."""

    card = TaskCard(
        name="phantom-shortcut",
        summary="phantom with a corner marker that names the class in training and says nothing in testing",
        source="drawn on the fly; nothing to fetch",
        scenario="every film carries a marker; in train and val its shape is that of the class (normal: bar, benign: "
        "frame, malignant: cross), in test it is drawn at random; lesions have half the contrast of the clean phantom",
        licence="Apache-2.0",
    )

    def _plan(self, film: Film) -> Plan:
        plan = super()._plan(film)
        told = plan.patient.label if film.split != "test" else int(self._rng(film, f"marker-{film.view}").integers(3))
        return replace(plan, marker=told, contrast=0.5)


class PhantomConfounded(Phantom):
    """Density gives the class away, until testing."""

    card = TaskCard(
        name="phantom-confounded",
        summary="phantom whose density is confounded with the class in training and not in testing",
        source="drawn on the fly; nothing to fetch",
        scenario="in train and val nine in ten malignant patients are dense (C or D) and nine in ten benign ones fatty "
        "(A or B); in test density is independent of the class",
        licence="Apache-2.0",
    )

    def _plan(self, film: Film) -> Plan:
        plan = super()._plan(film)
        if film.split == "test" or plan.patient.label not in (BENIGN, MALIGNANT):
            return plan
        rng = self._rng(film, "density")
        dense = (plan.patient.label == MALIGNANT) == (rng.random() < 0.9)
        density = int(rng.integers(2)) + 2 * dense
        return replace(plan, patient=replace(plan.patient, density=density))


class PhantomTiny(Phantom):
    """Lesions of a few pixels."""

    card = TaskCard(
        name="phantom-tiny",
        summary="phantom with one lesion of under 0.3 percent of the image",
        source="drawn on the fly; nothing to fetch",
        scenario="one lesion per film, of 0.15 to 0.28 percent of the image, at 1.2 times the clean phantom's contrast",
        licence="Apache-2.0",
    )

    def _plan(self, film: Film) -> Plan:
        plan = super()._plan(film)
        area = float(self._rng(film, "area").uniform(0.0015, 0.0028))
        areas = (area,) if plan.patient.areas else ()
        return replace(plan, patient=replace(plan.patient, areas=areas), contrast=1.2)


class PhantomBlur(Phantom):
    """Lesions are seen in small crops, normal tissue in larger ones: blur gives the class away."""

    card = TaskCard(
        name="phantom-blur",
        summary="phantom crops: lesions blown up more than normal tissue, so that blur tells them apart",
        source="drawn on the fly; nothing to fetch",
        scenario="as in a published protocol on MIAS: a lesion is a square round it, of median half side 19/224 of the "
        "film, a normal one the square of 56/224 at the centre, both blown up to the full size; lesions are centred; "
        "films twice as large and three times as grainy as the clean ones, lesions at 0.6 times their contrast",
        licence="Apache-2.0",
    )

    def _plan(self, film: Film) -> Plan:
        plan = replace(super()._plan(film), contrast=0.6, reach=0.6, grain=0.05)
        if not plan.patient.areas:
            return replace(plan, crop=28 / 224)
        rng = self._rng(film, "crop")
        half = 19 / 224 * float(np.exp(np.clip(rng.normal(0, 0.2), -0.35, 0.35)))
        area = float(np.pi * (half * rng.uniform(0.5, 0.8)) ** 2)
        return replace(plan, patient=replace(plan.patient, areas=(area,)), crop=half)


def _check(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UsageError(f"{name}={value!r} is not possible: give a whole number from {low} to {high}")
