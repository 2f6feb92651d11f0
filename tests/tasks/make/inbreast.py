"""A small INbreast as it is published: a table with ';' and the word `removed`, DICOM, property lists."""

import hashlib
import plistlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

HEIGHT, WIDTH = 100, 80
HEADER = "Patient ID;Patient age;Laterality;View;Acquisition date;File Name;ACR;Bi-Rads"
Points = tuple[tuple[float, float], ...]  # (x, y)
SQUARE: Points = ((20, 30), (40, 30), (40, 60), (20, 60))


@dataclass(frozen=True)
class Film:
    """One row, its picture and its regions."""

    number: int
    patient: str
    side: str = "L"
    view: str = "CC"
    birads: str = "2"
    regions: tuple[tuple[str, Points], ...] = ()
    acr: str = "2"

    @property
    def hashed(self) -> str:
        return hashlib.sha256(self.patient.encode()).hexdigest()[:16]

    @property
    def file(self) -> str:
        view = {"MLO": "ML"}.get(self.view, self.view)
        return f"{self.number}_{self.hashed}_MG_{self.side}_{view}_ANON.dcm"


SMALL = (
    Film(20586908, "a", birads="5", regions=(("Mass", SQUARE), ("Cluster", ((60, 10), (70, 10), (65, 20))))),
    Film(20586934, "a", view="MLO", birads="5", regions=(("Mass", ((-5, 90), (15, 90), (15, 120), (-5, 120))),)),
    Film(
        20586960,
        "b",
        side="R",
        birads="2",
        # Single points, as most calcifications are.
        regions=(("Calcification", ((10.4, 20.6),)), ("Calcification", ((50, 70),)), ("Mass", SQUARE)),
    ),
    Film(20586986, "b", side="R", view="MLO", birads="1", acr=" " * 190),
    Film(20587012, "c", birads="4a", regions=(("Calcification", ((30, 30),)),)),
    Film(20587038, "d", view="FB", birads="6", regions=(("Spiculated Region", SQUARE),)),
    Film(20587064, "e", birads="3"),
    Film(20587080, "f", birads="1"),
)


def table_text(films: tuple[Film, ...]) -> bytes:
    rows = [f"removed;removed;{f.side};{f.view};200801;{f.number};{f.acr};{f.birads}" for f in films]
    return "\r\n".join([HEADER, *rows, ""]).encode()


def regions_text(film: Film) -> bytes:
    """As the viewer writes it: points as text, x first, and much that nobody needs."""
    rois = [
        {
            "Area": 1.5,
            "Center": "(1, 2, 0)",
            "Dev": 0.0,
            "IndexInImage": index,
            "Max": 1.0,
            "Mean": 1.0,
            "Min": 0.0,
            "Name": name,
            "NumberOfPoints": len(points),
            "Point_mm": [f"({x * 0.07:.6f}, {y * 0.07:.6f}, 0.000000)" for x, y in points],
            "Point_px": [f"({x:.6f}, {y:.6f})" for x, y in points],
            "Total": 2.0,
            "Type": 19 if len(points) == 1 else 15,
        }
        for index, (name, points) in enumerate(film.regions)
    ]
    return plistlib.dumps({"Images": [{"ImageIndex": 0, "NumberOfROIs": len(rois), "ROIs": rois}]}, sort_keys=False)


def draw_film(film: Film) -> np.ndarray:
    """14 bits; no two films are alike."""
    clouds = Image.fromarray(np.random.default_rng(film.number).uniform(2000, 14000, (6, 4)).astype(np.float32))
    return np.asarray(clouds.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)).astype(np.uint16)


def write(folder: Path, films: tuple[Film, ...] = SMALL) -> Path:
    for name in ("AllDICOMs", "AllXML"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "INbreast.csv").write_bytes(table_text(films))
    for film in films:
        write_dicom(folder / "AllDICOMs" / film.file, draw_film(film))
        if film.regions:
            (folder / "AllXML" / f"{film.number}.xml").write_bytes(regions_text(film))
    return folder


def write_dicom(file: Path, pixels: np.ndarray, *, photometric: str = "MONOCHROME2", bits: int = 14) -> None:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.2"
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    data.PatientID, data.Modality, data.PhotometricInterpretation = "removed", "MG", photometric
    data.Rows, data.Columns = pixels.shape
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, bits, bits - 1
    data.PixelRepresentation, data.SamplesPerPixel = 0, 1
    data.PixelData = pixels.astype(np.uint16).tobytes()
    file.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(file, enforce_file_format=True)
