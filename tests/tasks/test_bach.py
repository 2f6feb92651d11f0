"""BACH: names, table, and the task on a small copy of the published form."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tasks.make import bach as make
from xaibench.errors import XaibenchError
from xaibench_tasks.bach import CLASSES, Bach, Listed, inspect, is_apart, parse_name, parse_table
from xaibench_tasks.sources import open_source

REAL = Path(os.environ.get("XAIBENCH_DATA", "/nowhere")) / "bach"
needs_real_table = pytest.mark.skipif(not REAL.is_dir(), reason="XAIBENCH_DATA names no folder with bach/")
SPLITS = ("train", "val", "test")
ALL_NAMES = [f"{prefix}{number:03d}.tif" for prefix in ("n", "b", "is", "iv") for number in range(1, 101)]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Twelve photos of each class, on both sides of the published division, with all that does not belong there."""
    root = tmp_path_factory.mktemp("bach")
    return make.add_extras(make.make_pictures(root, numbers=range(40, 52)))


def told(report):
    return [f"{finding.level} {finding.where}: {finding.what}" for finding in report.findings]


def rows(task):
    return {entry.id: entry for split in SPLITS for entry in task.entries(split, 0)}


# --------------------------------------------------------------------------------------------------- names and tables


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("n001.tif", "Normal"),
        ("b100.tif", "Benign"),
        ("is039.tif", "InSitu"),
        ("iv100.tif", "Invasive"),
        ("test0.tif", None),
        ("._n001.tif", None),
        ("i001.tif", None),
        ("n000.tif", None),
        ("n1.tif", None),
        ("n001.TIF", None),
        ("n001.tif\n", None),
    ],
)
def test_a_name_says_its_class(name, label):
    assert parse_name(name) == label


def test_132_photos_are_apart_from_268():
    sides = Counter((parse_name(name), is_apart(name)) for name in ALL_NAMES)
    assert {label: sides[label, True] for label in CLASSES} == {
        "Normal": 23,
        "Benign": 48,
        "InSitu": 30,
        "Invasive": 31,
    }
    assert [name for name in ALL_NAMES if is_apart(name)][:2] == ["n046.tif", "n047.tif"]
    # The edges of the ranges, counted from the places 41-58, 60-89, 139-168, 240-257, 260-272 and 345-367 in the list
    # of all photos sorted by class (Benign, InSitu, Invasive, Normal) and number, which begins with place 0.
    places = [*range(41, 59), *range(60, 90), *range(139, 169), *range(240, 258), *range(260, 273), *range(345, 368)]
    ordered = [f"{prefix}{number:03d}.tif" for prefix in ("b", "is", "iv", "n") for number in range(1, 101)]
    assert {ordered[place] for place in places} == {name for name in ALL_NAMES if is_apart(name)}


def test_the_table_is_read_with_crlf_and_with_lf():
    text = "n001.tif,Normal\r\nis002.tif,InSitu\r\n"
    for content in (text, text.replace("\r", "")):
        table, findings = parse_table("t.csv", content.encode(), CLASSES)
        assert findings == []
        assert table == {"n001.tif": Listed("Normal", 1), "is002.tif": Listed("InSitu", 2)}


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ("n002.tif,Benign", "contradicts its name"),
        ("n002.tif,Odd", "has no value of Normal, Benign, InSitu, Invasive"),
        ("n002.tif", "has no value"),
        ("test0.tif,Normal", "does not begin with the name of a photo"),
        ("n001.tif,Normal", "is listed twice"),
    ],
)
def test_a_wrong_row_is_named_and_left_out(wrong, what):
    table, findings = parse_table("t.csv", f"n001.tif,Normal\r\n{wrong}\r\n".encode(), CLASSES)
    assert list(table) == ["n001.tif"]
    assert [(finding.level, finding.where) for finding in findings] == [("error", "t.csv:2")]
    assert what in findings[0].what


def test_a_header_is_passed_over():
    table, findings = parse_table("t.csv", b"image,label\nn001.tif,Normal\n", CLASSES)
    assert list(table) == ["n001.tif"]
    assert [finding.level for finding in findings] == ["note"]


