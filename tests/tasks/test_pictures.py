"""Decoding: values by hand, bits, orientation, inversion, and files that are damaged."""

import contextlib
import io
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import dcmwrite
from pydicom.pixels import get_decoder
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, RLELossless

from tests.tasks.make.inbreast import write_dicom
from xaibench.errors import DataError
from xaibench_tasks import pictures
from xaibench_tasks.pictures import decode, read_dicom

GREY = np.array([[0, 51, 102], [153, 204, 255]], np.uint8)


def encoded(pixels, kind, **options):
    file = io.BytesIO()
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    picture.save(file, kind, **options)
    return file.getvalue()


def dicom(tmp_path, pixels, change=None, **options):
    """A DICOM file's bytes; `change` edits its data set."""
    file = tmp_path / "x.dcm"
    write_dicom(file, pixels, **options)
    if change is None:
        return file.read_bytes()
    data = read_dicom("x", file.read_bytes())
    change(data)
    out = DicomBytesIO()
    dcmwrite(out, data, enforce_file_format=True)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["PPM", "PNG", "TIFF"])
def test_eight_bits_are_shares_of_255(kind):
    picture = decode("x", encoded(GREY, kind))
    assert picture.pixels.dtype == np.float32
    assert picture.bits == 8
    assert np.allclose(picture.pixels, [[0, 0.2, 0.4], [0.6, 0.8, 1]], atol=1e-6)


@pytest.mark.parametrize("kind", ["PPM", "PNG", "TIFF"])
def test_sixteen_bits_are_shares_of_65535(kind):
    picture = decode("x", encoded(np.array([[0, 13107], [257, 65535]], np.uint16), kind))
    assert picture.bits == 16
    assert np.allclose(picture.pixels, [[0, 0.2], [1 / 255, 1]], atol=1e-6)


def test_colour_keeps_its_channels_and_loses_its_transparency():
    pixels = np.array([[[255, 0, 51], [0, 102, 0]]], np.uint8)
    assert np.allclose(decode("x", encoded(pixels, "PNG")).pixels, pixels / 255, atol=1e-6)
    clear = np.concatenate([pixels, np.full((1, 2, 1), 7, np.uint8)], axis=2)
    assert np.allclose(decode("x", encoded(clear, "PNG")).pixels, pixels / 255, atol=1e-6)
    palette = Image.fromarray(pixels).convert("P", palette=Image.Palette.ADAPTIVE)
    assert np.allclose(decode("x", encoded(palette, "PNG")).pixels, pixels / 255, atol=1e-6)


def test_one_bit_is_black_and_white():
    picture = decode("x", encoded(Image.fromarray(GREY > 100), "PNG"))
    assert picture.bits == 1
    assert picture.pixels.tolist() == [[0, 0, 1], [1, 1, 1]]


def test_orientation_is_obeyed():
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter, clockwise
    picture = decode("x", encoded(Image.fromarray(GREY), "PNG", exif=exif))
    assert picture.note == "turned"
    assert np.allclose(picture.pixels * 255, np.rot90(GREY, -1), atol=1e-4)


def test_twelve_bits_of_dicom_are_shares_of_4095(tmp_path):
    picture = decode("x", dicom(tmp_path, np.array([[0, 819], [4095, 2457]]), bits=12))
    assert picture.bits == 12
    assert np.allclose(picture.pixels, [[0, 0.2], [1, 0.6]], atol=1e-6)


def test_monochrome1_is_turned_to_bright_on_dark(tmp_path):
    pixels = np.array([[0, 4095]])
    assert decode("x", dicom(tmp_path, pixels, bits=12)).pixels.tolist() == [[0, 1]]
    inverted = decode("x", dicom(tmp_path, pixels, bits=12, photometric="MONOCHROME1"))
    assert (inverted.pixels.tolist(), inverted.note) == ([[1, 0]], "inverted")


