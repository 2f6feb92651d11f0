"""BreaKHis in small: the folders, names and lists exactly as published, with a few slides of drawn tissue.

Quirks kept: `_` before the year in a slide's folder and `-` in its files' names, letters in patient ids, one patient
(14-13412) under two classes, a few pictures 456 pixels high, lists of folds that disagree about that patient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from xaibench.seeds import derive

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FOLDERS = {
    "A": "benign/SOB/adenosis",
    "F": "benign/SOB/fibroadenoma",
    "PT": "benign/SOB/phyllodes_tumor",
    "TA": "benign/SOB/tubular_adenoma",
    "DC": "malignant/SOB/ductal_carcinoma",
    "LC": "malignant/SOB/lobular_carcinoma",
    "MC": "malignant/SOB/mucinous_carcinoma",
    "PC": "malignant/SOB/papillary_carcinoma",
}
# (class, year, id): two or three slides of each class, real ids, among them letters and the patient of two classes.
SLIDES: tuple[tuple[str, str, str], ...] = (
    ("A", "14", "22549AB"),
    ("A", "14", "22549G"),
    ("A", "14", "29960CD"),
    ("F", "14", "9133"),
    ("F", "14", "14134E"),
    ("F", "14", "21998EF"),
    ("PT", "14", "21998AB"),
    ("PT", "14", "22704"),
    ("PT", "14", "29315EF"),
    ("TA", "14", "16184CD"),
    ("TA", "14", "19854C"),
    ("TA", "14", "3411F"),
    ("DC", "14", "13412"),
    ("DC", "14", "2523"),
    ("DC", "14", "4364"),
    ("LC", "14", "13412"),
    ("LC", "14", "15570C"),
    ("LC", "14", "12204"),
    ("MC", "14", "13418DE"),
    ("MC", "14", "18842D"),
    ("MC", "14", "19979C"),
    ("PC", "14", "15687B"),
    ("PC", "15", "190EF"),
    ("PC", "14", "9146"),
)
ROOT = "BreaKHis_v1/histology_slides/breast"
LEAKING_FOLDS = (1, 3, 5)  # as in the published lists: 14-13412 is on both sides of these


def names(magnifications: Sequence[int] = (40, 100, 200, 400), pictures: int = 2) -> list[str]:
    """The file names of the small set."""
    return [
        _name(slide, magnification, number)
        for slide in SLIDES
        for magnification in magnifications
        for number in range(1, pictures + 1)
    ]


def make_pictures(
    root: Path, magnifications: Sequence[int] = (40, 100, 200, 400), pictures: int = 2, scale: int = 10
) -> Path:
    """Write the pictures; `scale` 1 gives the published 700 x 460 pixels, 10 a tenth of that."""
    for slide in SLIDES:
        kind, year, patient = slide
        for magnification in magnifications:
            folder = root / ROOT / FOLDERS[kind] / f"SOB_{_side(kind)}_{kind}_{year}-{patient}" / f"{magnification}X"
            folder.mkdir(parents=True)
            for number in range(1, pictures + 1):
                name = _name(slide, magnification, number)
                height = 456 if (kind, magnification, number) == ("A", 100, 1) else 460
                _tissue(name, 700 // scale, height // scale).save(folder / name)
    return root


def make_folds(root: Path, end: str = "\n", magnifications: Sequence[int] = (40, 100, 200, 400)) -> Path:
    """Write dsfold1.txt .. dsfold5.txt: `name|magnification|fold|train or test`, no header."""
    root.mkdir(parents=True, exist_ok=True)
    for fold in range(1, 6):
        rows = [f"{name}|{name.split('-')[3]}|{fold}|{_part(name, fold)}" for name in names(magnifications)]
        (root / f"dsfold{fold}.txt").write_bytes("".join(row + end for row in sorted(rows)).encode("ascii"))
    return root


def _part(name: str, fold: int) -> str:
    """In each fold another slide of each class is for the test; 14-13412 leaks where it does in the real lists."""
    kind, patient = name.split("_")[2].split("-")[0], name.split("-")[2]
    if patient == "13412":
        return "test" if kind == "LC" and fold in LEAKING_FOLDS else "train"
    same = [slide[2] for slide in SLIDES if slide[0] == kind and slide[2] != "13412"]
    return "test" if same[fold % len(same)] == patient else "train"


def _name(slide: tuple[str, str, str], magnification: int, number: int) -> str:
    kind, year, patient = slide
    return f"SOB_{_side(kind)}_{kind}-{year}-{patient}-{magnification}-{number:03d}.png"


def _side(kind: str) -> str:
    return "B" if kind in {"A", "F", "PT", "TA"} else "M"


def _tissue(name: str, width: int, height: int) -> Image.Image:
    """Pink clouds, another for every name."""
    random = np.random.default_rng(derive("breakhis", name))
    clouds = random.integers((150, 80, 130), (250, 200, 230), (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(clouds).resize((width, height), Image.Resampling.BICUBIC)
