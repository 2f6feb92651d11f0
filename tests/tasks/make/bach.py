"""BACH in small: folders, names and ground truth exactly as published, with the files that do not belong there.

Quirks kept: a table without header and with CRLF, pictures in the class folders that the table does not list, a
thumbnail database, the shadow files of an archive made on a Mac, whole slides beside the photos, test photos without
labels.
"""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from xaibench.seeds import derive

if TYPE_CHECKING:
    from pathlib import Path

FOLDERS = {"n": "Normal", "b": "Benign", "is": "InSitu", "iv": "Invasive"}
ROOT = "ICIAR2018_BACH_Challenge"


def make_pictures(root: Path, numbers: range = range(1, 7), size: tuple[int, int] = (64, 48)) -> Path:
    """Write the photos (2048 x 1536 as published; 64 x 48 here) of each class, and the table that lists them."""
    photos = root / ROOT / "Photos"
    for prefix, folder in FOLDERS.items():
        (photos / folder).mkdir(parents=True)
        for number in numbers:
            _tissue(f"{prefix}{number:03d}", size).save(photos / folder / f"{prefix}{number:03d}.tif")
    make_table(photos, numbers)
    return root


def make_table(folder: Path, numbers: range = range(1, 7)) -> Path:
    """Write microscopy_ground_truth.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [f"{prefix}{number:03d}.tif,{label}\r\n" for prefix, label in FOLDERS.items() for number in numbers]
    (folder / "microscopy_ground_truth.csv").write_bytes("".join(rows).encode("ascii"))
    return folder


def add_extras(root: Path) -> Path:
    """What lies in the archive beside the 400 labelled photos."""
    photos = root / ROOT / "Photos"
    for prefix, folder in FOLDERS.items():
        _tissue(f"{prefix}-extra", (64, 48)).save(photos / folder / f"{prefix}101.tif")
        (photos / folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (root / ROOT / "WSI").mkdir()
    (root / ROOT / "WSI" / "A01.xml").write_text("<Annotations/>")
    shadow = root / "__MACOSX" / ROOT / "Photos" / "Normal"
    shadow.mkdir(parents=True)
    (shadow / "._n001.tif").write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X")
    test = root / "ICIAR2018_BACH_Challenge_TestDataset" / "Photos"
    test.mkdir(parents=True)
    _tissue("test0", (64, 48)).save(test / "test0.tif")
    return root


def zipped(root: Path, file: Path) -> Path:
    """Everything below a folder, as one archive."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in sorted(root.rglob("*")):
            archive.write(member, member.relative_to(root))
    return file


def _tissue(name: str, size: tuple[int, int]) -> Image.Image:
    """Violet clouds, another for every name."""
    random = np.random.default_rng(derive("bach", name))
    clouds = random.integers((120, 60, 140), (240, 190, 230), (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(clouds).resize(size, Image.Resampling.BICUBIC)