@given(
    st.binary(max_size=200)
    | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.lists(st.sampled_from(["n001.tif", "is002.tif", ",", "Normal", "InSitu", "\r\n", "\n", '"', "x"])).map(
        lambda parts: "".join(parts).encode()
    )
)
def test_any_bytes_make_rows_and_findings_and_nothing_is_lost(content):
    table, findings = parse_table("t.csv", content, CLASSES)
    filled = [text for text in content.decode("utf-8-sig", "replace").split("\n") if text.strip()]
    assert len(table) + len(findings) == len(filled)
    assert all(row.value == parse_name(name) for name, row in table.items())


@needs_real_table
def test_the_published_table_has_400_rows_of_four_classes():
    content = (REAL / "microscopy_ground_truth.csv").read_bytes()
    assert content.count(b"\r\n") == 400
    table, findings = parse_table("microscopy_ground_truth.csv", content, CLASSES)
    assert findings == []
    assert Counter(row.value for row in table.values()) == dict.fromkeys(CLASSES, 100)
    assert sorted(table) == sorted(ALL_NAMES)


@needs_real_table
def test_the_published_table_without_photos_is_told_with_its_counts():
    report = inspect(open_source(REAL))
    assert report.exit_code() == 2
    assert {name: report.found[name] for name in report.found if name.startswith("listed")} == {
        "listed": 400,
        **{f"listed, {label}": 100 for label in CLASSES},
    }
    assert told(report)[0].startswith(
        "error microscopy_ground_truth.csv:1: 400 of 400 listed photos are not there, first n001.tif"
    )


# ---------------------------------------------------------------------------------------------------------------- task


def test_a_task_has_the_listed_photos_and_tests_on_those_apart(small):
    task = Bach(path=str(small))
    assert task.classes == CLASSES
    known = rows(task)
    assert len(known) == 48  # not n101, b101, is101, iv101
    assert {task.classes[entry.label] for name, entry in known.items() if name.startswith("is")} == {"InSitu"}
    tested = {entry.id for entry in task.entries("test", 0)}
    assert tested == {name for name in known if is_apart(f"{name}.tif")}
    assert len(tested) == 10 + 12 + 11 + 6  # b042 to b051, is040 to is051, iv041 to iv051, n046 to n051
    assert task.entries("val", 0)


def test_photos_are_loaded_as_they_are(small):
    task = Bach(path=str(small), size=12)
    entry = rows(task)["iv041"]
    sample = task.load(entry)
    assert sample.image.shape == (3, 12, 12)
    assert sample.lesions == ()
    whole = Bach(path=str(small), size=48)
    np.testing.assert_allclose(sample.image.mean(), whole.load(entry).image.mean(), atol=2e-3)
    assert whole.load(entry).image.std() > 0.01


def test_the_zip_gives_what_the_folder_gives(small, tmp_path):
    packed = Bach(path=str(make.zipped(small, tmp_path / "ICIAR2018_BACH_Challenge.zip")), size=16)
    loose = Bach(path=str(small), size=16)
    assert rows(packed) == rows(loose)
    assert packed.fingerprint() == loose.fingerprint()
    entry = packed.entries("test", 0)[0]
    np.testing.assert_array_equal(packed.load(entry).image, loose.load(entry).image)


def test_without_a_table_all_photos_are_used(small, tmp_path):
    copy = shutil.copytree(small, tmp_path / "copy")
    next(copy.rglob("microscopy_ground_truth.csv")).unlink()
    assert len(rows(Bach(path=str(copy)))) == 52


def test_own_splits_keep_the_patients_of_a_list_whole(small, tmp_path):
    copy = shutil.copytree(small, tmp_path / "copy")
    named = [f"{prefix}{number:03d}.tif" for prefix in make.FOLDERS for number in range(40, 48)]
    (copy / "patients.csv").write_text("".join(f"{name},P{at // 4}\n" for at, name in enumerate(named)))
    task = Bach(path=str(copy), splits="own", folds=3)
    for fold in range(3):
        places = {}
        for split in SPLITS:
            for entry in task.entries(split, fold):
                places.setdefault(entry.patient, set()).add(split)
        assert all(len(found) == 1 for found in places.values())
        assert len(places) == 8 + 16  # patients of the list, and photos it does not name
    assert f"note patients.csv: {52 - 32} photos without a patient" in "\n".join(told(inspect(open_source(copy))))