def test_a_negative_slope_inverts_once_more(tmp_path):
    def fall(data):
        data.RescaleSlope, data.RescaleIntercept = "-1", "4095"

    pixels = np.array([[0, 4095]])
    assert decode("x", dicom(tmp_path, pixels, fall, bits=12)).pixels.tolist() == [[1, 0]]
    assert decode("x", dicom(tmp_path, pixels, fall, bits=12, photometric="MONOCHROME1")).pixels.tolist() == [[0, 1]]


def test_signed_dicom_starts_below_zero(tmp_path):
    def signed(data):
        data.PixelRepresentation = 1

    pixels = np.array([-2048, 0, 2047], np.int16).view(np.uint16)[None]
    found = decode("x", dicom(tmp_path, pixels, signed, bits=12)).pixels
    assert np.allclose(found, [[0, 2048 / 4095, 1]], atol=1e-6)


def test_several_frames_are_refused(tmp_path):
    def doubled(data):
        data.NumberOfFrames = 2
        data.PixelData = data.PixelData * 2

    with pytest.raises(DataError, match=r"x\.dcm has 2 frames"):
        decode("x.dcm", dicom(tmp_path, GREY, doubled, bits=12))


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_compressed_dicom_is_decoded_to_the_same_pixels(tmp_path, syntax):
    pixels = np.random.default_rng(0).integers(0, 4096, (80, 64))
    plain = decode("x", dicom(tmp_path, pixels, bits=12)).pixels
    compressed = dicom(tmp_path, pixels, lambda data: data.compress(syntax), bits=12)
    assert read_dicom("x", compressed).file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(decode("x", compressed).pixels, plain)


def test_lossless_jpeg_as_published_sets_have_it_has_a_decoder():
    decoder = get_decoder(JPEGLosslessSV1)
    assert decoder.is_available, decoder.missing_dependencies


def test_without_pydicom_the_extra_is_named(tmp_path, monkeypatch):
    content = dicom(tmp_path, GREY, bits=12)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(DataError, match=r"xaibench\[dicom\]"):
        decode("x.dcm", content)


@pytest.fixture(params=["PPM", "PNG", "TIFF", "JPEG", "DICOM"])
def whole(request, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 40), dtype=np.uint8)
    return dicom(tmp_path, pixels, bits=12) if request.param == "DICOM" else encoded(pixels, request.param)


@pytest.mark.parametrize("part", [0.0, 0.02, 0.2, 0.5, 0.9])
def test_a_file_that_is_cut_off_is_named(whole, part):
    with pytest.raises(DataError, match="some/file"):
        decode("some/file", whole[: int(len(whole) * part)])


@given(data=st.data())
def test_damage_anywhere_never_gives_a_traceback(data, tmp_path_factory):
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    kind = data.draw(st.sampled_from(["PPM", "PNG", "TIFF", "JPEG", "DICOM"]))
    whole = dicom(tmp_path_factory.mktemp("x"), pixels, bits=12) if kind == "DICOM" else encoded(pixels, kind)
    content = bytearray(whole)
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=8)):
        content[at] = value
    with contextlib.suppress(DataError):
        picture = decode("some/file", bytes(content))
        assert picture.pixels.min() >= 0
        assert picture.pixels.max() <= 1


def test_a_dicom_value_of_the_wrong_length_is_named(tmp_path):
    content = bytearray(dicom(tmp_path, np.arange(256, dtype=np.uint8).reshape(16, 16), bits=12))
    at = content.index(b"\x28\x00\x10\x00US") + 6  # the length of Rows
    content[at] = 1
    with pytest.raises(DataError, match="some/file is no readable DICOM file"):
        decode("some/file", bytes(content))


@given(st.binary(max_size=300))
def test_no_bytes_whatsoever_give_a_traceback(content):
    with pytest.raises(DataError, match="some/file"):
        decode("some/file", content)


def test_images_of_absurd_size_are_refused_unread(monkeypatch):
    monkeypatch.setattr(pictures, "MOST_PIXELS", 5)
    with pytest.raises(DataError, match="3 x 2 pixels, more than are allowed"):
        decode("x", encoded(GREY, "PNG"))
