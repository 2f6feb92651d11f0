"""What pictures are made from: maps out of the store, images from the task, if its data are at hand."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from xaibench import references
from xaibench.errors import XaibenchError
from xaibench.identity import key_of, task_identity
from xaibench.normalise import invalid, normalise
from xaibench.registry import create, plugins
from xaibench.store import SHARD, Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from xaibench.contracts import Entry, Floats, Mask, Result, Sample, Task
    from xaibench.normalise import SignPolicy


def task_of(store: Store, identity: Mapping[str, Any]) -> Task | None:
    """The very task that was run; None if its data are not at hand, or are others by now.

    Only installed plugins are made: a folder that someone sent must not have its own code run by being looked at.
    """
    for text in _spellings(store, identity):
        with contextlib.suppress(XaibenchError):
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
    """The maps of one cell, by the place of the image in the run; a shard is read once."""

    def __init__(self, store: Store, key: str, count: int, sign: SignPolicy) -> None:
        self._store, self._key, self._count, self._sign = store, key, count, sign
        self._read: dict[int, Floats | None] = {}

    def raw(self, at: int) -> Floats | None:
        """[H, W] as the explainer returned it; None if it is not in the store."""
        start = at - at % SHARD
        if start not in self._read:
            shard = self._store.shard(self._key, start, min(start + SHARD, self._count))
            self._read[start] = shard.maps() if shard else None
        maps = self._read[start]
        return None if maps is None or at - start >= len(maps) else maps[at - start]

    def normalised(self, at: int) -> Floats | None:
        """As the metrics see it; None for a map that is missing or failed."""
        raw = self.raw(at)
        if raw is None or invalid(raw[None], self._sign)[0]:
            return None
        one: Floats = normalise(raw[None], self._sign)[0]
        return one


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
