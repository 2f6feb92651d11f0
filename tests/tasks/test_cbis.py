"""CBIS-DDSM in its three forms: which picture is what, labels, splits, and what `inspect` says of damage."""

import os
import shutil
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.tasks.make import cbis as make
from xaibench.errors import DataError, UsageError, XaibenchError
from xaibench_tasks.cbis import CbisDdsm, film_records, inspect, read_tables
from xaibench_tasks.cbis_files import CbisFiles, choose, looks_like_mask
from xaibench_tasks.cbis_tables import TABLES, read_table
from xaibench_tasks.sources import open_source
from xaibench_tasks.splits import Splitting, assign, conflicts

REAL = Path(os.environ.get("XAIBENCH_DATA", "/nowhere")) / "cbis-ddsm"
needs_real_tables = pytest.mark.skipif(not REAL.is_dir(), reason="XAIBENCH_DATA names no folder with cbis-ddsm/")
SPLITS = ("train", "val", "test")
FORMS = {
    "classic": make.write_classic,
    "swapped": partial(make.write_classic, swapped=True),
    "retriever": make.write_retriever,
    "kaggle": make.write_kaggle,
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """The same small set in every form."""
    folders = {form: tmp_path_factory.mktemp(form) for form in FORMS}
    for form, write in FORMS.items():
        write(folders[form], make.SMALL)
    return folders


@pytest.fixture
def copy(sets, tmp_path):
    """One that may be damaged."""
    return shutil.copytree(sets["classic"], tmp_path / "copy")


def told(folder):
    return [f"{finding.level} {finding.where}: {finding.what}" for finding in inspect(open_source(folder)).findings]


def errors(folder):
    return [line for line in told(folder) if line.startswith("error")]


def patients(task, split, fold=0):
    return {entry.patient for entry in task.entries(split, fold)}


def entry(task, name):
    return next(e for split in SPLITS for e in task.entries(split, 0) if e.id == name)


# ------------------------------------------------------------------------------------------------------------ pictures


@pytest.mark.parametrize("form", FORMS)
def test_every_film_comes_with_its_own_masks_in_every_form(sets, form):
    task = CbisDdsm(path=str(sets[form]), size=64)
    for record in task.records:
        mine = [lesion for lesion in make.SMALL if lesion.film == record.id]
        frame = task.film(record)
        assert frame.image.shape == (make.HEIGHT, make.WIDTH)
        assert len(frame.masks) == len(mine)
        # JPEG moves brightness by two percent at most; the films differ by far more in their gradient.
        assert np.abs(frame.image - make.draw_film(mine) / 65535).max() < 0.15
        assert np.abs(frame.image - make.draw_film(mine) / 65535).mean() < 0.02
        for lesion, mask in zip(mine, frame.masks, strict=True):
            assert np.array_equal(mask, make.draw_mask(lesion) > 0)


@pytest.mark.parametrize("form", ["classic", "retriever", "kaggle"])
def test_the_form_is_recognised_and_nothing_is_missed_in_it(sets, form):
    report = inspect(open_source(sets[form]))
    assert not report.level("error")
    assert report.found["film files"] == report.found["films"] == 16
    assert report.found["mask files"] == report.found["rows"] == 17
    assert f"pictures are {'JPEG' if form == 'kaggle' else 'DICOM'}" in [finding.what for finding in report.findings]


def test_a_zip_is_read_in_place(sets, tmp_path):
    archive = tmp_path / "cbis.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for file in sets["kaggle"].rglob("*"):
            packed.write(file, file.relative_to(sets["kaggle"].parent))
    task, same = CbisDdsm(path=str(archive), size=64), CbisDdsm(path=str(sets["kaggle"]), size=64)
    one = task.entries("train", 0)[0]
    assert np.array_equal(task.load(one).image, same.load(one).image)
    assert task.fingerprint() == same.fingerprint()


@pytest.mark.parametrize("form", ["classic", "kaggle"])
def test_mask_and_crop_are_told_apart_though_the_mask_is_the_smaller_picture(form, tmp_path):
    """Only what they show may count, not their sizes."""
    lesion = make.Lesion(box=(2, 118, 2, 78))
    FORMS[form](tmp_path, [lesion])
    rows, _ = read_table("t.csv", make.table_text([lesion]))
    files = CbisFiles(open_source(tmp_path), rows)
    chosen = files.resolve("mask:" + lesion.folder)
    assert len(files.candidates("mask:" + lesion.folder)) == 2
    mask = np.zeros((40, 40), np.float32)
    mask[10:20, 10:20] = 1
    crop = np.tile(np.linspace(0.2, 0.9, 100, dtype=np.float32), (100, 1))
    assert choose({"a": mask, "b": crop}, mask=True) == "a"
    assert choose({"b": mask, "a": crop}, mask=True) == "b"
    assert chosen in files.candidates("mask:" + lesion.folder)


@pytest.mark.parametrize(
    ("pixels", "is_mask"),
    [
        (np.zeros((8, 8)), False),
        (np.eye(8), True),
        (np.full((8, 8), 0.5), False),
        (np.eye(8) * 0.9 + 0.05, True),
        (np.linspace(0, 1, 64).reshape(8, 8), False),
    ],
)
def test_a_mask_is_black_with_some_white(pixels, is_mask):
    assert looks_like_mask(pixels.astype(np.float32)) is is_mask


def test_a_mask_of_another_size_is_brought_to_that_of_its_film_and_reported(copy):
    lesion = make.SMALL[2]
    small = make.draw_mask(lesion)[::2, ::2]
    make.write_dicom(copy / lesion.paths[2], np.ascontiguousarray(small), lesion.folder, lesion.paths[2])
    task = CbisDdsm(path=str(copy), size=64)
    record = next(record for record in task.records if record.id == lesion.film)
    mask = task.film(record).masks[0]
    assert mask.shape == (make.HEIGHT, make.WIDTH)
    assert (mask == (make.draw_mask(lesion) > 0)).mean() > 0.98
    assert any(f"mask {lesion.folder} is 40 x 60, its film 80 x 120" in line for line in told(copy))


# ------------------------------------------------------------------------------------------------------ labels, splits


def test_a_film_is_malignant_if_any_of_its_lesions_is_in_either_table(sets):
    task = CbisDdsm(path=str(sets["classic"]), size=64)
    labels = {record.id: record.label for record in task.records}
    assert task.classes == ("benign", "malignant")
    assert labels["Mass-Training_P_00001_LEFT_CC"] == 1
    assert labels["Calc-Training_P_00003_LEFT_CC"] == 1  # benign there, malignant in the table of masses
    assert labels["Mass-Training_P_00002_LEFT_CC"] == 0
    assert labels["Calc-Training_P_00005_LEFT_CC"] == 0


def test_the_first_row_labels_a_film_if_asked_for(sets):
    task = CbisDdsm(path=str(sets["classic"]), size=64, label="first")
    assert {r.id: r.label for r in task.records}["Calc-Training_P_00003_LEFT_CC"] == 0


def test_tables_lesions_without_callback_and_twins_can_be_left_out(sets):
    def ids(**options):
        return {record.id for record in CbisDdsm(path=str(sets["classic"]), size=64, official=False, **options).records}

    everything = ids()
    assert len(everything) == 16
    assert everything - ids(lesions="mass") == {name for name in everything if name.startswith("Calc")}
    assert {name.split("_")[2] for name in everything - ids(callback="drop")} == {"00005", "00006", "00007"}
    assert everything - ids(twins="drop") == {"Calc-Training_P_00003_LEFT_CC", "Mass-Test_P_00003_LEFT_CC"}


@pytest.mark.parametrize("conflict", ["test", "train"])
def test_a_patient_on_both_sides_is_kept_on_one(sets, conflict):
    task = CbisDdsm(path=str(sets["classic"]), size=64, conflict=conflict)
    sides = [patients(task, split) for split in SPLITS]
    assert sum(map(len, sides)) == len(set.union(*sides))
    both = {"P_00003", "P_00004"}
    assert both <= (sides[2] if conflict == "test" else sides[0] | sides[1])


def test_keeping_the_leak_has_to_be_asked_for(sets):
    task = CbisDdsm(path=str(sets["classic"]), size=64, conflict="keep")
    assert patients(task, "train") & patients(task, "test") == {"P_00003", "P_00004"}


def test_no_patient_is_on_two_sides_of_any_own_fold(sets):
    task = CbisDdsm(path=str(sets["classic"]), size=64, official=False, folds=3)
    tested = [patients(task, "test", fold) for fold in range(3)]
    assert set.union(*tested) == {record.patient for record in task.records}
    assert sum(map(len, tested)) == len(set.union(*tested))
    for fold in range(3):
        assert not patients(task, "train", fold) & (patients(task, "val", fold) | tested[fold])


def test_options_that_cannot_be_are_refused(sets):
    for options in ({"lesions": "x"}, {"callback": "x"}, {"label": "x"}, {"twins": "x"}, {"size": 1}, {"folds": 3}):
        with pytest.raises(UsageError):
            CbisDdsm(path=str(sets["classic"]), **options)


@needs_real_tables
@pytest.mark.parametrize("conflict", ["test", "train"])
def test_the_31_real_patients_on_both_sides_end_on_one(conflict):
    records = film_records(read_tables(open_source(REAL)), "worst", "apart")
    splits = assign(records, Splitting(official=True, conflict=conflict))[0]
    sides = [{record.patient for record in records if splits[record.id] == split} for split in SPLITS]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 1566
    leaking = set(conflicts(records))
    assert len(leaking) == 31
    assert leaking <= (sides[2] if conflict == "test" else sides[0] | sides[1])


@needs_real_tables
def test_the_real_tables_alone_are_no_task_and_the_error_says_what_is_missing():
    with pytest.raises(DataError, match="has no file for film:Calc-Test_P_00038_LEFT_CC: fetch it"):
        CbisDdsm(path=str(REAL))


# ------------------------------------------------------------------------------------------------------------- inspect


def test_the_quirks_of_the_small_set_are_told(sets):
    lines = told(sets["classic"])
    assert any("calc train and mass test share 1 patients (P_00003)" in line for line in lines)
    assert any("mass train and calc test share 1 patients (P_00004)" in line for line in lines)
    assert any("1 films carry lesions of different pathology, 1 a malignant one" in line for line in lines)
    assert any("1 films are listed twice" in line for line in lines)
    assert any("1 rows have crop and mask in different series" in line for line in lines)


@needs_real_tables
def test_the_real_tables_deviate_in_the_missing_pictures_alone():
    report = inspect(open_source(REAL))
    assert report.deviations() == {"film files": (0, 3103), "mask files": (0, 3568)}
    assert [finding.what for finding in report.level("error")] == [
        "has the tables, but no film and no mask that they name"
    ]
    what = " ".join(finding.what for finding in report.findings)
    for words in ("share 18 patients", "share 13 patients", "19 films carry", "17 a malignant", "71 films", "104 rows"):
        assert words in what


def test_an_empty_folder_and_a_wrong_one_are_told(tmp_path):
    assert any("has no usable table" in line for line in errors(tmp_path))
    (tmp_path / TABLES[0]).write_text("name,age\nx,1\n")
    assert any(f"{TABLES[0]}:1: is no CBIS-DDSM table: no column 'patient_id'" in line for line in errors(tmp_path))
    with pytest.raises(DataError, match="is no CBIS-DDSM table"):
        CbisDdsm(path=str(tmp_path))


def test_no_place_is_an_error_that_says_what_to_fetch(monkeypatch):
    monkeypatch.delenv("XAIBENCH_DATA", raising=False)
    with pytest.raises(DataError, match=r"(?s)Cancer Imaging Archive.*CC BY 3.0|CC BY 3.0.*Cancer Imaging Archive"):
        CbisDdsm()


def test_missing_and_damaged_pictures_are_named_with_the_line_of_the_table(copy):
    gone, cut, empty, halved = (make.SMALL[at] for at in (2, 3, 11, 12))
    (copy / gone.paths[0]).unlink()
    (copy / cut.paths[0]).write_bytes((copy / cut.paths[0]).read_bytes()[:2000])
    (copy / empty.paths[2]).write_bytes(b"")
    (copy / halved.paths[2]).unlink()
    lines = errors(copy)
    assert len(lines) == 4
    assert any(
        "mass_case_description_train_set.csv:6: " in line and f"no file for film:{gone.film}" in line for line in lines
    )
    assert any(
        "mass_case_description_train_set.csv:8: " in line and "damaged" in line and cut.paths[0] in line
        for line in lines
    )
    assert any("calc_case_description_train_set.csv:6: " in line and "is empty" in line for line in lines)
    assert any("is a mask: no picture there is black and white" in line for line in lines)


def test_a_missing_table_is_a_warning_and_the_rest_is_used(copy):
    (copy / TABLES[0]).unlink()
    assert f"warning {TABLES[0]}: is not there: its films cannot be used" in told(copy)
    assert not errors(copy)
    assert {record.id.split("_")[0] for record in CbisDdsm(path=str(copy)).records} == {
        "Calc-Training",
        "Mass-Training",
        "Mass-Test",
    }


def test_two_different_copies_of_a_table_are_told(copy):
    (copy / "old").mkdir()
    (copy / "old" / TABLES[3]).write_bytes(make.table_text(make.SMALL[:2]))
    assert any("differs from" in line and line.startswith("warning") for line in told(copy))


def test_a_picture_that_cannot_be_used_stops_loading_unless_it_may_be_skipped(copy):
    bad = make.SMALL[2]
    (copy / bad.paths[0]).write_bytes((copy / bad.paths[0]).read_bytes()[:2000])
    task = CbisDdsm(path=str(copy), size=64)
    with pytest.raises(DataError, match="damaged"):
        task.load(entry(task, bad.film))
    lenient = CbisDdsm(path=str(copy), size=64, on_error="skip")
    assert list(lenient.skipped) == [bad.film]
    assert "damaged" in lenient.skipped[bad.film]
    assert len(lenient.records) == len(task.records) - 1


@pytest.mark.parametrize("write", [make.write_classic, make.write_kaggle])
def test_no_damage_to_any_file_ends_in_a_traceback(write, tmp_path):
    """Every file cut at three places: loading gives a sample or an error that is meant for people."""
    copy = tmp_path / "cbis"
    write(copy, [make.SMALL[2], make.SMALL[3], make.SMALL[5]])
    for file in sorted(file for file in copy.rglob("*") if file.is_file()):
        whole = file.read_bytes()
        for length in (0, 100, len(whole) // 2):
            file.write_bytes(whole[:length])
            inspect(open_source(copy))
            try:
                task = CbisDdsm(path=str(copy), size=32)
                for one in task.entries("train", 0):
                    task.load(one)
            except XaibenchError as error:
                assert str(error)  # noqa: PT017  # either end is right
        file.write_bytes(whole)
