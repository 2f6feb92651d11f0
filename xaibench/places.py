"""Where results lie: a local folder, or a URL. The store speaks to both through `Files`, and asks neither what it is.

What is promised of both: a file is there whole or not at all, and a group of files that is published together is not
seen before the last of them is there. A local folder does it by one rename. An object store has no rename: the record,
which alone makes the rest count, is written last.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from xaibench.errors import StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


@dataclass(frozen=True)
class Url:
    """A place that is no local folder, such as `s3://bucket/results`."""

    text: str

    def __str__(self) -> str:
        return self.text

    @property
    def name(self) -> str:
        """Its last part, for people."""
        return self.text.rstrip("/").rpartition("/")[2]

    def is_dir(self) -> bool:
        """An object store knows no folders: whatever is asked for is there, and may be empty."""
        return True


Location: TypeAlias = Path | Url


def location_of(text: str) -> Location:
    """A path, or a URL; `file://` is a path."""
    scheme, found, rest = text.partition("://")
    if not found:
        return Path(text)
    if scheme == "file":
        return Path(rest)
    if not rest.strip("/"):
        msg = f"{text} names no folder; say where to, such as {scheme}://bucket/results"
        raise UsageError(msg)
    return Url(text.rstrip("/"))


class Files(Protocol):
    """Files under names such as `cells/ab/abcd/cell.json`. What cannot be read or written is a `StorageError`."""

    renames: bool  # a group of files comes into place by a rename, and so never meets another one's files

    def prepare(self) -> None:
        """Make the place, and prove that it can be written."""

    def sweep(self, older_than: float) -> None:
        """Clear what processes left that died so many seconds ago."""

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if there is none."""

    def read_each(self, names: Iterable[str]) -> Iterator[bytes | None]:
        """The same for several, in order."""

    def write(self, name: str, content: bytes) -> None:
        """Put a file in place, or replace it: a reader sees the old content or the new."""

    def publish(self, folder: str, contents: Mapping[str, bytes]) -> None:
        """Put a folder of files in place; the last one is what makes it count. OSError if the folder is there."""

    def size(self, name: str) -> int | None:
        """Bytes of a file; None if there is none."""

    def exists(self, name: str) -> bool:
        """Whether a file or a folder of that name is there."""

    def tree(self, folder: str = "") -> dict[str, int]:
        """All files below a folder with their sizes, by their names from it."""

    def move(self, name: str, to: str) -> None:
        """Move a file or folder."""

    def remove(self, name: str) -> None:
        """Remove a file or folder; it may be gone already."""


class LocalFiles:
    """A folder on this machine, or on a disk that several machines share."""

    renames = True

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self) -> None:
        """Make the place, and prove that it can be written."""
        with self._told("write results to"):
            (self.root / "tmp").mkdir(parents=True, exist_ok=True)
            (probe := self.root / "tmp" / uuid.uuid4().hex).mkdir()
            probe.rmdir()

    def sweep(self, older_than: float) -> None:
        """Clear what processes left that died so many seconds ago."""
        for leftover in (self.root / "tmp").glob("*"):
            with contextlib.suppress(FileNotFoundError):  # its owner has just moved it into place
                if time.time() - leftover.stat().st_mtime > older_than:
                    self.remove(f"tmp/{leftover.name}")

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if there is none."""
        try:
            with open(f"{self.root}/{name}", "rb") as file:  # noqa: PTH123  # half the time of Path.read_bytes
                return file.read()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            raise self._error("read results from", error) from error

    def read_each(self, names: Iterable[str]) -> Iterator[bytes | None]:
        """The same for several, in order."""
        return map(self.read, names)

    def write(self, name: str, content: bytes) -> None:
        """Write beside, then replace."""
        path = f"{self.root}/{name}"
        folder, _, last = path.rpartition("/")
        beside = f"{folder}/.{last}.{uuid.uuid4().hex}"
        with self._told("write results to"):
            try:
                _write(beside, content)
            except FileNotFoundError:
                self._make(folder)
                _write(beside, content)
            os.replace(beside, path)  # noqa: PTH105

    def publish(self, folder: str, contents: Mapping[str, bytes]) -> None:
        """Write beside, then put the folder in place by one rename."""
        target, beside = f"{self.root}/{folder}", f"{self.root / 'tmp'}/{uuid.uuid4().hex}"
        with self._told("write results to"):
            os.mkdir(beside)  # noqa: PTH102
            try:
                for name, content in contents.items():
                    _write(f"{beside}/{name}", content)
            except OSError:
                shutil.rmtree(beside, ignore_errors=True)  # a full disk needs the room
                raise
        try:
            self._into_place(beside, target)
        except (OSError, StorageError):
            shutil.rmtree(beside, ignore_errors=True)
            raise

    def _into_place(self, beside: str, target: str) -> None:
        """Most often the folder around it is there already."""
        try:
            os.rename(beside, target)  # noqa: PTH104
        except FileNotFoundError:
            with self._told("write results to"):
                self._make(target.rpartition("/")[0])
            os.rename(beside, target)  # noqa: PTH104

    def _make(self, folder: str) -> None:
        """Make a folder, but never the place itself: where that has vanished, it may be a disk that is away."""
        if not (self.root / "tmp").is_dir():
            raise FileNotFoundError
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103

    def size(self, name: str) -> int | None:
        """Bytes of a file; None if there is none."""
        try:
            return os.stat(f"{self.root}/{name}").st_size  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            return None

    def exists(self, name: str) -> bool:
        """Whether a file or a folder of that name is there."""
        return os.path.lexists(f"{self.root}/{name}")

    def tree(self, folder: str = "") -> dict[str, int]:
        """All files below a folder with their sizes, by their names from it."""
        try:
            return dict(_below(f"{self.root}/{folder}" if folder else str(self.root), ""))
        except OSError as error:
            raise self._error("read results from", error) from error

    def move(self, name: str, to: str) -> None:
        """Move a file or folder."""
        with self._told("write results to"):
            self._make(f"{self.root}/{to}".rpartition("/")[0])
            os.rename(f"{self.root}/{name}", f"{self.root}/{to}")  # noqa: PTH104

    def remove(self, name: str) -> None:
        """Remove a file or folder; it may be gone already."""
        path = self.root / name
        with self._told("write results to"), contextlib.suppress(FileNotFoundError):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    @contextlib.contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._error(doing, error) from error

    def _error(self, doing: str, error: OSError) -> StorageError:
        hint = "choose another folder with --out, or make room and right there; what is finished is kept"
        what = error.strerror or str(error)
        if isinstance(error, FileNotFoundError):
            what = "it is not there any more"
        elif isinstance(error, NotADirectoryError | FileExistsError | IsADirectoryError):
            what = f"{what}: {error.filename}"
        return StorageError(f"cannot {doing} {self.root}: {what}; {hint}")


def _write(path: str, content: bytes) -> None:
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(content)


def _below(folder: str, prefix: str) -> Iterator[tuple[str, int]]:
    """Files below a folder; what vanishes meanwhile is not there."""
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        with contextlib.suppress(FileNotFoundError):
            if entry.is_dir(follow_symlinks=not prefix):  # a cell may show another's shards; deeper links may loop
                yield from _below(entry.path, f"{prefix}{entry.name}/")
            else:
                yield f"{prefix}{entry.name}", entry.stat().st_size
