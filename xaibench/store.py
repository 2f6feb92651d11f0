"""Results as plain files: these are the truth, and a half-written one is never read.

    OUT/xaibench.json                              what this folder is
        runs/<time>-<id>.json                      what was asked, planned, and how it ended
        environments/<digest>.json                 on what it ran
        audits/<key>.json                          verdicts on metrics
        cells/<2>/<key>/cell.json                  what the key stands for
                        000000-000032/record.json  a finished shard of the cell: ids, values, costs
                                      maps.npy     heatmaps, for explain cells
                        trouble.json               the last attempt that did not finish, with its traceback
        damaged/                                   shards that were not what had been written, set aside
        tmp/                                       work in progress, moved into place by one rename

OUT is a folder or a URL (see `xaibench.places`). A cell's samples have a fixed order, cut into shards of `SHARD`
samples. A shard is the unit of work that is finished or not there; a run with a smaller `--limit` is a beginning of a
larger one.
"""

from __future__ import annotations

import contextlib
import re
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xaibench import __version__
from xaibench.errors import Damaged, DataError, StorageError, UsageError
from xaibench.files import from_json, sealed, to_json, unsealed
from xaibench.places import LocalFiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from xaibench.contracts import Floats, Status
    from xaibench.mapfiles import Coding
    from xaibench.places import Files, Location

SCHEMA = 1
SHARD = 32
STALE_SECONDS = 24 * 3600.0  # unfinished work older than this belongs to a process that died
MARKER, DROPPED = "xaibench.json", "dropped.json"
NAMED = re.compile(r"(\d+)-(\d+)")


@dataclass(frozen=True)
class Shard:
    """Finished work on the samples `start` to `stop` of a cell."""

    files: Files
    name: str
    start: int
    stop: int
    record: Mapping[str, Any]

    def column(self, name: str) -> list[Any]:
        """One value per sample of the span."""
        values: list[Any] = self.record[name][: self.stop - self.start]
        return values

    @property
    def has_maps(self) -> bool:
        """Whether there are maps, and they were kept."""
        return "maps" in self.record and not self.record["maps"].get("dropped")

    def maps(self) -> Floats:
        """The heatmaps [stop - start, H, W], checked against the digest taken when they were written."""
        from xaibench.mapfiles import decode  # resuming a finished run reads records only, and must not pay for numpy

        name = f"{self.name}/{maps_file(self.record)}"
        if not self.has_maps:
            msg = f"{name} was not kept (--maps none); `xaibench run` with --maps exact and another --out keeps it"
            raise DataError(msg)
        content = self.files.read(name)
        try:
            if content is None:
                raise Damaged("is not there any more")
            return decode(content, self.record["maps"])[: self.stop - self.start]
        except Damaged as error:
            msg = f"{name} {error}; remove the folder {self.name} and run again"
            raise Damaged(msg) from error


