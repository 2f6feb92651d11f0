"""The patches of a mask of tissue codes, counted once and kept."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xaibench.caching import cache_root
from xaibench.errors import DataError
from xaibench.files import read_json, write_json
from xaibench_tasks.pictures import decode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from xaibench_tasks.sources import Source

OUTSIDE = 0  # the code of what was not annotated


@dataclass(frozen=True)
class Cell:
    """A square of a region, and how many of its pixels have which code."""

    top: int
    left: int
    side: int
    counts: Mapping[int, int]

    def label(self, tumour: Sequence[int], least: float, outside: float) -> int | None:
        """1 tumour, 0 none, nothing for a patch that is neither clearly, or hardly annotated."""
        pixels = self.side**2
        annotated = pixels - self.counts.get(OUTSIDE, 0)
        found = sum(self.counts.get(code, 0) for code in tumour)
        if annotated == 0 or pixels - annotated > outside * pixels or 0 < found < least * annotated:
            return None
        return int(found > 0)


def read_codes(source: Source, mask: str) -> NDArray[np.uint8]:
    """The codes of a mask [H, W]."""
    picture = decode(mask, source.read(mask))
    if picture.pixels.ndim != 2 or picture.bits != 8:
        raise DataError(f"{mask} is in colour or not of 8 bits; a mask holds one code per pixel as its grey value")
    return np.rint(picture.pixels * 255).astype(np.uint8)


def cells_of(source: Source, mask: str, side: int) -> list[Cell]:
    """All whole squares of a mask, edge to edge from its upper left corner."""
    label = f"{source.path.absolute()}|{mask}|{source.stamp(mask)}|{side}"
    file = cache_root() / "bcss-1" / f"{hashlib.blake2b(label.encode(), digest_size=16).hexdigest()}.json"
    rows: list[list[Any]] | None = read_json(file)
    if rows is None:
        rows = [[cell.top, cell.left, *cell.counts.items()] for cell in _counted(read_codes(source, mask), side)]
        write_json(file, rows)
    return [Cell(top, left, side, {int(code): int(count) for code, count in counts}) for top, left, *counts in rows]


def _counted(codes: NDArray[np.uint8], side: int) -> list[Cell]:
    cells = []
    for top in range(0, codes.shape[0] - side + 1, side):
        for left in range(0, codes.shape[1] - side + 1, side):
            counts = np.bincount(codes[top : top + side, left : left + side].ravel(), minlength=1)
            found = {int(code): int(counts[code]) for code in np.flatnonzero(counts)}
            cells.append(Cell(top, left, side, found))
    return cells
