"""Where the files of a dataset lie: a folder, or an archive read in place. Names are relative, with slashes."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import tarfile
import uuid
import zipfile
import zlib
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

from xaibench.caching import cache_root
from xaibench.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LARGEST_MEMBER = 4 * 2**30  # bytes of one file: far above any film, far below what fills a disk
MOST_MEMBERS = 5_000_000
FREE_TOTAL = 4 * 2**30  # unpacked archives up to this size are never called bombs
LARGEST_RATIO = 200  # unpacked to packed; lesion masks alone reach 100
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
UNPACKERS: dict[str, Callable[..., Any]] = {"gz": gzip.open, "tgz": gzip.open, "bz2": bz2.open, "xz": lzma.open}
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, NotImplementedError)


class Source(Protocol):
    """Files by name."""

    path: Path

    def names(self) -> list[str]:
        """The names of all files, sorted."""

    def read(self, name: str) -> bytes:
        """The content of one file."""

    def size(self, name: str) -> int:
        """Its length in bytes."""

    def stamp(self, name: str) -> str:
        """Text that changes when the file is replaced; known without reading it."""

    def find(self, pattern: str) -> list[str]:
        """The names whose last parts match a glob, whatever case: `mdb*.pgm`, `AllXML/*.xml`."""


class _Named:
    """What all sources share."""

    path: Path

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _sizes(self) -> dict[str, int]:
        found = dict(self._list())
        if len(found) > MOST_MEMBERS:
            raise DataError(f"{self.path} holds {len(found)} files, more than the {MOST_MEMBERS} that are allowed")
        return dict(sorted(found.items()))

    def _list(self) -> Iterable[tuple[str, int]]:
        raise NotImplementedError

    def names(self) -> list[str]:
        """The names of all files, sorted."""
        return list(self._sizes)

    def size(self, name: str) -> int:
        """Its length in bytes."""
        if name not in self._sizes:
            raise DataError(f"{self.path} has no file {name!r}")
        return self._sizes[name]

    def stamp(self, name: str) -> str:
        """Text that changes when the file is replaced."""
        return f"{self.path.stat().st_mtime_ns}:{self.size(name)}"

    def find(self, pattern: str) -> list[str]:
        """The names whose last parts match a glob, whatever case."""
        wanted = pattern.lower()
        return [name for name in self._sizes if PurePosixPath(name.lower()).match(wanted)]

    def _readable(self, name: str) -> int:
        """The size of a file that may be read whole."""
        if (size := self.size(name)) > LARGEST_MEMBER:
            raise DataError(f"{self.path}: {name} has {size} bytes, more than the {LARGEST_MEMBER} that are allowed")
        return size


class Folder(_Named):
    """A folder, searched to the bottom."""

    def _list(self) -> Iterable[tuple[str, int]]:
        root = self.path.resolve()
        for parent, folders, files in os.walk(self.path):
            for name in (*folders, *files):
                where = Path(parent, name)
                if where.is_symlink() and not where.resolve().is_relative_to(root):
                    raise DataError(
                        f"{where} is a link that leads out of {self.path}: put the file itself there, or pass the "
                        "folder that really holds the data"
                    )
            for name in files:
                where = Path(parent, name)
                if where.is_file():
                    yield where.relative_to(self.path).as_posix(), where.stat().st_size

    def stamp(self, name: str) -> str:
        """Time of the last change, and size."""
        self.size(name)  # it is listed
        state = (self.path / name).stat()
        return f"{state.st_mtime_ns}:{state.st_size}"

    def read(self, name: str) -> bytes:
        """The content of one file that was listed."""
        self._readable(name)
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise DataError(f"{self.path / name} cannot be read: {error.strerror}") from error


class Zip(_Named):
    """A zip archive; each process opens it for itself."""

    _opened: tuple[int, zipfile.ZipFile] | None = None

    def _archive(self) -> zipfile.ZipFile:
        if self._opened is None or self._opened[0] != os.getpid():
            try:
                self._opened = (os.getpid(), zipfile.ZipFile(self.path))
            except DAMAGED as error:
                raise _damaged(self.path, error) from error
        return self._opened[1]

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name != "_opened"}

    def _list(self) -> Iterable[tuple[str, int]]:
        members = [member for member in self._archive().infolist() if not member.is_dir()]
        _refuse_bomb(self.path, sum(member.file_size for member in members))
        for member in members:
            is_link = (member.external_attr >> 28) == 0o12
            if is_link:
                raise DataError(f"{self.path}: {member.filename} is a link; unpack the archive and pass the folder")
            yield _safe_name(self.path, member.filename), member.file_size

    def read(self, name: str) -> bytes:
        """The content of one member; its checksum is verified."""
        self._readable(name)
        try:
            return self._archive().read(name)
        except (*DAMAGED, RuntimeError) as error:  # a locked member is a RuntimeError
            raise DataError(f"{self.path}: {name} cannot be read: {error}") from error


class Tar(_Named):
    """A tar archive. A packed one is unpacked once into the user's cache, as one plain tar with random access."""

    @cached_property
    def _plain(self) -> Path:
        unpacker = UNPACKERS.get(self.path.name.rsplit(".", 1)[-1].lower())
        return _unpacked(self.path, unpacker) if unpacker else self.path

    @cached_property
    def _offsets(self) -> dict[str, tuple[int, int]]:
        places: dict[str, tuple[int, int]] = {}
        try:
            with tarfile.open(self._plain, "r:") as archive:
                for member in archive:
                    name = _safe_name(self.path, member.name)
                    if member.islnk() or member.issym():
                        raise DataError(f"{self.path}: {name} is a link; unpack the archive and pass the folder")
                    if member.isfile():
                        places[name] = (member.offset_data, member.size)
        except DAMAGED as error:
            raise _damaged(self.path, error) from error
        return places

    def _list(self) -> Iterable[tuple[str, int]]:
        return ((name, size) for name, (_, size) in self._offsets.items())

    def read(self, name: str) -> bytes:
        """The content of one member."""
        size = self._readable(name)
        with self._plain.open("rb") as file:
            file.seek(self._offsets[name][0])
            content = file.read(size)
        if len(content) != size:
            raise DataError(f"{self.path}: {name} is cut off after {len(content)} of {size} bytes; fetch it again")
        return content


