"""Small CBIS-DDSM sets in the forms in which it is published, with the quirks of the real one.

Tables have CRLF row ends and a bare line feed inside one path of every row. Films are 16 bit with one bright
rectangle per lesion; masks are 8 bit, crops 16 bit and small.
"""

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

HEIGHT, WIDTH = 120, 80


def _columns(header: str) -> list[str]:
    return header.split(",")


MASS = _columns(
    "patient_id,breast_density,left or right breast,image view,abnormality id,abnormality type,mass shape,mass margins,"
    "assessment,pathology,subtlety,image file path,cropped image file path,ROI mask file path"
)
CALC = [
    {"breast_density": "breast density", "mass shape": "calc type", "mass margins": "calc distribution"}.get(c, c)
    for c in MASS
]
OLD = _columns(
    "patient_id,breast_density,side,view,abn_num,abnormality_type,mass_shape,mass_margins,assessment,pathology,subtlety,"
    "od_img_path,od_crop_path,mask_path"
)
INFO = _columns(
    "file_path,image_path,AccessionNumber,BitsAllocated,BitsStored,BodyPartExamined,Columns,ContentDate,ContentTime,"
    "ConversionType,HighBit,InstanceNumber,LargestImagePixelValue,Laterality,Modality,PatientBirthDate,PatientID,"
    "PatientName,PatientOrientation,PatientSex,PhotometricInterpretation,PixelRepresentation,ReferringPhysicianName,Rows,"
    "SOPClassUID,SOPInstanceUID,SamplesPerPixel,SecondaryCaptureDeviceManufacturer,"
    "SecondaryCaptureDeviceManufacturerModelName,SeriesDescription,SeriesInstanceUID,SeriesNumber,"
    "SmallestImagePixelValue,SpecificCharacterSet,StudyDate,StudyID,StudyInstanceUID,StudyTime"
)


@dataclass(frozen=True)
class Lesion:
    """One row; `apart` puts crop and mask into different studies, both named 000000.dcm, as 104 real rows do."""

    kind: str = "mass"
    part: str = "train"
    patient: int = 1
    side: str = "LEFT"
    view: str = "CC"
    number: int = 1
    pathology: str = "MALIGNANT"
    apart: bool = False
    box: tuple[int, int, int, int] = (30, 50, 20, 40)  # top, bottom, left, right

    @property
    def film(self) -> str:
        part = {"train": "Training", "test": "Test"}[self.part]
        return f"{self.kind.title()}-{part}_P_{self.patient:05d}_{self.side}_{self.view}"

    @property
    def folder(self) -> str:
        return f"{self.film}_{self.number}"

    @property
    def paths(self) -> tuple[str, str, str]:
        """Of film, crop and mask, as the table gives them."""
        film = f"{self.film}/{uid(self.film, 'study')}/{uid(self.film, 'series')}/000000.dcm"
        crop = f"{self.folder}/{uid(self.folder, 'study')}/{uid(self.folder, 'series')}"
        mask = f"{self.folder}/{uid(self.folder, 'study 2')}/{uid(self.folder, 'series 2')}" if self.apart else crop
        numbers = (0, 0) if self.apart else (0, 1) if self.kind == "mass" else (1, 0)
        return film, f"{crop}/{numbers[0]:06d}.dcm", f"{mask}/{numbers[1]:06d}.dcm"


SMALL = (
    # Two lesions of different pathology on one film.
    Lesion(patient=1),
    Lesion(patient=1, number=2, pathology="BENIGN", box=(70, 100, 10, 30)),
    Lesion(patient=1, view="MLO"),
    # Crop and mask in different studies, both 000000.dcm.
    Lesion(patient=2, apart=True, pathology="BENIGN"),
    # One film in two tables, on two sides of the split, with different answers.
    Lesion(kind="calc", patient=3, pathology="BENIGN"),
    Lesion(kind="mass", part="test", patient=3, pathology="MALIGNANT", box=(60, 90, 30, 60)),
    # The other way round.
    Lesion(kind="mass", patient=4, side="RIGHT", pathology="BENIGN"),
    Lesion(kind="calc", part="test", patient=4, pathology="MALIGNANT"),
    # Not called back.
    Lesion(kind="calc", patient=5, pathology="BENIGN_WITHOUT_CALLBACK"),
    Lesion(kind="mass", patient=6, pathology="BENIGN_WITHOUT_CALLBACK"),
    Lesion(kind="mass", part="test", patient=7, pathology="BENIGN_WITHOUT_CALLBACK"),
    # Plain ones.
    Lesion(kind="calc", patient=8),
    Lesion(kind="calc", patient=9, pathology="BENIGN"),
    Lesion(kind="mass", part="test", patient=10, pathology="BENIGN"),
    Lesion(kind="calc", part="test", patient=11),
    Lesion(kind="mass", patient=12),
    Lesion(kind="mass", patient=13, pathology="BENIGN"),
)


