"""A small CDD-CESM as it is published: a spreadsheet of several sheets, and an export of drawn regions."""

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from openpyxl import Workbook
from PIL import Image

HEIGHT, WIDTH = 100, 80
FOLDERS = {"DM": "Low energy images of CDD-CESM", "CM": "Subtracted images of CDD-CESM"}
HEADER = [
    *("Patient_ID", "Side", "Type", "Image_name", "Age", "Breast density (ACR)", "BIRADS", "Findings", "View", "Tags"),
    *("Machine", "Pathology Classification/ Follow up"),
]
EXPORT = [
    *("#filename", "file_size", "file_attributes", "region_count", "region_id"),
    *("region_shape_attributes", "region_attributes"),
]
POLYGON = {"name": "polygon", "all_points_x": [20, 40, 40, 20], "all_points_y": [30, 30, 60, 60]}
CIRCLE = {"name": "circle", "cx": 50, "cy": 40, "r": 10}
ELLIPSE = {"name": "ellipse", "cx": 40, "cy": 50, "rx": 20, "ry": 8, "theta": 0.5}


@dataclass(frozen=True)
class Shot:
    """One image; more than one pathology gives it as many rows."""

    patient: int
    side: str
    kind: str
    view: str
    pathologies: tuple[str, ...] = ("Normal",)
    shapes: tuple[dict, ...] = ()

    @property
    def name(self) -> str:
        return f"P{self.patient}_{self.side}_{self.kind}_{self.view}"


SMALL = (
    Shot(2, "L", "DM", "CC", ("Benign", "Malignant"), (POLYGON, CIRCLE)),
    Shot(2, "L", "CM", "CC", ("Malignant",), (ELLIPSE,)),
    Shot(2, "R", "DM", "CC"),
    Shot(10, "R", "DM", "MLO", ("Benign",), (CIRCLE,)),
    Shot(10, "R", "CM", "MLO", ("Benign",)),
    Shot(11, "L", "DM", "MLO"),
    Shot(12, "L", "DM", "MLO", ("Malignant",), (POLYGON,)),
    Shot(13, "L", "DM", "MLO"),
)


def draw_image(shot: Shot) -> np.ndarray:
    rng = np.random.default_rng([shot.patient, shot.side == "L", shot.kind == "CM"])
    clouds = Image.fromarray(rng.integers(20, 220, (6, 4), dtype=np.uint8))
    return np.asarray(clouds.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))


def export_text(shots: tuple[Shot, ...] = SMALL) -> bytes:
    """Every other name has a blank before its ending."""
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\r\n")
    rows.writerow(EXPORT)
    for index, shot in enumerate(shots):
        file = f"{shot.name}{' ' * (index % 2)}.jpg"
        for number, shape in enumerate(shot.shapes or ({},)):
            rows.writerow([file, 12345, "{}", len(shot.shapes), number, json.dumps(shape), "{}"])
    return text.getvalue().encode()


def table_rows(shots: tuple[Shot, ...] = SMALL) -> list[list[object]]:
    rows: list[list[object]] = [list(HEADER)]
    for shot in shots:
        for pathology in shot.pathologies:
            kind = {"DM": "DM", "CM": "CESM"}[shot.kind]
            cells = [
                shot.patient,
                shot.side,
                kind,
                shot.name + " " * (shot.patient % 2),
                50,
                "C",
                "4",
                "mass",
                shot.view,
            ]
            rows.append([*cells, "$", 1, pathology])
    return rows


def write(folder: Path, shots: tuple[Shot, ...] = SMALL) -> Path:
    book = Workbook()
    first = book.active
    first.title = "DM"
    first.append(["not the sheet that is read"])
    sheet = book.create_sheet("all")
    for row in table_rows(shots):
        sheet.append(row)
    folder.mkdir(parents=True, exist_ok=True)
    book.save(folder / "Radiology-manual-annotations.xlsx")
    (folder / "Radiology_hand_drawn_segmentations_v2.csv").write_bytes(export_text(shots))
    for shot in shots:
        (folder / FOLDERS[shot.kind]).mkdir(exist_ok=True)
        Image.fromarray(draw_image(shot)).save(folder / FOLDERS[shot.kind] / f"{shot.name}.jpg", quality=95)
    return folder
