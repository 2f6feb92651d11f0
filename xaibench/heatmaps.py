"""The maps of a results folder, with what they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xaibench.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from xaibench.contracts import Floats

NAMES = ("task", "fold", "model", "precision", "explainer", "target")


@dataclass(frozen=True)
class Heatmaps:
    """The maps that one explainer has made: raw, as it returned them."""

    labels: Mapping[str, str]  # by NAMES
    ids: tuple[str, ...]
    targets: tuple[int, ...]  # the class each explains
    classes: tuple[str, ...]
    maps: Floats  # [images, rows, columns]


def heatmaps_of(folder: Path, **wanted: str) -> Iterator[Heatmaps]:
    """All finished maps of a results folder, or those whose labels are as wanted; the newest of each."""
    store = Store(folder)
    rows, classes = _rows(store)
    for row in rows:
        labels = {name: str(row["labels"].get(name, "")) for name in NAMES}
        if any(labels.get(name) != value for name, value in wanted.items()):
            continue
        if found := _read(store, row):
            yield Heatmaps(labels, *found[:2], classes[labels["task"]], found[2])


def _rows(store: Store) -> tuple[list[dict[str, Any]], dict[str, tuple[str, ...]]]:
    """The newest plain explain cell of every label, and the classes of every task."""
    newest: dict[tuple[str, ...], dict[str, Any]] = {}
    classes: dict[str, tuple[str, ...]] = {}
    for run in store.runs():
        classes |= {subject["labels"]["task"]: tuple(subject["classes"]) for subject in run["subjects"]}
        for row in run["cells"]:
            if row["kind"] == "explain" and not row["labels"].get("variant"):
                newest[tuple(row["labels"].get(name, "") for name in NAMES)] = row
    return list(newest.values()), classes


def _read(store: Store, row: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[int, ...], Floats] | None:
    import numpy as np  # whoever only asks for names must not pay for it

    shards = store.shards(row["key"], row["count"])
    if not shards:
        return None
    ids = tuple(name for shard in shards for name in shard.column("ids"))
    targets = tuple(target for shard in shards for target in shard.column("targets"))
    return ids, targets, np.concatenate([shard.maps() for shard in shards])