def uid(*parts: str) -> str:
    digits = int(hashlib.sha256("/".join(parts).encode()).hexdigest(), 16) % (9 * 10**37)
    return f"1.3.6.1.4.1.9590.100.1.2.{digits + 10**37}"


def draw_film(lesions: Sequence[Lesion]) -> np.ndarray:
    """A film of 16 bits with clouds for tissue: no two films and no two places look alike."""
    rng = np.random.default_rng(int(uid(lesions[0].film)[-9:]))
    clouds = Image.fromarray(rng.uniform(0, 14000, (6, 4)).astype(np.float32))
    slope = np.add.outer(np.linspace(0, 3000, HEIGHT), np.linspace(8000, 12000, WIDTH))
    film = (slope + np.asarray(clouds.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))).astype(np.uint16)
    for lesion in lesions:
        top, bottom, left, right = lesion.box
        film[top:bottom, left:right] = 60000
    return film


def draw_mask(lesion: Lesion) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    top, bottom, left, right = lesion.box
    mask[top:bottom, left:right] = 255
    return mask


def draw_crop(film: np.ndarray, lesion: Lesion) -> np.ndarray:
    top, bottom, left, right = lesion.box
    return np.ascontiguousarray(film[max(top - 6, 0) : bottom + 6, max(left - 6, 0) : right + 6])


def table_text(lesions: Sequence[Lesion], *, old: bool = False) -> bytes:
    """One table, for lesions of one kind and part."""
    calc = lesions[0].kind == "calc"
    if old:
        rows = [OLD, *([*_cells(lesion), *(path.replace("/", "\\") for path in lesion.paths)] for lesion in lesions)]
        return _csv(rows, "\n")
    rows = [CALC if calc else MASS]
    for lesion in lesions:
        film, crop, mask = lesion.paths
        rows.append([*_cells(lesion), film, crop + "\n" * calc, mask + "\n" * (not calc)])
    return _csv(rows, "\r\n")


def write_tables(folder: Path, lesions: Sequence[Lesion], *, old: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for kind in ("mass", "calc"):
        for part in ("train", "test"):
            rows = [lesion for lesion in lesions if (lesion.kind, lesion.part) == (kind, part)]
            if rows:
                (folder / f"{kind}_case_description_{part}_set.csv").write_bytes(
                    table_text(rows, old=old and kind == "mass")
                )


def write_classic(folder: Path, lesions: Sequence[Lesion], *, swapped: bool = False) -> None:
    """The paths of the tables; `swapped` puts each mask where the table says the crop is."""
    write_tables(folder, lesions)
    crops = {crop: mask for _, crop, mask in (lesion.paths for lesion in lesions)} if swapped else {}
    others = crops | {mask: crop for crop, mask in crops.items()}
    for name, pixels, place in _pictures(lesions):
        write_dicom(folder / others.get(place, place), pixels, name, place)


def write_retriever(folder: Path, lesions: Sequence[Lesion]) -> None:
    """The newer download tool: date, names and the last five digits; crop and mask of a lesion in one folder."""
    write_tables(folder, lesions)
    taken: dict[Path, int] = {}
    for name, pixels, place in _pictures(lesions):
        _, study, series, _ = place.split("/")
        what = "full mammogram images" if name.count("_") == 4 else "cropped images"
        parent = folder / "CBIS-DDSM" / name / f"10-04-2016-DDSM-{study[-5:]}" / f"1.000000-{what}-{series[-5:]}"
        taken[parent] = taken.get(parent, 0) + 1
        write_dicom(parent / f"1-{taken[parent]}.dcm", pixels, name, place)


def write_kaggle(folder: Path, lesions: Sequence[Lesion]) -> None:
    """JPEG by series, a list of what the DICOM headers said, and number prefixes that mean nothing."""
    write_tables(folder / "csv", lesions)
    rows = [INFO]
    for index, (name, pixels, place) in enumerate(_pictures(lesions)):
        _, study, series, _ = place.split("/")
        parent = folder / "jpeg" / series
        parent.mkdir(parents=True, exist_ok=True)
        file = parent / f"{len(list(parent.iterdir())) + 1}-{(index * 37) % 300:03d}.jpg"
        shown = pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)
        Image.fromarray(shown).save(file, "JPEG", quality=90)
        rows.append(_info_row(name, pixels, study, series, file.name, index))
    (folder / "csv" / "dicom_info.csv").write_bytes(_csv(rows, "\n"))
    (folder / "csv" / "meta.csv").write_bytes(b"SeriesInstanceUID,StudyInstanceUID\n")