def open_source(path: str | Path) -> Source:
    """A folder or an archive, by what is there."""
    place = Path(path).expanduser()
    if place.is_dir():
        return _within(Folder(place))
    if not place.is_file():
        raise DataError(f"{place} does not exist; give a folder or an archive ({', '.join(ARCHIVES)})")
    if place.name.lower().endswith(".zip"):
        return Zip(place)
    if place.name.lower().endswith(ARCHIVES):
        return Tar(place)
    raise DataError(f"{place} is neither a folder nor an archive ({', '.join(ARCHIVES)})")


def locate(task: str, path: str, wanted: str, advice: str) -> Source:
    """The source of a task: `path`, else $XAIBENCH_DATA/<task>. It must hold a file such as `wanted`."""
    name = f"Then name the place: {task}(path=...), or set XAIBENCH_DATA to the folder that holds {task}/"
    place = place_of(task, path, f"{advice}\n{name}")
    if not place.exists():
        raise DataError(f"{task} finds no data at {place}: {advice}\n{name}")
    source = open_source(place)
    if not source.find(wanted):
        raise DataError(f"{source.path} holds no {wanted}: {advice}\n`xaibench data check {task} PATH` says more")
    return source


def place_of(task: str, path: str, advice: str = "name their place, or set XAIBENCH_DATA") -> Path:
    """Where the files of a task should be."""
    home = os.environ.get("XAIBENCH_DATA")
    if not path and not home:
        raise DataError(f"{task} needs data: {advice}")
    return Path(path or Path(home or "", task)).expanduser()


def _within(folder: Folder) -> Source:
    """The one archive that makes up nearly all of a folder, as it was fetched; else the folder."""
    archives = [name for name in folder.names() if "/" not in name and name.lower().endswith(ARCHIVES)]
    if len(archives) == 1 and folder.size(archives[0]) >= 0.9 * sum(map(folder.size, folder.names())):
        return open_source(folder.path / archives[0])
    return folder


def _safe_name(archive: Path, name: str) -> str:
    """Refuse names that would lead out of the archive, wherever it is unpacked."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or parts[0] == "/" or ".." in parts or "\0" in name or name[1:2] == ":":
        raise DataError(f"{archive}: the member {name!r} leads out of the archive; do not trust this file")
    return name


def _refuse_bomb(archive: Path, total: int) -> None:
    packed = max(archive.stat().st_size, 1)
    if total > max(FREE_TOTAL, LARGEST_RATIO * packed):
        raise DataError(
            f"{archive}: {packed} bytes would unpack to {total}, over {LARGEST_RATIO} times as many; "
            "if you trust it, unpack it yourself and pass the folder"
        )


def _unpacked(archive: Path, unpacker: Callable[..., Any]) -> Path:
    """The plain tar of a packed one: made beside and moved into place, so that two processes cannot hurt each other."""
    state = archive.stat()
    label = f"{archive.absolute()}|{state.st_size}|{state.st_mtime_ns}"
    plain = cache_root() / "unpacked" / f"{hashlib.blake2b(label.encode(), digest_size=16).hexdigest()}.tar"
    if plain.exists():
        return plain
    plain.parent.mkdir(parents=True, exist_ok=True)
    beside = plain.with_name(f".{uuid.uuid4().hex}")
    try:
        _copy(archive, unpacker, beside)
        beside.replace(plain)
    except DAMAGED as error:
        raise _damaged(archive, error) from error
    finally:
        beside.unlink(missing_ok=True)
    return plain


def _copy(archive: Path, unpacker: Callable[..., Any], target: Path) -> None:
    total = 0
    with unpacker(archive, "rb") as packed, target.open("wb") as file:
        while chunk := packed.read(2**20):
            total += len(chunk)
            _refuse_bomb(archive, total)
            file.write(chunk)


def _damaged(archive: Path, error: Exception) -> DataError:
    return DataError(f"{archive} is damaged or only half there ({error}); fetch it again")
