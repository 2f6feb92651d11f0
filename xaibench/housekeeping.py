"""What lies in a results folder: how much of it, whether it is sound, and what nobody needs any more."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xaibench.errors import Damaged, DataError
from xaibench.files import from_json, sealed, unsealed
from xaibench.store import DROPPED, MARKER, SHARD, Shard, maps_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from xaibench.store import Store

SHARD_FILE = re.compile(r"cells/(..)/(\1[^/]*)/(\d+-\d+)/([^/]+)")
CELL_FILE = re.compile(r"cells/(..)/(\1[^/]*)/(cell\.json|trouble\.json)")
LISTS = ("runs", "environments", "audits")
COLUMNS = ("ids", "patients", "truth", "logits", "targets", "seeds", "seconds", "applies", "flaws", "values")


@dataclass(frozen=True)
class Use:
    """Bytes of the cells that share a value."""

    by: str
    name: str
    cells: int
    bytes: int


@dataclass(frozen=True)
class Waste:
    """Something that no finished work needs."""

    name: str
    bytes: int
    why: str


@dataclass(frozen=True)
class Fault:
    """Something in a results folder that is not as it should be."""

    name: str
    what: str


# ------------------------------------------------------------------------------------------------------------ how much


def usage(store: Store) -> list[Use]:
    """Bytes by kind of cell, by model, by explainer; and of what is no cell."""
    sizes: dict[str, int] = {}
    rest: Counter[str] = Counter()
    for name, size in store.files.tree().items():
        parts = name.split("/")
        if parts[0] == "cells" and len(parts) > 3:
            sizes[parts[2]] = sizes.get(parts[2], 0) + size
        else:
            rest[parts[0] if len(parts) > 1 else "other files"] += size
    found: dict[tuple[str, str], list[int]] = {}
    for key, size in sizes.items():
        for by, name in _kinds(store.description(key)):
            found.setdefault((by, name), []).append(size)
    uses = [Use(by, name, len(some), sum(some)) for (by, name), some in found.items()]
    uses += [Use("other", name, 0, size) for name, size in rest.items()]
    return sorted(uses, key=lambda use: (use.by, -use.bytes, use.name))


def _kinds(description: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if description is None:
        return [("kind", "unknown")]
    labels = description["labels"]
    named = [(by, str(labels[by])) for by in ("model", "explainer") if by in labels]
    return [("kind", str(description["identity"].get("kind", "unknown"))), *named]


# -------------------------------------------------------------------------------------------------------- what is waste


def waste(store: Store) -> list[Waste]:
    """Cells of no recorded run, attempts that failed before the work was done, and what was damaged or half-written."""
    sizes = store.files.tree()
    if torn := [name for name in sizes if name.startswith("runs/") and from_json(store.files.read(name)) is None]:
        msg = f"{torn[0]} is torn or altered: which cells it needs is not known; remove it, and the rest is looked at"
        raise DataError(msg)
    known, counts = _referred(store), _finished(store, sizes)
    found = []
    for name, size in sorted(sizes.items()):
        if why := _useless(store, name, known, counts):
            found.append(Waste(name, size, why))
    return found


def _useless(store: Store, name: str, known: set[str], finished: set[str]) -> str:
    """Why a file can go; "" if it cannot."""
    if name.startswith("damaged/"):
        return "damaged work, set aside"
    if name.startswith("tmp/"):
        return "half-written work; remove it only while nothing runs"
    if not name.startswith("cells/"):
        return ""
    shard, plain = SHARD_FILE.fullmatch(name), CELL_FILE.fullmatch(name)
    key = (shard or plain or [""] * 3)[2]
    if (shard or plain) and key not in known:
        return "no recorded run refers to its cell"
    if plain and plain[3] == "trouble.json" and key in finished:
        return "an attempt that failed; the work was done since"
    if shard and shard[4] != "record.json" and not _named(store, name, shard[4]):
        return "no record refers to it"
    return ""


def _named(store: Store, name: str, file: str) -> bool:
    """Whether the record beside it names this file of maps."""
    record = unsealed(store.files.read(f"{name.rpartition('/')[0]}/record.json"))
    return record is not None and "maps" in record and maps_file(record) == file and not record["maps"].get("dropped")


def _referred(store: Store) -> set[str]:
    """Keys of all recorded runs. A cell that is read by one of them is a cell of the same run."""
    return {row["key"] for run in store.runs() for part in ("subjects", "cells") for row in run[part]}


def _finished(store: Store, sizes: Mapping[str, int]) -> set[str]:
    """Keys of cells with a trouble behind them."""
    counts: dict[str, int] = {}
    for run in store.runs():
        for row in run["cells"]:
            counts[row["key"]] = max(row["count"], counts.get(row["key"], 0))
    troubled = {found[2] for name in sizes if (found := CELL_FILE.fullmatch(name)) and found[3] == "trouble.json"}
    return {key for key in troubled if key in counts and not store.missing(key, counts[key])}


def collect(store: Store, found: list[Waste]) -> int:
    """Remove it; the record of a shard first, so that what is left of it is never read. Returns the bytes freed."""
    for one in sorted(found, key=lambda one: not one.name.endswith("record.json")):
        store.files.remove(one.name)
    store.files.sweep(0.0)  # folders that are empty now
    return sum(one.bytes for one in found)


# -------------------------------------------------------------------------------------------------------- what is wrong


def faults(store: Store, progress: Callable[[int, int], None] = lambda _done, _all: None) -> Iterator[Fault]:
    """Read every file, and tell of each that is not what a run wrote."""
    names = sorted(store.files.tree())
    for done, name in enumerate(names):
        progress(done, len(names))
        if what := _fault(store, name):
            yield Fault(name, what)


def _fault(store: Store, name: str) -> str:
    top = name.partition("/")[0]
    if name in (MARKER, DROPPED) or top in LISTS:
        return "" if from_json(store.files.read(name)) is not None else "is no JSON: torn or altered"
    if top != "cells":
        return ""  # reports, work in progress or set aside, and whatever else a user keeps there
    if CELL_FILE.fullmatch(name):
        return "" if isinstance(from_json(store.files.read(name)), dict) else "is no JSON: torn or altered"
    if (shard := SHARD_FILE.fullmatch(name)) is None:
        return "was not written by xaibench"
    if shard[4] == "record.json":
        return _record_fault(store, name, shard[3])
    return "" if _named(store, name, shard[4]) else "was not written by xaibench, or its record is not whole"


def _record_fault(store: Store, name: str, span: str) -> str:
    content = store.files.read(name)
    record = unsealed(content)
    if record is None:
        return "is torn or altered: the shard counts as missing, and is made again"
    start, stop = map(int, span.split("-"))
    if not (start % SHARD == 0 and 0 < stop - start <= SHARD):
        return f"its folder {span} is no span of at most {SHARD} samples"
    for column in COLUMNS:
        if column in record and len(record[column]) != stop - start:
            return f"has {len(record[column])} {column} for {stop - start} samples"
    shard = Shard(store.files, name.rpartition("/")[0], start, stop, record)
    return _maps_fault(shard) if shard.has_maps else ""


def _maps_fault(shard: Shard) -> str:
    try:
        maps = shard.maps()
    except Damaged as error:
        return str(error)
    expected = shard.stop - shard.start
    return "" if maps.ndim == 3 and len(maps) == expected else f"has maps of shape {maps.shape} for {expected} samples"


# --------------------------------------------------------------------------------------------------------- older forms


def migrate(store: Store) -> list[str]:
    """Bring what earlier versions wrote to today's form, and name what was changed. A second time changes nothing.

    Schema 1 is the only one so far; its first records were not sealed, so that a changed number in them would not be
    noticed.
    """
    names = [f"cells/{name}" for name in sorted(store.files.tree("cells")) if name.endswith("/record.json")]
    return [name for name in names if SHARD_FILE.fullmatch(name) and _sealed_now(store, name)]


def _sealed_now(store: Store, name: str) -> bool:
    content = store.files.read(name) or b""
    record = unsealed(content)
    if record is None or content.startswith(b'{"seal": '):
        return False
    store.files.write(name, sealed(record))
    return True
