"""What pictures are made from: maps out of the store, images from the task, if its data are at hand."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from xaibench import references
from xaibench.errors import XaibenchError
from xaibench.identity import key_of, task_identity
from xaibench.normalise import invalid, normalise
from xaibench.registry import create, installed_only, plugins
from xaibench.store import SHARD, Store
from xaibench_leaderboard.page.thumbnails import shrunk

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from xaibench.contracts import Entry, Floats, Mask, Result, Sample, Task
    from xaibench.normalise import SignPolicy


def task_of(store: Store, identity: Mapping[str, Any]) -> Task | None:
    """The very task that was run; None if its data are not at hand, or are others by now.

    Only installed plugins are made: a folder that someone sent must not have its own code run by being looked at.
    """
    for text in _spellings(store, identity):
        with contextlib.suppress(XaibenchError), installed_only("a results folder names it"):
            loaded = create("tasks", text)
            if task_identity(loaded) == identity:
                task: Task = loaded.plugin
                return task
    return None


def _spellings(store: Store, identity: Mapping[str, Any]) -> Iterator[str]:
    """How the task may be called: as the runs called it, which may say where the data lie; then by its parameters."""
    installed = {plugin.name for plugin in plugins("tasks")}
    name = str(identity.get("name", ""))
    for run in reversed(store.runs()):
        with contextlib.suppress(XaibenchError):
            for text in references.split_list(str(run.get("request", {}).get("tasks", ""))):
                if references.parse(text).target == name and name in installed:
                    yield text
    if name in installed:
        yield str(references.Reference(name, identity.get("params", {})))


def maps_key(identity: Mapping[str, Any], variant: str = "") -> str:
    """The cell whose maps a score was made of, or another variant of them."""
    shared = {name: value for name, value in identity.items() if name not in ("metric", "sign")}
    return key_of({**shared, "kind": "explain", "variant": variant})


class Maps:
    """Some maps of one cell, as the metrics see them, small: a shard is read once, and all else of it is forgotten."""

    def __init__(self, store: Store, cell: tuple[str, int], sign: SignPolicy, places: Collection[int]) -> None:
        self._store, (self._key, self._count), self._sign = store, cell, sign
        self._places = places  # of the images in the run, whose maps will be asked for
        self._found: dict[int, Floats | None] = {}
        self._read: set[int] = set()

    def has(self, place: int) -> bool:
        """Whether the map is in the store."""
        start = place - place % SHARD
        if start not in self._read:
            self._read.add(start)
            self._take(start)
        return place in self._found

    def small(self, place: int) -> Floats | None:
        """The map at the size of a picture; None for one that is missing or failed."""
        return self._found[place] if self.has(place) else None

    def _take(self, start: int) -> None:
        stop = min(start + SHARD, self._count)
        if shard := self._store.shard(self._key, start, stop):
            maps = shard.maps()
            for place in self._places:
                if start <= place < start + len(maps):
                    self._found[place] = self._seen(maps[place - start])

    def _seen(self, raw: Floats) -> Floats | None:
        if invalid(raw[None], self._sign)[0]:
            return None
        return shrunk(normalise(raw[None], self._sign)[0])


def sign_of(result: Result) -> SignPolicy:
    """What of a signed map counted for this row."""
    return "absolute" if result.labels.get("explainer", "").endswith(" [absolute]") else "positive"


def union(sample: Sample) -> Mask:
    """All lesions of a sample as one mask."""
    empty: Mask = np.zeros(sample.image.shape[1:], dtype=bool)
    whole: Mask = np.logical_or.reduce([empty, *sample.lesions])
    return whole


def entry_of(task: Task, fold: int, wanted: str) -> Entry | None:
    """The sample of this id among the test images."""
    return next((entry for entry in task.entries("test", fold) if entry.id == wanted), None)
