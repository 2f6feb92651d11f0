"""Results folders that come as archives, as `xaibench submit` and `xaibench reproduce` write them."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from xaibench.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST = 4 * 2**30  # bytes unpacked: far above any folder of scores, far below what fills a disk
MOST = 1_000_000  # files: a run of a million scores has a twentieth of them
# All that zipfile raises on damage; of what the system refuses, such as a full disk, the message tells.
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)
WHOLE = "results.zip"  # the only member of a tight archive


def tighten(place: Path) -> None:
    """Pack an archive once more, as a whole: many small files that are alike shrink fourfold only together."""
    beside = place.with_name(f".{place.name}.unfinished")
    with tempfile.TemporaryFile() as plain, opened(place) as packed:
        with zipfile.ZipFile(plain, "w", zipfile.ZIP_STORED) as inner:
            for name in packed.namelist():
                # Without a time: the same files are the same bytes.
                inner.writestr(zipfile.ZipInfo(name), packed.read(name))
        plain.seek(0)
        with (
            zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as outer,
            outer.open(WHOLE, "w", force_zip64=True) as whole,
        ):
            shutil.copyfileobj(plain, whole)
    beside.replace(place)


@contextmanager
def opened(place: Path) -> Iterator[zipfile.ZipFile]:
    """An archive, or the one within it if it is tight."""
    with zipfile.ZipFile(place) as archive:
        if archive.namelist() != [WHOLE]:
            yield archive
            return
        _refuse_bombs(place, archive)
        with tempfile.TemporaryFile() as plain:
            with archive.open(WHOLE) as whole:
                shutil.copyfileobj(whole, plain)
            with zipfile.ZipFile(plain) as inner:
                yield inner


@contextmanager
def unpacked(place: Path) -> Iterator[Path]:
    """The folder itself, or what is in the archive, for as long as it is looked at."""
    if not place.is_file():
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="xaibench-archive-") as folder:
        try:
            with opened(place) as archive:
                _refuse_bombs(place, archive)
                archive.extractall(folder)  # zipfile keeps members inside the folder
        except DAMAGED as error:
            raise DataError(
                f"{place} is no results folder, and no archive of one that can be unpacked: {error}"
            ) from error
        yield Path(folder)


def _refuse_bombs(place: Path, archive: zipfile.ZipFile) -> None:
    if sum(member.file_size for member in archive.infolist()) > LARGEST:
        raise DataError(f"{place} unpacks to more than {LARGEST / 2**30:.0f} GiB: no archive of results")
    if len(archive.infolist()) > MOST:
        raise DataError(f"{place} unpacks to more than {MOST} files: no archive of results")
