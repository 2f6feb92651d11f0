"""The maps of a results folder, with what they belong to."""

from __future__ import annotations

import csv
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from xaibench.errors import DataError
from xaibench.files import write_json
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


def export_maps(folder: Path, out: Path) -> list[Path]:
    """Write all maps of a results folder as files that `--explainers maps:FOLDER` reads; returns their folders.

    out/TASK/MODEL/EXPLAINER[, target and whatever else differs]/IMAGE.npy, with index.csv (id, file, target) and
    maps.json, which says whose maps they are.
    """
    every = list(heatmaps_of(folder))
    if not every:
        raise DataError(f"{folder} holds no finished maps; `xaibench run --out {folder}` makes them")
    varying = [name for name in ("fold", "precision", "target") if len({one.labels[name] for one in every}) > 1]
    folders: dict[Path, Heatmaps] = {}
    for one in every:
        last = " ".join([one.labels["explainer"], *(f"{name} {one.labels[name]}" for name in varying)])
        names = [_plain(name) for name in (one.labels["task"], one.labels["model"], last)]
        place = out.joinpath(*names)
        folders[place if place not in folders else place.with_name(f"{place.name}-{len(folders)}")] = one
    for place, one in folders.items():
        _write(one, place)
    return list(folders)


def _write(one: Heatmaps, folder: Path) -> None:
    import numpy as np

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "index.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(("id", "file", "target"))
        for name, target, values in zip(one.ids, one.targets, one.maps, strict=True):
            file = f"{_safe(name)}.npy"
            np.save(folder / file, values, allow_pickle=False)
            table.writerow((name, file, one.classes[target]))
    write_json(folder / "maps.json", dict(one.labels))


def _plain(label: str) -> str:
    """A label as a folder that can be typed without quotes; maps.json has it as it is."""
    return re.sub(r"[^\w.+-]+", "_", label).strip("_.")[:80]


def _safe(name: str) -> str:
    """The name of an image as that of a file on any system; a long or odd one keeps its beginning and gets a digest."""
    plain = quote(name, safe=" +")
    if len(plain) <= 100 and plain.strip(". ") == plain:
        return plain
    return f"{plain[:60].strip('. ')}-{hashlib.blake2b(name.encode(), digest_size=8).hexdigest()}"