def write_dicom(file: Path, pixels: np.ndarray, patient: str, place: str) -> None:
    _, study, series, _ = place.split("/")
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = uid(str(file), "instance")
    data.PatientID, data.StudyInstanceUID, data.SeriesInstanceUID = patient, study, series
    data.Modality, data.PhotometricInterpretation = "MG", "MONOCHROME2"
    data.Rows, data.Columns = pixels.shape
    data.BitsAllocated = data.BitsStored = pixels.dtype.itemsize * 8
    data.HighBit, data.PixelRepresentation, data.SamplesPerPixel = data.BitsStored - 1, 0, 1
    # The description cannot be trusted: a series of "cropped images" can hold a mask.
    data.SeriesDescription = "cropped images"
    data.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    file.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(file, enforce_file_format=True)


def _pictures(lesions: Sequence[Lesion]) -> list[tuple[str, np.ndarray, str]]:
    """(folder, pixels, path in the table) of all films, crops and masks; every other lesion has the mask first."""
    pictures = []
    for name in dict.fromkeys(lesion.film for lesion in lesions):
        of_film = [lesion for lesion in lesions if lesion.film == name]
        film = draw_film(of_film)
        pictures.append((name, film, of_film[0].paths[0]))
        for index, lesion in enumerate(of_film):
            _, crop, mask = lesion.paths
            pair = [(lesion.folder, draw_crop(film, lesion), crop), (lesion.folder, draw_mask(lesion), mask)]
            pictures += pair if (index + lesion.patient) % 2 else pair[::-1]
    return pictures


def _cells(lesion: Lesion) -> list[str]:
    kind = {"mass": "mass", "calc": "calcification"}[lesion.kind]
    words = ["IRREGULAR", "SPICULATED"] if lesion.kind == "mass" else ["PLEOMORPHIC", "NA"]
    return [
        f"P_{lesion.patient:05d}",
        "3",
        lesion.side,
        lesion.view,
        str(lesion.number),
        kind,
        *words,
        "4",
        lesion.pathology,
        "4",
    ]


def _info_row(name: str, pixels: np.ndarray, study: str, series: str, file: str, index: int) -> list[str]:
    row = dict.fromkeys(INFO, "")
    mask = pixels.dtype == np.uint8
    whole = name.count("_") == 4
    row |= {
        "image_path": f"CBIS-DDSM/jpeg/{series}/{file}",
        "file_path": f"CBIS-DDSM/dicom/{series}/{file.replace('.jpg', '.dcm')}",
        "BitsAllocated": str(pixels.dtype.itemsize * 8),
        "Rows": str(pixels.shape[0]),
        "Columns": str(pixels.shape[1]),
        "PatientID": f"{name.split('_', 1)[1]}.dcm" if mask and index % 2 else name,
        "SeriesDescription": "full mammogram images" if whole else "" if mask and index % 2 else "cropped images",
        "SeriesInstanceUID": series,
        "StudyInstanceUID": study,
    }
    return [row[column] for column in INFO]


def _csv(rows: Sequence[Sequence[str]], end: str) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end).writerows(rows)
    return text.getvalue().encode()