class Store:
    """One results folder. Any number of processes may use it at once."""

    def __init__(self, root: Location) -> None:
        self.root = root
        self.files = files_of(root)

    def open(self) -> Store:
        """Make the folder, prove that it can be written, and clear what dead processes left."""
        found = from_json(self.files.read(MARKER))
        if found is not None:
            check_schema(self.root, found)
        self.files.prepare()
        if found is None:
            self.files.write(MARKER, to_json({"schema": SCHEMA, "created_by": f"xaibench {__version__}"}))
        self.files.sweep(STALE_SECONDS)
        return self

    def check(self) -> Store:
        """Refuse what is no results folder, or another version's."""
        found = from_json(self.files.read(MARKER))
        if found is None:
            msg = f"{self.root} is not a results folder; `xaibench run --out {self.root}` makes one"
            raise DataError(msg)
        check_schema(self.root, found)
        return self

    # ------------------------------------------------------------------------------------------------------- cells

    def folder(self, key: str) -> Path:
        """Where a cell lives on this machine."""
        if not isinstance(self.root, Path):
            msg = f"{self.root} is no local folder; copy it here first, or name another"
            raise UsageError(msg)
        return self.root / cell_name(key)

    def describe(self, key: str, description: Mapping[str, Any]) -> None:
        """Say what the key stands for; once, for it never changes."""
        name = f"{cell_name(key)}/cell.json"
        if self.files.size(name) is None:
            self.files.write(name, to_json(description))

    def description(self, key: str) -> dict[str, Any] | None:
        """What the key stands for."""
        return _mapping(self.files.read(f"{cell_name(key)}/cell.json"))

    def damaged_description(self, key: str) -> bool:
        """Whether it was said what the key stands for, and can no longer be read."""
        return self.files.size(f"{cell_name(key)}/cell.json") is not None and self.description(key) is None

    def shard(self, key: str, start: int, stop: int) -> Shard | None:
        """The finished shard that covers these samples: the very one, or a longer one with the same start."""
        name = shard_name(key, start, stop)
        if (record := self._sound(name, self.files.read(f"{name}/record.json"), None)) is not None:
            return Shard(self.files, name, start, stop, record)
        # Only the last shard of a cell is shorter than others, and so may have been made longer by a larger run.
        return None if stop - start == SHARD else next(self._found(key, [(start, stop)]))

    def shards(self, key: str, count: int) -> list[Shard] | None:
        """All shards of the first `count` samples, or None if one is missing."""
        found = list(self._found(key, spans(count)))
        return None if None in found else [shard for shard in found if shard]

    def every_shard(self, key: str, count: int) -> Iterator[Shard | None]:
        """The shards of the first `count` samples, one at a time; None for one that is missing."""
        return self._found(key, spans(count))

    def each_shard(self, key: str, count: int) -> Iterator[Shard]:
        """Those of them that are finished."""
        return filter(None, self.every_shard(key, count))

    def missing(self, key: str, count: int, part: tuple[int, int] | None = None) -> list[tuple[int, int]]:
        """The spans of samples which are still to be done; of a part of the cell, those that begin in it."""
        asked = spans(count)
        if part is not None:
            asked = [span for span in asked if part[0] <= span[0] < part[1]]
        if part is not None or len(asked) == 1:  # a look at each is less than a list of all that the cell has
            return [span for span in asked if self.shard(key, *span) is None]
        return [span for span, shard in zip(asked, self._found(key, asked), strict=True) if shard is None]

    def _found(self, key: str, asked: Sequence[tuple[int, int]]) -> Iterator[Shard | None]:
        """For every span the shortest sound shard that covers it; the cell is listed once."""
        cell = cell_name(key)
        sizes = self.files.tree(cell)
        found = _candidates(sizes)
        names = [_fitting(found, *span) for span in asked]
        first = self.files.read_each(f"{cell}/{some[0]}/record.json" for some in names if some)
        for (start, stop), some in zip(asked, names, strict=True):
            yield self._shortest(cell, start, stop, some, next(first), sizes) if some else None

    def _shortest(
        self, cell: str, start: int, stop: int, names: list[str], first: bytes | None, sizes: Mapping[str, int]
    ) -> Shard | None:
        for name in names:
            content = first if name == names[0] else self.files.read(f"{cell}/{name}/record.json")
            if (record := self._sound(f"{cell}/{name}", content, sizes)) is not None:
                return Shard(self.files, f"{cell}/{name}", start, stop, record)
        return None

    def _sound(self, name: str, content: bytes | None, sizes: Mapping[str, int] | None) -> dict[str, Any] | None:
        """The record of a shard, if it is whole and its maps are there in full length."""
        record = unsealed(content)
        if record is None or not (maps := record.get("maps")) or maps.get("dropped"):
            return record
        file = maps_file(record)
        size = self.files.size(f"{name}/{file}") if sizes is None else sizes.get(f"{name.rpartition('/')[2]}/{file}")
        return record if size == maps["bytes"] else None

    def commit(
        self,
        key: str,
        span: tuple[int, int],
        record: dict[str, Any],
        maps: Floats | None = None,
        coding: Coding = "exact",
    ) -> None:
        """Put a finished shard in place at once. If another process was faster, its shard stays."""
        name, contents = shard_name(key, *span), {}
        if maps is not None:
            from xaibench.mapfiles import encode

            file, content, facts = encode(maps, coding)
            if not self.files.renames:  # two writers must not mix one's maps with the other's record
                file = f"{facts['digest']}-{file}"
            contents[file] = content
            record = {**record, "maps": facts if file == "maps.npy" else {**facts, "file": file}}
        contents["record.json"] = sealed(record)
        if self.files.exists(name):
            if self._whole(name):
                return
            if self.files.renames:  # elsewhere it may be another one's work, whose record is yet to come
                self.set_aside(name)
        try:
            self.files.publish(name, contents)
        except StorageError:
            raise
        except OSError as error:
            if not self._whole(name):
                msg = f"cannot write results to {self.root}: {name} is in the way ({error.strerror}); remove it"
                raise StorageError(msg) from error

    def _whole(self, name: str) -> bool:
        return self._sound(name, self.files.read(f"{name}/record.json"), None) is not None

    # ------------------------------------------------------------------------------------- maps that need not be kept

    def drop_maps(self, key: str, count: int) -> None:
        """Remove the maps of finished shards, and say so in their records."""
        self.files.write(DROPPED, to_json({"why": "some runs kept no maps"}))
        for shard in self.each_shard(key, count):
            if shard.has_maps:
                record = {**shard.record, "maps": {**shard.record["maps"], "dropped": True}}
                self.files.write(f"{shard.name}/record.json", sealed(record))
                self.files.remove(f"{shard.name}/{maps_file(record)}")

    def has_dropped(self) -> bool:
        """Whether the maps of some cells were dropped."""
        return self.files.size(DROPPED) is not None

    def forget_dropped(self, key: str, count: int) -> None:
        """Let the shards whose maps were dropped be missing."""
        for shard in self.each_shard(key, count):
            if "maps" in shard.record and not shard.has_maps:
                self.files.remove(shard.name)

    def set_aside(self, name: str) -> None:
        """Keep a damaged shard for whoever wants to know, out of the way of the one to come."""
        _, cell, shard = name.rsplit("/", 2)
        self.files.move(name, f"damaged/{cell}-{shard}-{uuid.uuid4().hex}")

    def trouble(self, key: str, status: Status, reason: str, traceback: str) -> None:
        """Note an attempt that did not finish. It is a note: where nothing can be written, the outcome tells alone."""
        content = {"status": status, "reason": reason, "traceback": traceback, "at": time.time()}
        with contextlib.suppress(StorageError):
            self.files.write(f"{cell_name(key)}/trouble.json", to_json(content))

    def troubles(self, key: str) -> dict[str, Any] | None:
        """The last attempt that did not finish."""
        return _mapping(self.files.read(f"{cell_name(key)}/trouble.json"))

    # -------------------------------------------------------------------------------------------- runs, environments

    def save_run(self, run_id: str, record: Mapping[str, Any]) -> None:
        """Write what was asked, planned and done."""
        self.files.write(f"runs/{run_id}.json", to_json(record))

    def runs(self) -> list[dict[str, Any]]:
        """All run records, oldest first."""
        return self._all("runs")

    def save_environment(self, digest: str, record: Mapping[str, Any]) -> None:
        """Keep an environment once, under its digest."""
        name = f"environments/{digest}.json"
        if self.files.size(name) is None:
            self.files.write(name, to_json(record))

    def save_audit(self, key: str, verdict: Mapping[str, Any]) -> None:
        """Keep the verdict on a metric."""
        self.files.write(f"audits/{key}.json", to_json(verdict))

    def audit(self, key: str) -> dict[str, Any] | None:
        """The verdict under a key."""
        return _mapping(self.files.read(f"audits/{key}.json"))

    def audits(self) -> list[dict[str, Any]]:
        """All verdicts."""
        return self._all("audits")

    def environment(self, digest: str) -> dict[str, Any]:
        """An environment by its digest; empty if it is not there."""
        return _mapping(self.files.read(f"environments/{digest}.json")) or {}

    def _all(self, folder: str) -> list[dict[str, Any]]:
        names = sorted(name for name in self.files.tree(folder) if re.fullmatch(r"[^./][^/]*\.json", name))
        found = map(_mapping, self.files.read_each(f"{folder}/{name}" for name in names))
        return [record for record in found if record is not None]


