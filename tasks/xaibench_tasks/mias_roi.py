"""Crops of MIAS films: as one paper cut them, and cut so that the size of the crop tells nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from xaibench.errors import UsageError
from xaibench.seeds import derive
from xaibench_tasks.dataset import Dataset
from xaibench_tasks.mias import ADVICE, CARD, CLASSES, PATTERN, label_rule, records
from xaibench_tasks.mias import inspect as inspect_films
from xaibench_tasks.mias_list import SIDE, read_list
from xaibench_tasks.records import Circle, Record
from xaibench_tasks.sources import locate
from xaibench_tasks.splits import Splitting
from xaibench_tasks.steps import Clahe, Crop, Frame, Grey, KeepBreast, Resize, square
from xaibench_tasks.tissue import breast_mask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xaibench_tasks.checking import Report
    from xaibench_tasks.sources import Source
    from xaibench_tasks.steps import Step

HOME = "mias"  # the folder of XAIBENCH_DATA in which its files are looked for
PAPER_SIDE = 224  # the paper shrinks films to this before anything else
CENTRE_HALF = 28  # half side of its normal crops: a quarter of the film
PAPER_DILATION = 27  # of the breast mask: an ellipse of 55 x 55
PUBLISHED = {"crops": 316, "normal crops": 207, "benign crops": 61, "malignant crops": 48}
CROPS = replace(
    CARD,
    name="mias-roi",
    summary="crops of MIAS films: as in a paper whose crop sizes give the class away, or all of one size",
    paper="A.-K. Balve and P. Hendrix, Interpretable breast cancer classification using CNNs on mammographic images",
    published={**CARD.published, **PUBLISHED},
)
TRIES = 16  # borrowed places per normal film
PROTOCOLS = ("strict", "paper")


class MiasRoi(Dataset):
    """316 crops, 207 normal, 61 benign, 48 malignant: films without a place of the lesion are left out.

    protocol="paper" follows Balve and Hendrix (2024): a lesion fills its crop, whatever its size, a normal crop is 56
    of 224 pixels wide at the centre, and images are split without regard to patients. "strict" cuts crops of `side`
    film pixels for all classes, the lesion anywhere in the middle half, and splits by patient.
    """

    def __init__(
        self,
        *,
        path: str = "",
        protocol: str = "strict",
        size: int = 224,
        side: int = 448,
        label: str = "first",
        labels: str = "",
        folds: int = 1,
        val: float = 0.15,
        test: float = 0.15,
        seed: int = 0,
        on_error: str = "raise",
    ) -> None:
        if protocol not in PROTOCOLS:
            raise UsageError(f"protocol={protocol!r}: give {' or '.join(map(repr, PROTOCOLS))}")
        if not (32 <= size <= 1024 and 32 <= side <= SIDE):
            raise UsageError(f"size={size}, side={side}: give 32 to 1024")
        self.protocol, self.side, self.seed = protocol, side, seed
        source = locate("mias", path, PATTERN, ADVICE)
        films = records(source, read_list(source, labels), label_rule(label), exclude=True)
        super().__init__(
            card=CROPS,
            classes=CLASSES,
            shape=(1, size, size),
            source=source,
            records=[self._only_first(film) for film in films if film.label == 0 or film.lesions],
            steps=(Resize(size, size),),
            splitting=Splitting(
                folds=folds, val=val, test=test, seed=seed, by="image" if protocol == "paper" else "patient"
            ),
            on_error=on_error,
        )

    def _only_first(self, film: Record) -> Record:
        """The paper knows one lesion per film."""
        return replace(film, lesions=film.lesions[:1]) if self.protocol == "paper" else film

    def steps_for(self, record: Record) -> Sequence[Step]:
        """Clean, cut, and bring to size."""
        if self.protocol == "paper":
            clean: tuple[Step, ...] = (
                Resize(PAPER_SIDE, PAPER_SIDE, "points"),
                KeepBreast(PAPER_DILATION),
                Clahe(2.0, 8),
            )
            return (Grey(), *clean, paper_crop(record), Resize(*self.shape[1:], "points"))
        return (Grey(), KeepBreast(), Clahe(2.0, 8), self._strict_crop(record), *self.steps)

    def _strict_crop(self, record: Record) -> Step:
        """The same square for every class, never centred on the lesion: neither its size nor its centre tells."""
        rng = np.random.default_rng(derive("mias-roi", self.seed, record.id))
        down, right = rng.uniform(-self.side / 4, self.side / 4, 2)
        if record.lesions:
            circle = _circle(record)
            return square((SIDE, SIDE), circle.row + down, circle.column + right, self.side)
        wall = _wall(record)
        borrowed = [self._lesion_places[at] for at in rng.permutation(len(self._lesion_places))[:TRIES]]
        places = tuple((row, abs(wall - off)) for row, off in borrowed)
        return SquareInBreast(self.side, places, (float(down), float(right)))

    @cached_property
    def _lesion_places(self) -> list[tuple[float, float]]:
        """Row and distance from the chest wall of all lesions: normal crops are taken there too."""
        lesions = [(_circle(record), _wall(record)) for record in self.records if record.lesions]
        return [(circle.row, abs(wall - circle.column)) for circle, wall in lesions]


def _wall(record: Record) -> int:
    """The column of the chest wall: at the right edge of odd films, at the left edge of even ones."""
    return SIDE - 1 if int(record.id[3:]) % 2 else 0


def paper_crop(record: Record) -> Step:
    """A lesion from edge to edge, or a quarter of the film at its centre."""
    if not record.lesions:
        return SquareAtCentre(CENTRE_HALF)
    circle, scale = _circle(record), PAPER_SIDE / SIDE
    y = SIDE - 1 - circle.row  # as the list gives it, from the bottom
    row, column = round(PAPER_SIDE - y * scale), round(circle.column * scale)
    half = max(1, round(circle.radius * scale))
    return Crop(row - half, column - half, row + half, column + half)


def _circle(record: Record) -> Circle:
    circle = record.lesions[0]
    assert isinstance(circle, Circle)  # noqa: S101  # the list of MIAS knows nothing else
    return circle


@dataclass(frozen=True)
class SquareAtCentre:
    """A square at the centre; if that is black, at the nearest place on a diagonal that is not."""

    half: int

    def __call__(self, frame: Frame) -> Frame:
        """Walk outwards, all four diagonals at the same pace."""
        rows, columns = (side // 2 for side in frame.shape)
        walk = (
            (rows + down * step, columns + right * step)
            for step in range(min(rows, columns))
            for down in (1, -1)
            for right in (1, -1)
        )
        row, column = next((place for place in walk if frame.image[place] > 0), (rows, columns))
        return Crop(row - self.half, column - self.half, row + self.half, column + self.half)(frame)


@dataclass(frozen=True)
class SquareInBreast:
    """A square beside the first of some places that lies in the breast."""

    side: int
    places: tuple[tuple[float, float], ...]
    shift: tuple[float, float]

    def __call__(self, frame: Frame) -> Frame:
        """If all of them miss it, the middle of the breast."""
        inside = breast_mask(frame.image, grow=0)
        held = [place for place in self.places if inside[int(place[0]), int(place[1])]]
        row, column = held[0] if held else np.argwhere(inside | ~inside.any()).mean(axis=0)
        return square(frame.shape, float(row) + self.shift[0], float(column) + self.shift[1], self.side)(frame)


def inspect(source: Source) -> Report:
    """As of the films, and the crops that come out of them."""
    report = inspect_films(source)
    if report.level("error"):
        return replace(report, task="mias-roi")
    films = records(source, read_list(source), "first", exclude=True)
    labels = Counter(film.label for film in films if not film.label or film.lesions)
    found = {"crops": labels.total()} | {f"{name} crops": labels[label] for label, name in enumerate(CLASSES)}
    return replace(
        report, task="mias-roi", found={**report.found, **found}, published={**report.published, **PUBLISHED}
    )
