"""A sheet as a DICOM secondary capture, filed beside the study it was made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from xaibench import __version__
from xaibench.errors import UsageError
from xaibench.explaining.films import MAGIC

if TYPE_CHECKING:
    from pathlib import Path

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
OF_THE_STUDY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID", "StudyDate"),
    *("StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyDescription"),
)


def need_pydicom() -> None:
    """Say at once, not after the work, that the extra is missing."""
    try:
        import pydicom  # noqa: F401  # an extra: most users have no DICOM
    except ImportError as error:
        msg = "--dicom needs pydicom: pip install 'xaibench[dicom]'"
        raise UsageError(msg) from error


def write_secondary(sheet: Path, film: Path, text: str, file: Path) -> None:
    """The sheet as DICOM. Of a DICOM film its patient and study are taken; UIDs follow from film and sheet."""
    from pydicom import dcmread  # an extra
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

    content, drawn = film.read_bytes(), sheet.read_bytes()
    source: Any = dcmread(film, stop_before_pixels=True) if content[MAGIC] == b"DICM" else {}
    made_of = [content.hex(), drawn.hex()]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(SECONDARY_CAPTURE)
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["instance", *made_of])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(file), {}, file_meta=meta, preamble=b"\0" * 128)
    for name in OF_THE_STUDY:
        setattr(data, name, source.get(name, ""))
    data.StudyInstanceUID = source.get("StudyInstanceUID") or generate_uid(entropy_srcs=["study", made_of[0]])
    data.SeriesInstanceUID = generate_uid(entropy_srcs=["series", *made_of])
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.Modality, data.ConversionType, data.SeriesNumber, data.InstanceNumber = "OT", "WSD", 9000, 1
    data.SeriesDescription = "xaibench explanation: research only"
    data.ImageComments = text[:10240]
    data.Manufacturer, data.SoftwareVersions, data.BurnedInAnnotation = "xaibench", __version__, "YES"
    _picture(data, np.asarray(Image.open(sheet).convert("RGB")))
    data.save_as(file, enforce_file_format=True)


def _picture(data: Any, pixels: Any) -> None:
    """Colour by pixel, 8 bits each."""
    data.Rows, data.Columns = pixels.shape[:2]
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "RGB", 0
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    content = pixels.tobytes()
    data.PixelData = content + b"\0" * (len(content) % 2)