def files_of(location: Location) -> Files:
    """What reads and writes there."""
    if isinstance(location, Path):
        return LocalFiles(location)
    from xaibench.remote import RemoteFiles  # fsspec is an extra, and local runs need not wait for it

    return RemoteFiles(location)


def check_schema(root: Location, marker: Any) -> None:
    """Refuse what another version wrote."""
    schema = marker.get("schema") if isinstance(marker, dict) else None
    if schema != SCHEMA:
        msg = f"{root} holds results of schema {schema}; this version reads {SCHEMA}"
        raise DataError(msg)


def spans(count: int) -> list[tuple[int, int]]:
    """The shards of `count` samples."""
    return [(start, min(start + SHARD, count)) for start in range(0, count, SHARD)]


def cell_name(key: str) -> str:
    """Where a cell lives in a results folder. Keys come from records that a stranger may have written."""
    if not re.fullmatch(r"[\w-]+", key):
        msg = f"{key!r} is no key of a cell: the records of this folder were not written by xaibench"
        raise DataError(msg)
    return f"cells/{key[:2]}/{key}"


def shard_name(key: str, start: int, stop: int) -> str:
    """Where a shard lives in a results folder."""
    return f"{cell_name(key)}/{start:06d}-{stop:06d}"


def maps_file(record: Mapping[str, Any]) -> str:
    """The file that holds the maps of a shard, which lies in its folder whatever a record says."""
    name = str(record["maps"].get("file", "maps.npy"))
    return name if re.fullmatch(r"[\w-]+(\.[\w-]+)*", name) else "maps.npy"


def _candidates(files: Mapping[str, int]) -> dict[int, list[tuple[int, str]]]:
    """By where they start, the shards of a cell: where they stop, and their folders, shortest first."""
    found: dict[int, list[tuple[int, str]]] = {}
    for name in files:
        folder, _, file = name.partition("/")
        if file == "record.json" and (named := NAMED.fullmatch(folder)):  # a copy made by hand is no shard
            found.setdefault(int(named[1]), []).append((int(named[2]), folder))
    return {start: sorted(some) for start, some in found.items()}


def _fitting(found: Mapping[int, list[tuple[int, str]]], start: int, stop: int) -> list[str]:
    return [name for end, name in found.get(start, []) if end >= stop]


def _mapping(content: bytes | None) -> dict[str, Any] | None:
    found = from_json(content)
    return found if isinstance(found, dict) else None
