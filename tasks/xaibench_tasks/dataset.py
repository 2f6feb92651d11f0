"""From records, steps and splits to a task: what every dataset of files has in common."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from xaibench.contracts import Entry, Sample, TaskCard
from xaibench.errors import DataError, UsageError
from xaibench_tasks.cache import PixelCache
from xaibench_tasks.frames import Frame, run
from xaibench_tasks.leaks import find_leaks
from xaibench_tasks.ledger import Ledger
from xaibench_tasks.pictures import decode
from xaibench_tasks.reading import channels_first, read_film
from xaibench_tasks.records import draw
from xaibench_tasks.splits import Splitting, assign
from xaibench_tasks.steps import Normalise

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from xaibench.contracts import Split
    from xaibench.explaining.films import Film
    from xaibench_tasks.checking import Finding
    from xaibench_tasks.frames import Step
    from xaibench_tasks.records import Record
    from xaibench_tasks.sources import Source

SMALL_BYTES, SMALL_COUNT = 2**30, 20_000  # sets up to this size are searched for duplicates whenever they are opened


@dataclass(frozen=True, kw_only=True)
class DatasetCard(TaskCard):
    """A task whose data must be fetched."""

    layout: str = ""  # what must lie where
    published: Mapping[str, int] = field(default_factory=dict)  # counts to expect
    leaks: tuple[str, ...] = ()  # what the leak check found when the task was made
    skipped: Mapping[str, str] = field(default_factory=dict)  # id -> why it was left out, under on_error="skip"


class Dataset:
    """Base of tasks on files: give it records and steps, and it is a task. Pixels are decoded once and kept."""

    def __init__(
        self,
        *,
        card: DatasetCard,
        classes: tuple[str, ...],
        shape: tuple[int, int, int],
        source: Source,
        records: Sequence[Record],
        steps: Sequence[Step],
        splitting: Splitting,
        on_error: str = "raise",
        per_set: bool = False,  # normalise by mean and deviation of the training images
    ) -> None:
        if on_error not in ("raise", "skip"):
            raise UsageError(f"on_error={on_error!r}: give 'raise' or 'skip'")
        self.card, self.classes, self.shape, self.source = card, classes, shape, source
        self.steps, self.splitting, self.folds = tuple(steps), splitting, splitting.folds
        self.ledger, self.per_set = Ledger(source), per_set
        if per_set and splitting.folds != 1:
            raise UsageError("normalising per set needs folds=1: with more, every fold has other training images")
        self.skipped: dict[str, str] = {}  # id -> why, under on_error="skip"
        self.records = self._usable(records) if on_error == "skip" else list(records)
        if not self.records:
            raise DataError(f"{card.name}: no usable image in {source.path}; see `xaibench data check {card.name}`")
        self._index = {record.id: at for at, record in enumerate(self.records)}
        if len(self._index) != len(self.records):
            twice = Counter(record.id for record in records).most_common(1)[0][0]
            raise DataError(f"{card.name}: the id {twice!r} occurs twice")
        found = tuple(finding.what for finding in self.leaks(look=self._is_small()))
        self.card = replace(card, leaks=found, skipped=self.skipped)

    def _is_small(self) -> bool:
        sizes = (self.source.size(record.image) for record in self.records)
        return len(self.records) <= SMALL_COUNT and sum(sizes) <= SMALL_BYTES

    def leaks(self, look: bool = True) -> list[Finding]:
        """Patients, identical images and near-duplicates across the splits."""
        return find_leaks(self.records, self._assigned, self.ledger, look)

    def remarks(self) -> Iterable[Finding]:
        """What a check tells of this task beside its counts; override where something was decided for the user."""
        return ()

    def _usable(self, records: Sequence[Record]) -> list[Record]:
        """Leave out what cannot be decoded, and remember why."""
        for record in records:
            if trouble := next(filter(None, map(self.ledger.trouble, record.files())), ""):
                self.skipped[record.id] = trouble
        return [record for record in records if record.id not in self.skipped]

    @cached_property
    def _assigned(self) -> list[dict[str, Split]]:
        return assign(self.records, self.splitting)

    def fingerprint(self) -> str:
        """Changes with any byte of any file that is used, and with how it is used."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        for line in (
            self.card.name,
            self.card.version,
            self.classes,
            self.shape,
            self.steps,
            self.splitting,
            self.per_set,
        ):
            digest.update(f"{line!r}\n".encode())
        for record in self.records:
            contents = [self.ledger.digest(name) for name in record.files()]
            steps = self.steps_for(record)
            known = (record.id, record.patient, record.label, record.lesions, record.official, steps, contents)
            digest.update(f"{known!r}\n".encode())
        self.ledger.save()
        return f"{self.card.name}@{self.card.version} images={len(self.records)} content={digest.hexdigest()}"

    def entries(self, split: Split, fold: int) -> Sequence[Entry]:
        """One split, in the order of the records."""
        if not 0 <= fold < self.folds:
            raise UsageError(f"{self.card.name} has {self.folds} folds, counted from 0; fold {fold} was asked for")
        assigned = self._assigned[fold]
        return [
            Entry(record.id, record.patient, record.label) for record in self.records if assigned[record.id] == split
        ]

    def load(self, entry: Entry) -> Sample:
        """From the cache; decoded, prepared and kept on first use."""
        if entry.id not in self._index:
            raise DataError(f"{entry.id} is no image of {self.card.name}: load what `entries` of this task returned")
        frame = self._kept(self._index[entry.id])
        if self.per_set:
            frame = self._normalise(frame)
        return Sample(entry, frame.image, tuple(mask for mask in frame.masks if mask.any()))

    def _kept(self, index: int) -> Frame:
        """From the cache, where it is put on first use."""
        frame = self._cache.get(index)
        if frame is None:
            self._cache.put(index, self.prepare(self.records[index]))
            frame = self._cache.get(index)
        if frame is None:
            raise DataError(f"the cache {self._cache.folder} loses what is written: remove it and try again")
        return frame

    @cached_property
    def _normalise(self) -> Normalise:
        """By the training images, one after another."""
        sums = np.zeros(3)
        for entry in self.entries("train", 0):
            image = self._kept(self._index[entry.id]).image.astype(np.float64)
            sums += image.size, image.sum(), (image**2).sum()
        mean = sums[1] / sums[0]
        return Normalise(float(mean), float(max(np.sqrt(sums[2] / sums[0] - mean**2), 1e-6)))

    def decoded(self) -> list[bool]:
        """Which records are in the cache."""
        return [bool(flag) for flag in self._cache.flags]

    def decode(self, index: int) -> str:
        """Put one record into the cache; the reason if it cannot be."""
        try:
            self._kept(index)
        except DataError as error:
            return str(error)
        return ""

    @cached_property
    def _cache(self) -> PixelCache:
        key = hashlib.blake2b(f"{self.fingerprint()} 1".encode(), digest_size=16).hexdigest()
        return PixelCache(key, self.shape, [len(record.lesions) for record in self.records])

    def film(self, record: Record) -> Frame:
        """A record as it is on disk, nothing done to it."""
        pixels = decode(record.image, self.source.read(record.image)).pixels
        shape = (pixels.shape[0], pixels.shape[1])
        return Frame(pixels, tuple(draw(outline, shape, self.source) for outline in record.lesions))

    def steps_for(self, record: Record) -> Sequence[Step]:
        """The steps of one record; override where they depend on it."""
        del record
        return self.steps

    def prepare(self, record: Record) -> Frame:
        """Decode and prepare, channels first."""
        done = run(self.film(record), self.steps_for(record))
        image = channels_first(done.image)
        if image.shape != self.shape:
            raise DataError(f"{record.image} is {image.shape} after all steps, not {self.shape}")
        return Frame(image, done.masks, done.rescued)

    def read(self, film: Path, mask: Path | None = None) -> Film:
        """A film from outside, prepared as those of the set are; not where the steps depend on its annotation."""
        if type(self).steps_for is not Dataset.steps_for:
            raise UsageError(
                f"{self.card.name} cuts its images out by their annotation, which a film from outside has not: give a "
                "task of whole images, or \"picture(classes='...', size=...)\" and a film that is cut already"
            )
        return read_film(film, mask, self.steps, self.shape, self._normalise if self.per_set else None)

    def rescued(self) -> int:
        """Lesions kept at one pixel among the images decoded so far."""
        return int(sum(max(int(flag) - 1, 0) for flag in self._cache.flags))