# ------------------------------------------------------------------------------------------------------------ checking


def test_what_does_not_belong_there_is_told(small):
    report = inspect(open_source(small))
    lines = told(report)
    photos = f"{make.ROOT}/Photos"
    assert f"warning {photos}/Benign/b101.tif: not used: {photos}/microscopy_ground_truth.csv does not list it" in lines
    assert f"note __MACOSX/{photos}/Normal/._n001.tif: not used: its name is none of a labelled photo" in lines
    assert any(line.endswith("1 photos of the test set are not used: no labels") for line in lines)
    assert sum(line.startswith("warning") for line in lines) == 4
    assert report.exit_code() == 0
    assert report.found["photos"] == report.found["listed"] == 48
    assert report.deviations()["photos, InSitu"] == (12, 100)


def test_half_a_download_and_a_wrong_folder_are_errors(small, tmp_path):
    copy = shutil.copytree(small, tmp_path / "copy")
    photos = copy / make.ROOT / "Photos"
    (photos / "Benign" / "b040.tif").rename(photos / "Normal" / "b040.tif")
    shutil.rmtree(photos / "InSitu")
    report = inspect(open_source(copy))
    table = f"{make.ROOT}/Photos/microscopy_ground_truth.csv"
    assert any(
        line.startswith(f"error {table}:25: 12 of 48 listed photos are not there, first is040") for line in told(report)
    )
    misplaced = f"warning {make.ROOT}/Photos/Normal/b040.tif: lies in Normal, but its name says Benign"
    assert any(line.startswith(misplaced) for line in told(report))
    assert report.exit_code() == 2
    with pytest.raises(XaibenchError, match=r"12 photos of .* are not there, such as is040"):
        Bach(path=str(copy))


@pytest.mark.parametrize("keep", [0, 9, 2000])
def test_a_photo_cut_off_is_named_and_skipped_only_on_demand(small, tmp_path, keep):
    copy = shutil.copytree(small, tmp_path / "copy")
    file = copy / make.ROOT / "Photos" / "Normal" / "n041.tif"
    file.write_bytes(file.read_bytes()[:keep])
    named = [line for line in told(inspect(open_source(copy))) if "n041.tif" in line]
    assert len(named) == 1
    assert named[0].startswith(f"error {make.ROOT}/Photos/Normal/n041.tif: ")
    strict = Bach(path=str(copy))
    with pytest.raises(XaibenchError, match=r"n041\.tif"):
        strict.load(rows(strict)["n041"])
    kept = Bach(path=str(copy), on_error="skip")
    assert list(kept.skipped) == ["n041"]
    assert len(rows(kept)) == 47


def test_one_copy_of_the_data_is_wanted(small, tmp_path):
    copy = shutil.copytree(small, tmp_path / "copy")
    shutil.copytree(copy / make.ROOT, copy / "again" / make.ROOT)
    assert inspect(open_source(copy)).exit_code() == 2
    with pytest.raises(XaibenchError, match="leave one copy"):
        Bach(path=str(copy))


@pytest.mark.parametrize("content", [(), ("notes.txt", "film.tif")])
def test_an_empty_and_a_wrong_folder_are_told_what_to_fetch(tmp_path, content):
    for name in content:
        (tmp_path / name).write_text("nothing")
    report = inspect(open_source(tmp_path))
    assert report.exit_code() == 2
    assert any("zenodo.org/records/3632035" in finding.what for finding in report.level("error"))
    with pytest.raises(XaibenchError, match=r"zenodo\.org"):
        Bach(path=str(tmp_path))


def test_an_archive_cut_off_is_told(small, tmp_path):
    file = make.zipped(small, tmp_path / "BACH.zip")
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(XaibenchError, match=r"BACH\.zip is damaged or only half there"):
        Bach(path=str(file))
