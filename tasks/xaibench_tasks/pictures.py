"""Decode image files: 8 to 16 bits, grey or colour, from pillow's formats and from DICOM."""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from xaibench.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xaibench.contracts import Floats

DEFLATED = b"1.2.840.10008.1.2.1.99"  # the transfer syntax; whoever reads it unpacks all of it at once
MOST_PIXELS = 2**28  # 16384 x 16384: more than any film or tile, less than what takes a machine down
ORIENTATION = 0x0112  # the tag of EXIF
GREY = {"1", "L", "LA"}
BROKEN = (
    *(OSError, EOFError, ValueError, TypeError, KeyError, AttributeError, IndexError, RuntimeError, SyntaxError),
    *(struct.error, OverflowError, MemoryError, ZeroDivisionError, UnidentifiedImageError),
    *(Image.DecompressionBombError, NotImplementedError),
)


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded image: bright is dense, whatever the file said."""

    pixels: Floats  # [H, W] or [H, W, 3] in [0, 1]
    bits: int  # stored per pixel and channel
    note: str = ""  # what was done to get here: "inverted", "turned"


def decode(name: str, content: bytes) -> Picture:
    """Decode by content; `name` is for messages. A file that is cut off or damaged is a DataError."""
    if not content:
        raise DataError(f"{name} is empty; fetch it again")
    reader = _decode_dicom if is_dicom(content) else _decode_pillow
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what cannot be read raises; the rest is the library's small talk
            return reader(name, content)
    except BROKEN as error:
        told = " ".join(str(error).split())[:200]
        raise DataError(f"{name} is damaged, cut off or no image ({type(error).__name__}: {told})") from error


def is_dicom(content: bytes) -> bool:
    """Whether a file says of itself that it is DICOM."""
    return content[128:132] == b"DICM"


def _decode_pillow(name: str, content: bytes) -> Picture:
    with Image.open(io.BytesIO(content)) as opened:
        if opened.width * opened.height > MOST_PIXELS:
            raise DataError(f"{name} has {opened.width} x {opened.height} pixels, more than are allowed")
        opened.load()
        is_turned = opened.getexif().get(ORIENTATION, 1) != 1
        turned = ImageOps.exif_transpose(opened) if is_turned else opened
        note = "turned" if is_turned else ""
        if opened.mode.startswith(("I;16", "I")):
            return Picture(_scaled(np.asarray(turned).astype(np.int64), 16, name), 16, note)
        if opened.mode == "F":
            raise ValueError("pixels are floating point numbers of unknown range")
        mode = "L" if opened.mode in GREY else "RGB"
        stored = np.asarray(turned if turned.mode == mode else turned.convert(mode))
        return Picture(np.divide(stored, np.float32(255), dtype=np.float32), 1 if opened.mode == "1" else 8, note)


def _scaled(values: NDArray[Any], bits: int, name: str) -> Floats:
    top = 2**bits - 1
    if values.min() < 0 or values.max() > top:
        raise DataError(f"{name} has values from {values.min()} to {values.max()}; 0 to {top} fit into {bits} bits")
    return np.asarray(values / top, np.float32)


def _decode_dicom(name: str, content: bytes) -> Picture:
    data = read_dicom(name, content)
    from pydicom.errors import BytesLengthException  # pydicom is an extra

    try:
        return _picture_of(name, data)
    except BytesLengthException as error:  # which it raises when a value is asked for
        raise DataError(f"{name} is no readable DICOM file ({error})") from error


def _picture_of(name: str, data: Any) -> Picture:
    from pydicom.pixels.utils import pixel_array  # pydicom is an extra

    if int(data.get("NumberOfFrames", 1) or 1) != 1:
        raise DataError(f"{name} has {data.NumberOfFrames} frames; one is expected")
    if int(data.Rows) * int(data.Columns) > MOST_PIXELS:
        raise DataError(f"{name} has {data.Columns} x {data.Rows} pixels, more than are allowed")
    bits, signed = int(data.BitsStored), bool(data.get("PixelRepresentation", 0))
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    slope = float(data.get("RescaleSlope", 1) or 1)
    values = np.clip((pixel_array(data).astype(np.float32) - low) / (high - low), 0, 1, dtype=np.float32)
    inverted = (data.PhotometricInterpretation == "MONOCHROME1") != (slope < 0)
    return Picture(1 - values if inverted else values, bits, "inverted" if inverted else "")


def read_dicom(name: str, content: bytes) -> Any:
    """The data set of a DICOM file, pixels not yet decoded."""
    try:
        import pydicom  # an extra: most users have no DICOM
        from pydicom.errors import InvalidDicomError
    except ImportError as error:
        msg = f"{name} is DICOM, which pydicom reads: pip install 'xaibench[dicom]'"
        raise DataError(msg) from error
    if DEFLATED in content:
        raise DataError(f"{name} is deflated DICOM, which may unpack to any size: convert it, as by dcmconv +te")
    try:
        return pydicom.dcmread(io.BytesIO(content))
    except (InvalidDicomError, *BROKEN) as error:
        raise DataError(f"{name} is no readable DICOM file ({error})") from error
