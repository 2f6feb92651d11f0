"""What verbs need to take a results folder from the command line, and to write reports where it is."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from xaibench.errors import DataError, UsageError
from xaibench.places import Url, location_of
from xaibench.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xaibench.places import Location


def folder_or_url(text: str | Path) -> Location:
    """The type of an option or argument of click: a local folder, there already or not, or a URL."""
    location = location_of(str(text))
    if isinstance(location, Path) and location.is_file():
        msg = f"{location} is a file; name a folder, or a URL such as s3://bucket/results"
        raise UsageError(msg)
    return location


@contextmanager
def written_there(location: Location) -> Iterator[Path]:
    """A local folder to write reports into; what belongs at a URL is brought there at the end."""
    if isinstance(location, Path):
        yield location
        return
    from xaibench.remote import RemoteFiles  # fsspec is an extra

    with tempfile.TemporaryDirectory(prefix="xaibench-") as folder:
        yield Path(folder)
        files = RemoteFiles(location)
        for path in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
            files.write(path.relative_to(folder).as_posix(), path.read_bytes())


@contextmanager
def read_here(location: Location) -> Iterator[Path]:
    """A local folder with the results that lie there: what is at a URL is copied, for as long as it is looked at."""
    if isinstance(location, Path):
        yield location
        return
    files = Store(location).check().files
    with tempfile.TemporaryDirectory(prefix="xaibench-") as folder:
        names = sorted(files.tree())
        for name, content in zip(names, files.read_each(names), strict=True):
            _put(Path(folder), name, content or b"")
        yield Path(folder)


def _put(folder: Path, name: str, content: bytes) -> None:
    """A file below a folder, whatever its name says: object stores let anybody call one `../x`."""
    place = folder / name
    if not place.resolve().is_relative_to(folder.resolve()):
        msg = f"{name!r} would lie outside the folder it is copied to: these results were not written by xaibench"
        raise DataError(msg)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)


def shown_as(path: Path, folder: Path, location: Location) -> str:
    """Where a report that was written into `folder` will be found."""
    return f"{location}/{path.relative_to(folder).as_posix()}" if isinstance(location, Url) else str(path)
