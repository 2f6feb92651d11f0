"""The results folder: plain files are the truth, and a half-written one is never read.

    OUT/xaibench.json                              what this folder is
        runs/<time>-<id>.json                      what was asked, planned, and how it ended
        environments/<digest>.json                 on what it ran
        audits/<key>.json                          verdicts on metrics
        cells/<2>/<key>/cell.json                  what the key stands for
                        000000-000032/record.json  a finished shard of the cell: ids, values, costs
                                      maps.npy     heatmaps, for explain cells
                        trouble.json               the last attempt that did not finish, with its traceback
        tmp/                                       work in progress, moved into place by one rename

A cell's samples have a fixed order, cut into shards of `SHARD` samples. A shard is the unit of work that is finished
or not there; a run with a smaller `--limit` is a beginning of a larger one.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xaibench import __version__
from xaibench.errors import DataError
from xaibench.files import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from xaibench.contracts import Floats, Status

SCHEMA = 1
SHARD = 32
STALE_SECONDS = 24 * 3600.0  # unfinished work older than this belongs to a process that died


@dataclass(frozen=True)
class Shard:
    """Finished work on the samples `start` to `stop` of a cell."""

    folder: Path
    start: int
    stop: int
    record: Mapping[str, Any]

    def column(self, name: str) -> list[Any]:
        """One value per sample of the span."""
        values: list[Any] = self.record[name][: self.stop - self.start]
        return values

    def maps(self) -> Floats:
        """The heatmaps [stop - start, H, W], checked against the digest taken when they were written."""
        import numpy as np  # resuming a finished run reads records only, and must not pay for numpy

        content = (self.folder / "maps.npy").read_bytes()
        if _digest(content) != self.record["maps"]["digest"]:
            msg = f"{self.folder / 'maps.npy'} is not what was written; remove the folder {self.folder} and run again"
            raise DataError(msg)
        maps: Floats = np.load(self.folder / "maps.npy", allow_pickle=False)
        return maps[: self.stop - self.start]


class Store:
    """One results folder. Any number of processes may use it at once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self) -> Store:
        """Make the folder, prove that it can be written, and clear what dead processes left."""
        marker = self.root / "xaibench.json"
        found = read_json(marker)
        if found is not None:
            check_schema(self.root, found)
        try:
            (self.root / "tmp").mkdir(parents=True, exist_ok=True)
            if found is None:
                write_json(marker, {"schema": SCHEMA, "created_by": f"xaibench {__version__}"})
            (probe := self.root / "tmp" / uuid.uuid4().hex).mkdir()
            probe.rmdir()
        except OSError as error:
            msg = f"cannot write results to {self.root}: {error.strerror}; choose another folder with --out"
            raise DataError(msg) from error
        self._sweep()
        return self

    def _sweep(self) -> None:
        for leftover in (self.root / "tmp").iterdir():
            with contextlib.suppress(FileNotFoundError):  # its owner has just moved it into place
                if time.time() - leftover.stat().st_mtime > STALE_SECONDS:
                    shutil.rmtree(leftover, ignore_errors=True)

    # ------------------------------------------------------------------------------------------------------- cells

    def folder(self, key: str) -> Path:
        """Where a cell lives."""
        return self.root / "cells" / key[:2] / key

    def describe(self, key: str, description: Mapping[str, Any]) -> None:
        """Say what the key stands for; once, for it never changes."""
        path = self.folder(key) / "cell.json"
        if not path.exists():
            write_json(path, description)

    def description(self, key: str) -> dict[str, Any] | None:
        """What the key stands for."""
        found = read_json(self.folder(key) / "cell.json")
        return found if isinstance(found, dict) else None

    def shard(self, key: str, start: int, stop: int) -> Shard | None:
        """The finished shard that covers these samples: the very one, or a longer one with the same start."""
        for length, folder in sorted(self._shards_from(key, start)):
            if start + length >= stop and (record := _sound_record(folder)) is not None:
                return Shard(folder, start, stop, record)
        return None

    def _shards_from(self, key: str, start: int) -> Iterator[tuple[int, Path]]:
        for folder in self.folder(key).glob(f"{start:06d}-*"):
            if found := re.fullmatch(r"\d+-(\d+)", folder.name):  # a copy someone made by hand is no shard
                yield int(found[1]) - start, folder

    def shards(self, key: str, count: int) -> list[Shard] | None:
        """All shards of the first `count` samples, or None if one is missing."""
        found = [self.shard(key, start, stop) for start, stop in spans(count)]
        return None if None in found else [shard for shard in found if shard]

    def missing(self, key: str, count: int) -> list[tuple[int, int]]:
        """The spans of samples which are still to be done."""
        return [span for span in spans(count) if self.shard(key, *span) is None]

    def commit(self, key: str, span: tuple[int, int], record: dict[str, Any], maps: Floats | None = None) -> None:
        """Put a finished shard in place by one rename. If another process was faster, its shard stays."""
        start, stop = span
        beside = self.root / "tmp" / f"{key}-{uuid.uuid4().hex}"
        beside.mkdir()
        if maps is not None:
            record = {**record, "maps": _write_maps(beside / "maps.npy", maps)}
        write_json(beside / "record.json", record)
        target = self.folder(key) / f"{start:06d}-{stop:06d}"
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and _sound_record(target) is None:
            self._set_aside(target)
        try:
            beside.rename(target)
        except OSError:
            if _sound_record(target) is None:
                raise
            shutil.rmtree(beside)

    def _set_aside(self, damaged: Path) -> None:
        """Keep a damaged shard for whoever wants to know, out of the way of the one to come."""
        target = self.root / "damaged" / f"{damaged.parent.name}-{damaged.name}-{uuid.uuid4().hex}"
        target.parent.mkdir(exist_ok=True)
        damaged.rename(target)

    def trouble(self, key: str, status: Status, reason: str, traceback: str) -> None:
        """Record an attempt that did not finish."""
        write_json(
            self.folder(key) / "trouble.json",
            {"status": status, "reason": reason, "traceback": traceback, "at": time.time()},
        )

    def troubles(self, key: str) -> dict[str, Any] | None:
        """The last attempt that did not finish."""
        found = read_json(self.folder(key) / "trouble.json")
        return found if isinstance(found, dict) else None

    # -------------------------------------------------------------------------------------------- runs, environments

    def save_run(self, run_id: str, record: Mapping[str, Any]) -> None:
        """Write what was asked, planned and done."""
        write_json(self.root / "runs" / f"{run_id}.json", record)

    def runs(self) -> list[dict[str, Any]]:
        """All run records, oldest first."""
        found = [read_json(path) for path in sorted((self.root / "runs").glob("*.json"))]
        return [record for record in found if isinstance(record, dict)]

    def save_environment(self, digest: str, record: Mapping[str, Any]) -> None:
        """Keep an environment once, under its digest."""
        path = self.root / "environments" / f"{digest}.json"
        if not path.exists():
            write_json(path, record)

    def save_audit(self, key: str, verdict: Mapping[str, Any]) -> None:
        """Keep the verdict on a metric."""
        write_json(self.root / "audits" / f"{key}.json", verdict)

    def audit(self, key: str) -> dict[str, Any] | None:
        """The verdict under a key."""
        found = read_json(self.root / "audits" / f"{key}.json")
        return found if isinstance(found, dict) else None

    def audits(self) -> list[dict[str, Any]]:
        """All verdicts."""
        found = [read_json(path) for path in sorted((self.root / "audits").glob("*.json"))]
        return [verdict for verdict in found if isinstance(verdict, dict)]

    def environment(self, digest: str) -> dict[str, Any]:
        """An environment by its digest; empty if it is not there."""
        found = read_json(self.root / "environments" / f"{digest}.json")
        return found if isinstance(found, dict) else {}


def check_schema(root: Path, marker: Any) -> None:
    """Refuse what another version wrote."""
    schema = marker.get("schema") if isinstance(marker, dict) else None
    if schema != SCHEMA:
        msg = f"{root} holds results of schema {schema}; this version reads {SCHEMA}"
        raise DataError(msg)


def spans(count: int) -> list[tuple[int, int]]:
    """The shards of `count` samples."""
    return [(start, min(start + SHARD, count)) for start in range(0, count, SHARD)]


def _write_maps(path: Path, maps: Floats) -> dict[str, Any]:
    import numpy as np

    np.save(path, maps, allow_pickle=False)
    content = path.read_bytes()
    return {"digest": _digest(content), "bytes": len(content)}


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _sound_record(folder: Path) -> dict[str, Any] | None:
    """The record of a shard whose files are all there in full length."""
    record = read_json(folder / "record.json")
    if not isinstance(record, dict):
        return None
    if (maps := record.get("maps")) is not None:
        path = folder / "maps.npy"
        if not path.exists() or path.stat().st_size != maps["bytes"]:
            return None
    return record
