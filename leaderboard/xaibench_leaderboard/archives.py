"""Results folders that come as archives, as `xaibench submit` and `xaibench reproduce` write them."""

from __future__ import annotations

import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from xaibench.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST = 4 * 2**30  # bytes unpacked: far above any folder of scores, far below what fills a disk


@contextmanager
def unpacked(place: Path) -> Iterator[Path]:
    """The folder itself, or what is in the archive, for as long as it is looked at."""
    if not place.is_file():
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="xaibench-archive-") as folder:
        try:
            with zipfile.ZipFile(place) as archive:
                if sum(member.file_size for member in archive.infolist()) > LARGEST:
                    raise DataError(f"{place} unpacks to more than {LARGEST / 2**30:.0f} GiB: no archive of results")
                archive.extractall(folder)  # zipfile keeps members inside the folder
        except zipfile.BadZipFile as error:
            raise DataError(f"{place} is no results folder, and no archive of one: {error}") from error
        yield Path(folder)
