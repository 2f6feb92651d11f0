"""No dataset: what `xaibench explain` needs to know to show single films to a network that was trained elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xaibench.contracts import TaskCard
from xaibench.errors import DataError, UsageError
from xaibench_tasks.options import between
from xaibench_tasks.reading import read_film
from xaibench_tasks.steps import Grey, Resize, Rgb, named

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from xaibench.contracts import Entry, Sample, Split
    from xaibench.explaining.films import Film

CARD = TaskCard(
    name="picture",
    summary="no images of its own: the classes and the preprocessing of a network, for `xaibench explain`",
    source="yours",
    licence="yours",
    default=False,
)


class Picture:
    """Classes and preprocessing, without images. `classes` in the order of the network's outputs, with commas."""

    card = CARD
    folds = 1

    def __init__(self, *, classes: str, size: int = 224, channels: int = 1, steps: str = "") -> None:
        between("size", size, 16, 2048)
        self.classes = tuple(name.strip() for name in classes.split(",") if name.strip())
        if len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
            raise UsageError(f"classes={classes!r}: name at least two, each once, as in 'benign,malignant'")
        if channels not in (1, 3):
            raise UsageError(f"channels={channels}: give 1 for grey or 3 for colour")
        self.shape = (channels, size, size)
        self.steps = (Grey() if channels == 1 else Rgb(), *named(steps), Resize(size, size))

    def fingerprint(self) -> str:
        """There are no images that could change."""
        return f"picture classes={self.classes} shape={self.shape} steps={self.steps}"

    def entries(self, split: Split, fold: int) -> Sequence[Entry]:
        """None: nothing can be trained or benchmarked on it."""
        del split, fold
        return []

    def load(self, entry: Entry) -> Sample:
        """There is none to load."""
        raise DataError(f"{entry.id}: the task picture has no images; `xaibench explain` reads them from files")

    def read(self, film: Path, mask: Path | None = None) -> Film:
        """A film from outside, prepared by the steps."""
        return read_film(film, mask, self.steps, self.shape)
