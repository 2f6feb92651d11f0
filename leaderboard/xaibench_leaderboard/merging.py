"""One results folder from several: cells made on different machines become one board, and conflicts are named.

A key is the same on every machine for the same work, so cells are simply laid side by side. Where both folders hold a
shard of one key, it should say the same; where it does not, the first folder's stays and the conflict is told.
"""

from __future__ import annotations

import shutil
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xaibench.errors import DataError, UsageError
from xaibench.files import read_json
from xaibench.store import Store, check_schema
from xaibench_leaderboard.links import refuse_links
from xaibench_leaderboard.verifying import compare_scores

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from xaibench.store import Shard

COST = ("seconds", "forward", "backward", "batch_size", "environment")  # of one machine: no conflict
STORED = {*COST, "maps"}  # how maps are kept is no conflict either: what they are is
LABELS = ("task", "fold", "model", "precision")


@dataclass(frozen=True)
class Conflict:
    """Two folders say different things."""

    what: str
    detail: str


def merge(folders: Sequence[Path], out: Path) -> list[Conflict]:
    """Lay the folders together in `out`, earlier ones first, and return what they disagree on."""
    _check(folders, out)
    target = Store(out).open()
    conflicts = [*_other_weights(folders)]
    for folder in folders:
        source = Store(folder)
        for key in _keys(folder):
            conflicts += _take_cell(source, target, key)
        for name in ("environments", "audits", "runs"):
            conflicts += [
                found for path in sorted((folder / name).glob("*.json")) if (found := _take(path, out / name))
            ]
    return conflicts


def _check(folders: Sequence[Path], out: Path) -> None:
    for folder in folders:
        marker = read_json(folder / "xaibench.json")
        if marker is None:
            msg = f"{folder} is not a results folder; `xaibench run --out {folder}` makes one"
            raise DataError(msg)
        check_schema(folder, marker)
        refuse_links(folder)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        msg = f"--out {out}: it is there already and not empty; name a new folder"
        raise UsageError(msg)


def _keys(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "cells").glob("??/*") if path.is_dir())


def _take_cell(source: Store, target: Store, key: str) -> Iterator[Conflict]:
    mine, theirs = source.folder(key), target.folder(key)
    theirs.mkdir(parents=True, exist_ok=True)
    for path in sorted(mine.iterdir()):
        place = theirs / path.name
        if not place.exists():
            _copy(path, place)
        elif path.is_dir() and (detail := _disagreement(source, target, key, path.name)):
            yield Conflict(_name(source, key), f"{path.name}: {detail}; the first folder's is kept")


def _copy(path: Path, place: Path) -> None:
    """A file or a shard, whole or not at all."""
    beside = place.with_name(f".{place.name}.{uuid.uuid4().hex}")
    if path.is_dir():
        shutil.copytree(path, beside)
    else:
        shutil.copyfile(path, beside)
    beside.rename(place)


def _disagreement(source: Store, target: Store, key: str, name: str) -> str:
    """Why two shards of one name are not the same; "" if they are, but for their cost."""
    start, _, stop = name.partition("-")
    shards = [store.shard(key, int(start), int(stop)) for store in (target, source)]
    if None in shards:
        return "one of them is damaged"
    one, other = (shard for shard in shards if shard)
    if "values" in one.record:
        # Times differ between machines, and with them the scores that are times.
        cost = (target.description(key) or {}).get("cards", {}).get("metric", {}).get("family") == "cost"
        return "" if cost else compare_scores(one, other)
    return _other_maps(one, other)


def _other_maps(one: Shard, other: Shard) -> str:
    mine, theirs = ({k: v for k, v in shard.record.items() if k not in STORED} for shard in (one, other))
    names = [name for name in mine if mine[name] != theirs.get(name)]
    names += [] if _same_maps(one, other) else ["maps"]
    return f"other {' and '.join(names)}" if names else ""


def _same_maps(one: Shard, other: Shard) -> bool:
    """Packed or not, and under whatever file's name; where one has dropped them there is nothing to disagree on."""
    if not (one.has_maps and other.has_maps) or one.record["maps"]["digest"] == other.record["maps"]["digest"]:
        return True
    return bool(np.array_equal(one.maps(), other.maps(), equal_nan=True))


def _name(store: Store, key: str) -> str:
    labels: dict[str, Any] = (store.description(key) or {}).get("labels", {})
    names = [labels[name] for name in ("task", "model", "explainer", "metric") if name in labels]
    return f"{' · '.join(names)} ({key[:12]})"


def _take(path: Path, folder: Path) -> Conflict | None:
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / path.name
    if not place.exists():
        _copy(path, place)
        return None
    mine, theirs = read_json(path), read_json(place)
    same = mine == theirs or (folder.name == "audits" and _verdict(mine) == _verdict(theirs))
    return None if same else Conflict(f"{folder.name}/{path.name}", "differs; the first folder's is kept")


def _verdict(audit: Any) -> Any:
    """What an audit found, without when."""
    return {name: value for name, value in audit.items() if name != "at"} if isinstance(audit, dict) else audit


def _other_weights(folders: Sequence[Path]) -> Iterator[Conflict]:
    """Models of one name with different weights or data: their rows meet on one board, and are not ranked together."""
    found: dict[tuple[str, ...], dict[str, Path]] = {}
    for folder in folders:
        for run in Store(folder).runs():
            for subject in run["subjects"]:
                labels = tuple(subject["labels"].get(name, "") for name in LABELS)
                found.setdefault(labels, {}).setdefault(subject["key"], folder)
    for labels, keys in found.items():
        if len(keys) > 1:
            places = ", ".join(f"{folder} ({key[:12]})" for key, folder in keys.items())
            detail = f"other weights, data or version in {places}: the newest run counts, and older rows are not ranked"
            yield Conflict(f"{labels[2]} on {labels[0]}, fold {labels[1]}", detail)
