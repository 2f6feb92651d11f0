"""Films from outside are read and prepared as a task's own images are."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from xaibench.errors import UsageError
from xaibench.registry import create

MAMMOGRAPHY = "1.2.840.10008.5.1.4.1.1.1.2"


def dicom_film(path, values, photometric="MONOCHROME1"):
    """12 bits in 16, as a mammography unit writes them."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MAMMOGRAPHY, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.PatientName, data.PatientID, data.StudyInstanceUID = "Doe^Jane", "P1", generate_uid()
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = MAMMOGRAPHY, meta.MediaStorageSOPInstanceUID, "MG"
    data.Rows, data.Columns = values.shape
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, photometric, 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    data.PixelData = values.astype(np.uint16).tobytes()
    data.save_as(path, enforce_file_format=True)
    return data


@pytest.fixture
def values():
    return np.random.default_rng(3).integers(0, 4096, (32, 32))


def test_of_an_inverted_dicom_the_network_sees_bright_for_dense(explain, values, tmp_path):
    dicom_film(tmp_path / "film.dcm", values)
    _, answer, _ = explain(tmp_path / "film.dcm", "--out", "out")
    raw = np.load(tmp_path / "out" / "film" / "toy_networks.py_Brightness.npy")
    assert np.allclose(raw, 1 - values / 4095, atol=1e-6)
    assert answer["films"][0]["reading"] == "inverted"


def test_a_dicom_that_is_not_inverted_stays_as_it_is(explain, values, tmp_path):
    dicom_film(tmp_path / "film.dcm", values, "MONOCHROME2")
    explain(tmp_path / "film.dcm", "--out", "out")
    raw = np.load(tmp_path / "out" / "film" / "toy_networks.py_Brightness.npy")
    assert np.allclose(raw, values / 4095, atol=1e-6)


def test_a_folder_finds_dicom_files_without_an_ending(explain, values, tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    dicom_film(folder / "IM0001", values)
    dicom_film(folder / "1.2.840.17", values)
    (folder / "DICOMDIR.txt").write_text("no film")
    _, answer, _ = explain(folder)
    assert sorted(row["film"] for row in answer["films"]) == ["1.2.840", "IM0001"]


def test_the_sheet_as_dicom_is_filed_in_the_study_of_its_film(explain, values, tmp_path):
    source = dicom_film(tmp_path / "film.dcm", values)
    for out in ("one", "two"):
        explain(tmp_path / "film.dcm", "--dicom", "--out", out)
    made = pydicom.dcmread(tmp_path / "one" / "film" / "sheet.dcm")
    assert made.SOPClassUID.name == "Secondary Capture Image Storage"
    assert (made.PatientID, made.StudyInstanceUID) == ("P1", source.StudyInstanceUID)
    assert made.SOPInstanceUID != source.SOPInstanceUID
    assert np.array_equal(
        made.pixel_array, np.asarray(Image.open(tmp_path / "one" / "film" / "sheet.png").convert("RGB"))
    )
    assert "not for diagnosis" in made.ImageComments


def test_a_picture_that_is_no_dicom_becomes_one_of_a_study_of_its_own(explain, film, tmp_path):
    explain(film, "--dicom", "--out", "out")
    made = pydicom.dcmread(tmp_path / "out" / "film" / "sheet.dcm")
    assert made.PatientID == ""
    assert made.StudyInstanceUID


def test_a_film_read_from_outside_is_the_sample_that_the_task_loads(tmp_path):
    """The same file, once as an image of the task and once as a film from outside, mask and steps included."""
    rng = np.random.default_rng(0)
    for name in "abcdefgh":
        Image.fromarray(rng.integers(0, 255, (60, 50), dtype=np.uint8)).save(tmp_path / f"{name}.png")
        mask = np.zeros((60, 50), np.uint8)
        mask[10:30, 20:40] = 255
        Image.fromarray(mask).save(tmp_path / f"{name}-mask.png")
    rows = [f"{name}.png,{'xy'[number % 2]},{name}-mask.png" for number, name in enumerate("abcdefgh")]
    (tmp_path / "index.csv").write_text("\n".join(["image,label,mask", *rows]))
    task = create("tasks", f"folder(path='{tmp_path}',size=32,steps='clahe')").plugin
    entry = task.entries("train", 0)[0]
    own, read = task.load(entry), task.read(tmp_path / entry.id, tmp_path / f"{Path(entry.id).stem}-mask.png")
    assert np.allclose(read.sample.image, own.image, atol=1e-3)  # the task keeps its pixels in fewer bits
    assert np.array_equal(read.sample.lesions[0], own.lesions[0])
    assert read.whole
    assert read.shown.shape == (60, 50)


def test_where_a_step_moves_pixels_the_maps_lie_over_what_the_network_sees(tmp_path, film):
    read = create("tasks", "picture(classes='a,b',size=32,steps='face')").plugin.read(film)
    assert not read.whole
    assert np.array_equal(read.shown, read.sample.image[0])


def test_colour_is_kept_where_the_task_is_in_colour(tmp_path):
    Image.new("RGB", (40, 40), (255, 0, 128)).save(tmp_path / "slide.png")
    read = create("tasks", "picture(classes='a,b',size=32,channels=3)").plugin.read(tmp_path / "slide.png")
    assert np.allclose(read.sample.image.mean(axis=(1, 2)), [1, 0, 128 / 255], atol=1e-3)


@pytest.mark.parametrize("classes", ["one", "a,a", ","])
def test_a_picture_needs_two_classes_that_differ(classes):
    with pytest.raises(UsageError, match="at least two"):
        create("tasks", f"picture(classes='{classes}')")
