"""Hostile images: DICOM whose fields are made to deceive, and files that unpack to more than there is room for."""

import io
import zlib

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian

from xaibench.errors import DataError
from xaibench_tasks import pictures
from xaibench_tasks.pictures import decode


def dicom(**fields):
    """A grey 4 x 4 picture as DICOM, with some fields changed."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = "1.2.3"
    plain = {
        "Rows": 4, "Columns": 4, "BitsAllocated": 16, "BitsStored": 12, "HighBit": 11, "SamplesPerPixel": 1,
        "PixelRepresentation": 0, "PhotometricInterpretation": "MONOCHROME2", "PixelData": b"\x01\x02" * 16,
    }  # fmt: skip
    for name, value in {**plain, **fields}.items():
        setattr(data, name, value)
    stream = io.BytesIO()
    dcmwrite(stream, data, enforce_file_format=True)
    return stream.getvalue()


def told_or_read(content):
    """The pixels; None if the file was refused by its name. Nothing else is allowed."""
    try:
        return decode("x.dcm", content).pixels
    except DataError as error:
        if "x.dcm" not in str(error):
            raise AssertionError("the message names no file") from error
        return None


def test_the_plain_file_is_read():
    assert decode("x.dcm", dicom()).pixels.shape == (4, 4)


@pytest.mark.parametrize(
    "fields",
    [
        {"Rows": 65535, "Columns": 65535},
        {"Rows": 65535},
        {"Rows": 0},
        {"BitsStored": 0, "HighBit": 0},
        {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0, "PixelData": b"\x01\x02"},
        {"BitsAllocated": 64},
        {"SamplesPerPixel": 3},
        {"SamplesPerPixel": 65535},
        {"PixelRepresentation": 7},
        {"NumberOfFrames": 2**31 - 1},
        {"PhotometricInterpretation": "<script>"},
        {"PixelData": b""},
    ],
    ids=lambda fields: "-".join(fields),
)
@pytest.mark.filterwarnings("ignore")  # pydicom says in its way what is wrong
def test_fields_that_contradict_the_pixels_end_in_a_message_or_in_pixels_in_range(fields):
    pixels = told_or_read(dicom(**fields))
    if pixels is None:
        return
    assert pixels.shape[:2] == (4, 4)
    assert np.isfinite(pixels).all()
    assert pixels.min() >= 0
    assert pixels.max() <= 1


def test_a_slope_that_is_no_number_ends_in_a_message():
    broken = dicom(RescaleSlope="1.5").replace(b"1.5 ", b"nan ")
    pixels = told_or_read(broken)
    assert pixels is None or np.isfinite(pixels).all()


def test_deflated_dicom_is_refused_before_it_is_unpacked():
    """A thousand million bytes, in one million."""
    head = dicom(PixelData=b"\0\0" * 16).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99\0\0")
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = b"".join([packer.compress(bytes(10**6)) for _ in range(10)] + [packer.flush()])
    with pytest.raises(DataError, match="deflated DICOM"):
        decode("x.dcm", head[:400] + bomb)


def test_png_bombs_are_refused_by_their_header():
    """65,500 x 65,500 pixels, black: a few megabytes as a file, four thousand in memory."""
    side = 65_500
    header = b"IHDR" + side.to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    chunk = len(header[4:]).to_bytes(4, "big") + header + zlib.crc32(header).to_bytes(4, "big")
    body = b"IDAT" + zlib.compress(bytes(1000))
    chunk += (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    with pytest.raises(DataError, match=r"more than are allowed|decompression bomb"):
        decode("x.png", b"\x89PNG\r\n\x1a\n" + chunk)
    assert side**2 > pictures.MOST_PIXELS


def test_names_in_a_file_do_not_become_paths(tmp_path, monkeypatch):
    """A patient called ../../x is only text."""
    monkeypatch.chdir(tmp_path)
    decode("../../x.dcm", dicom(PatientID="../../x", PatientName="<img src=x onerror=alert(1)>"))
    assert list(tmp_path.iterdir()) == []
