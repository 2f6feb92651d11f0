"""A small VinDr-Mammo as it is published: two tables, lists of findings in quotes, dark-on-bright DICOM."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from tests.tasks.make.inbreast import write_dicom

HEIGHT, WIDTH = 100, 80
FILMS = "study_id,series_id,image_id,laterality,view_position,height,width,breast_birads,breast_density,split"
BOXES = (
    "study_id,series_id,image_id,laterality,view_position,height,width,breast_birads,breast_density,"
    "finding_categories,finding_birads,xmin,ymin,xmax,ymax,split"
)
Box = tuple[str, tuple[float, float, float, float]]  # categories, xmin ymin xmax ymax


@dataclass(frozen=True)
class Film:
    """One film with its boxes."""

    study: str
    side: str
    view: str
    birads: int = 1
    split: str = "training"
    boxes: tuple[Box, ...] = ()

    @property
    def image(self) -> str:
        return hashlib.md5(f"{self.study}{self.side}{self.view}".encode(), usedforsecurity=False).hexdigest()

    @property
    def study_id(self) -> str:
        return hashlib.md5(self.study.encode(), usedforsecurity=False).hexdigest()

    @property
    def file(self) -> str:
        return f"images/{self.study_id}/{self.image}.dicom"

    def common(self) -> str:
        names = f"{self.study_id},{self.image[::-1]},{self.image},{self.side},{self.view}"
        return f"{names},{HEIGHT},{WIDTH},BI-RADS {self.birads},DENSITY C"


MASS: Box = ("\"['Mass']\"", (20.25, 30.5, 40.75, 60.5))
SMALL = (
    Film("a", "L", "CC", birads=5, boxes=(MASS, ("\"['Suspicious Calcification', 'Mass']\"", (-3.5, 80, 10, 104.5)))),
    Film("a", "R", "CC"),
    Film("b", "L", "MLO", birads=2, boxes=(("\"['Skin Thickening']\"", (50, 5, 70, 20)),)),
    Film("c", "L", "MLO", birads=3),
    Film("d", "R", "MLO", birads=4, split="test", boxes=(MASS,)),
    Film("e", "R", "CC", split="test"),
    Film("f", "R", "CC"),
    Film("g", "L", "CC", birads=4, boxes=(MASS,)),
)


def films_text(films: tuple[Film, ...] = SMALL) -> bytes:
    return "\n".join([FILMS, *(f"{film.common()},{film.split}" for film in films), ""]).encode()


def boxes_text(films: tuple[Film, ...] = SMALL) -> bytes:
    """A film without a finding has a row too."""
    rows = [BOXES]
    for film in films:
        for kinds, box in film.boxes:
            rows.append(f"{film.common()},{kinds},BI-RADS {film.birads},{','.join(map(str, box))},{film.split}")
        if not film.boxes:
            rows.append(f"{film.common()},\"['No Finding']\",,,,,,{film.split}")
    return "\n".join([*rows, ""]).encode()


def draw_film(film: Film) -> np.ndarray:
    """12 bits, bright tissue."""
    clouds = Pillow.fromarray(np.random.default_rng(int(film.image, 16)).uniform(300, 3500, (6, 4)).astype(np.float32))
    return np.asarray(clouds.resize((WIDTH, HEIGHT), Pillow.Resampling.BILINEAR)).astype(np.uint16)


def write(folder: Path, films: tuple[Film, ...] = SMALL) -> Path:
    """Every other film is stored dark on bright."""
    (folder / "breast-level_annotations.csv").write_bytes(films_text(films))
    (folder / "finding_annotations.csv").write_bytes(boxes_text(films))
    for index, film in enumerate(films):
        pixels = draw_film(film)
        if index % 2:
            write_dicom(folder / film.file, 4095 - pixels, photometric="MONOCHROME1", bits=12)
        else:
            write_dicom(folder / film.file, pixels, bits=12)
    return folder
