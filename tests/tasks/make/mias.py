"""MIAS in small: 24 films and their list, exactly in the published form; what is on the films is drawn.

Quirks kept: the PGM header, y measured from the bottom, rows that end in a blank, films with several rows, a film that
is benign and malignant (mdb144), a row without coordinates and without a note (mdb059), rows with a note in their
place, the two circles outside the breast (mdb212, mdb214), the chest wall at the right edge of odd films.
"""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

import numpy as np

from xaibench.seeds import derive

if TYPE_CHECKING:
    from pathlib import Path

SIDE = 1024
HEADER = b"P5\n1024 1024\n255\n"
NORMAL = (3, 4, 7, 8, 9, 11, 14, 60, 143, 215)
ROWS = (
    "mdb001 G CIRC B 400 600 60",
    "mdb002 G CIRC B 600 500 80",
    "mdb005 F CIRC B 477 300 30",
    "mdb005 F CIRC B 500 700 26",
    "mdb010 F CIRC B 525 425 33",
    "mdb012 F CIRC B 471 458 40",
    "mdb013 G MISC B 667 365 31",
    "mdb059 F CIRC B",
    "mdb111 D ASYM M 505 575 107",
    "mdb112 D ASYM M 520 500 90",
    "mdb144 F MISC B 533 500 29",
    "mdb144 F MISC M 556 600 27",
    "mdb211 D CALC M 580 327 13",
    "mdb212 D CALC B 1000 1000 3",
    "mdb214 D CALC B 1010 980 11",
    "mdb216 D CALC M *NOTE 3* ",
)
BACKGROUND = {int(row[3:6]): row[7] for row in ROWS}
BANNER = """
                         M I A S   M i n i - M a m m o g r a p h i c   D a t a b a s e

1st column: MIAS database reference number.
5th,6th columns: x,y image-coordinates of centre of abnormality.

NOTES
  Coordinate system origin is the bottom-left corner.
============================================================================
"""
KAGGLE_HEADER = "REFNUM BG CLASS SEVERITY X Y RADIUS "
FILMS = len(NORMAL) + len({row[:6] for row in ROWS})


def rows(edited: bool = False) -> list[str]:
    """The rows in the order of the films. `edited`: as in a copy that makes two films normal and drops the notes."""
    found = [f"mdb{number:03d} {BACKGROUND.get(number ^ 1, 'G')} NORM " for number in NORMAL]
    found += [_edited(row) if edited else row for row in ROWS]
    return sorted(found, key=lambda row: row[:6])


def _edited(row: str) -> str:
    if row[:6] in ("mdb212", "mdb214"):
        return f"{row[:8]} NORM "
    return row.split(" *NOTE")[0]


def list_text(form: str = "official") -> str:
    """The list as it goes round: with the README about it, as bare rows, under a header, edited, with CRLF."""
    bare = "\n".join(rows(edited=form == "edited")) + "\n"
    if form == "official":
        return f"{BANNER}\n{bare}\n{'=' * 76}\n"
    if form in ("kaggle", "edited"):
        return f"{KAGGLE_HEADER}\n{bare}"
    return bare.replace("\n", "\r\n") if form == "crlf" else bare


def circles(number: int) -> list[tuple[int, int, int]]:
    """Row, column and radius of the lesions of a film, worked out from its rows by hand: row = 1023 - y."""
    words = [row.split() for row in ROWS if int(row[3:6]) == number]
    return [(1023 - int(w[5]), int(w[4]), int(w[6])) for w in words if len(w) == 7]


def film(number: int) -> np.ndarray:
    """A breast at the chest wall, a bright label in the far upper corner, lesions at 250; textured, so no two alike."""
    rng = np.random.default_rng(derive("mias film", number))
    coarse = rng.integers(90, 170, (32, 32)).repeat(32, axis=0).repeat(32, axis=1)
    down, across = np.mgrid[:SIDE, :SIDE]
    breast = ((down - 512) / 440) ** 2 + (across / 760) ** 2 < 1
    pixels = np.where(breast, coarse + rng.integers(0, 20, (SIDE, SIDE)), 6)
    pixels[60:130, 880:980] = 255
    if number % 2:
        pixels = pixels[:, ::-1].copy()
    for row, column, radius in circles(number):
        if f"mdb{number:03d}" not in ("mdb212", "mdb214"):
            pixels[(down - row) ** 2 + (across - column) ** 2 <= radius**2] = 250
    return pixels.astype(np.uint8)


def numbers() -> list[int]:
    """All films."""
    return sorted({*NORMAL, *BACKGROUND})


def write(folder: Path, form: str = "official", name: str = "Info.txt") -> Path:
    """The folder as the archive unpacks: everything under all-mias/."""
    inner = folder / "all-mias"
    inner.mkdir(parents=True)
    for number in numbers():
        (inner / f"mdb{number:03d}.pgm").write_bytes(HEADER + film(number).tobytes())
    (inner / name).write_text(list_text(form), newline="")
    return folder


def pack(folder: Path, archive: Path) -> Path:
    """The same as all-mias.tar.gz."""
    with tarfile.open(archive, "w:gz", compresslevel=1) as packed:
        packed.add(folder / "all-mias", "all-mias")
    return archive
