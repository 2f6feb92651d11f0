"""A small Mini-DDSM as it is published: a spreadsheet with backslashes, outlines of one pixel, JPEG noise."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from openpyxl import Workbook
from PIL import Image, ImageDraw

HEIGHT, WIDTH = 120, 80
HEADER = ("fullPath", "fileName", "View", "Side", "Status", "Tumour_Contour", "Tumour_Contour2", "Age", "Density")
MORE = (*HEADER[:7], *(f"Tumour_Contour{number}" for number in range(3, 7)), *HEADER[7:])
Box = tuple[int, int, int, int]  # left, top, right, bottom of an ellipse


@dataclass(frozen=True)
class Film:
    """One row, with its outlines."""

    status: str
    site: str
    number: int
    side: str
    view: str
    outlines: tuple[Box, ...] = ()
    age: object = 61.0

    @property
    def name(self) -> str:
        return f"{self.site}_{self.number:04d}_1.{self.side}_{self.view}"

    @property
    def folder(self) -> str:
        return f"{self.status}/{self.number:04d}"

    def mask_name(self, index: int) -> str:
        return f"{self.name}{'_Mask' if index == 0 else f'_MASK{index + 1}'}"


def case(status: str, site: str, number: int, marked: dict[str, tuple[Box, ...]], age: object = 61.0) -> list[Film]:
    """The four films of a case; `marked` maps `LEFT_CC` to outlines."""
    return [
        Film(status, site, number, side, view, marked.get(f"{side}_{view}", ()), age)
        for side in ("LEFT", "RIGHT")
        for view in ("CC", "MLO")
    ]


ONE: Box = (20, 30, 50, 70)
SMALL = (
    *case("Benign", "C", 29, {"LEFT_CC": (ONE,), "LEFT_MLO": (ONE, (40, 80, 60, 100))}),
    # Marked in one view only: the other view's class is not known.
    *case("Cancer", "B", 1, {"RIGHT_MLO": (ONE,)}, age="NaN"),
    *case("Cancer", "A", 7, {"LEFT_CC": (ONE,), "LEFT_MLO": (ONE,)}),
    # The same number as the first case, another hospital, another woman.
    *case("Normal", "A", 29, {}),
    *case("Normal", "D", 30, {}),
    *case("Benign", "D", 31, {"RIGHT_CC": (ONE,), "RIGHT_MLO": (ONE,)}),
)


def draw_film(film: Film) -> np.ndarray:
    """Tissue that differs from film to film, not from pixel to pixel."""
    rng = np.random.default_rng([film.number, ord(film.site), len(film.status), film.side == "LEFT", film.view == "CC"])
    coarse = Image.fromarray(rng.integers(40, 200, (6, 4), dtype=np.uint8))
    return np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))


def draw_outline(box: Box) -> Image.Image:
    """One pixel wide."""
    mask = Image.new("L", (WIDTH, HEIGHT))
    ImageDraw.Draw(mask).ellipse(box, outline=255)
    return mask


def area(box: Box) -> np.ndarray:
    """The outline with what it encloses: a flood from the corner reaches all the rest."""
    flooded = draw_outline(box)
    ImageDraw.floodfill(flooded, (0, 0), 128)
    return np.asarray(flooded) != 128


def write(folder: Path, films: tuple[Film, ...] = SMALL, *, more: bool = False, ending: str = "jpg") -> Path:
    """Spreadsheet and pictures; `more` writes the table with six contours, `ending="png"` the 16-bit edition."""
    top = folder / ("MINI-DDSM-Complete-JPEG-8" if ending == "jpg" else "MINI-DDSM-Complete-PNG-16")
    for film in films:
        (top / film.folder).mkdir(parents=True, exist_ok=True)
        pixels = draw_film(film)
        if ending == "jpg":
            Image.fromarray(pixels).save(top / film.folder / f"{film.name}.jpg", quality=90)
        else:
            Image.fromarray(pixels.astype(np.uint16) * 257).save(top / film.folder / f"{film.name}.png")
        for index, box in enumerate(film.outlines):
            draw_outline(box).save(top / film.folder / f"{film.mask_name(index)}.{ending}")
    write_table(folder, films, more=more)
    return folder


def write_table(folder: Path, films: tuple[Film, ...], *, more: bool = False) -> Path:
    """The spreadsheet alone."""
    book = Workbook()
    sheet = book.active
    sheet.title = "Data"
    header = MORE if more else HEADER
    sheet.append(header)
    for film in films:
        contours = [f"{film.folder}/{film.mask_name(index)}.jpg" for index in range(len(film.outlines))]
        contours += ["-"] * (len(header) - len(HEADER) + 2 - len(contours))
        image = f"{film.folder}/{film.name}.jpg".replace("/", "\\")
        paths = [contour.replace("/", "\\") for contour in contours]
        sheet.append([image, f"{film.name}.jpg", film.view, film.side, film.status, *paths, film.age, 3.0])
    file = folder / ("Data-MoreThanTwoMasks/Data-MoreThanTwoMasks.xlsx" if more else "DataWMask.xlsx")
    file.parent.mkdir(parents=True, exist_ok=True)
    book.save(file)
    return file
