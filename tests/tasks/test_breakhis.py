"""BreaKHis: names, published folds, and the task on a small copy of the published form."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.tasks.make import breakhis as make
from xaibench.errors import XaibenchError
from xaibench_tasks.breakhis import LISTED, BreakHis, inspect, published
from xaibench_tasks.breakhis_lists import FoldList, Photo, parse_list, parse_name, read_lists
from xaibench_tasks.sources import open_source

REAL = Path(os.environ.get("XAIBENCH_DATA", "/nowhere")) / "breakhis"
needs_real_lists = pytest.mark.skipif(not REAL.is_dir(), reason="XAIBENCH_DATA names no folder with breakhis/")
SPLITS = ("train", "val", "test")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Pictures and lists of the small set."""
    return make.make_folds(make.make_pictures(tmp_path_factory.mktemp("breakhis")))


def patients(task, split, fold):
    return {entry.patient for entry in task.entries(split, fold)}


def told(report):
    return [f"{finding.level} {finding.where}: {finding.what}" for finding in report.findings]


# --------------------------------------------------------------------------------------------------------------- names


def test_a_name_says_class_patient_and_magnification():
    assert parse_name("SOB_B_A-14-22549AB-40-001.png") == Photo(
        "SOB_B_A-14-22549AB-40-001.png", kind="A", patient="14-22549AB", magnification=40
    )


def test_the_slide_folder_is_written_with_an_underscore_before_the_year():
    photo = parse_name("SOB_M_DC-14-2523-400-001.png")
    assert photo is not None
    assert photo.slide == "SOB_M_DC_14-2523"


@pytest.mark.parametrize(
    "name",
    [
        "SOB_B_DC-14-2523-40-001.png",  # a carcinoma that calls itself benign
        "SOB_M_DC_14-2523-40-001.png",  # the folder's spelling
        "SOB_M_DC-14-2523-50-001.png",
        "SOB_M_DC-14-2523-40-001.PNG",
        "SOB_M_DC-14-2523-40-001.png\n",
        "SOB_M_DC-14-2523-40-\u0660\u0660\u0661.png",  # digits, but not 0 to 9
        "",
    ],
)
def test_other_names_are_no_pictures(name):
    assert parse_name(name) is None


@given(st.text() | st.from_regex(r"SOB_[BM]_[A-Z]{1,2}-\d\d-\w+-\d+-\d+\.png", fullmatch=True))
def test_any_text_is_a_picture_or_none(name):
    photo = parse_name(name)
    assert photo is None or (photo.name == name and photo.patient in name)


# --------------------------------------------------------------------------------------------------------------- lists


def line(name="SOB_B_A-14-22549AB-40-001.png", magnification="40", fold="1", part="train"):
    return f"{name}|{magnification}|{fold}|{part}"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lists_are_read_with_either_line_end(end):
    text = end.join([line(), line("SOB_M_DC-14-2523-100-001.png", "100", part="test"), ""])
    fold, findings = parse_list("dsfold1.txt", text.encode(), 1)
    assert findings == []
    assert fold.parts() == {"SOB_B_A-14-22549AB-40-001.png": "train", "SOB_M_DC-14-2523-100-001.png": "test"}


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ("SOB_B_A-14-22549AB-40-001.png|40|1", "has 3 fields"),
        (line("picture.png"), "no name of BreaKHis"),
        (line(magnification="100"), "does not agree"),
        (line(fold="2"), "in the list of fold 1"),
        (line(part="valid"), "neither train nor test"),
        (line("SOB_M_DC-14-2523-40-001.png"), "listed twice"),
    ],
)
def test_a_wrong_line_is_named_and_left_out(wrong, what):
    text = f"{line('SOB_M_DC-14-2523-40-001.png')}\n{wrong}\n"
    fold, findings = parse_list("dsfold1.txt", text.encode(), 1)
    assert [(finding.level, finding.where) for finding in findings] == [("error", "dsfold1.txt:2")]
    assert what in findings[0].what
    assert len(fold.rows) == 1


@given(
    st.binary(max_size=300)
    | st.lists(
        st.builds(
            "|".join,
            st.lists(st.sampled_from(["SOB_B_A-14-22549AB-40-001.png", "40", "1", "train", "", "\r", "x"]), max_size=6),
        )
    ).map(lambda lines: "\n".join(lines).encode())
)
def test_any_bytes_make_rows_and_findings_and_nothing_is_lost(content):
    fold, findings = parse_list("dsfold1.txt", content, 1)
    filled = [text for text in content.decode("utf-8", "replace").split("\n") if text.strip()]
    assert len(fold.rows) + len(findings) == len(filled)


def test_the_leak_is_found_in_the_folds_that_have_it(small):
    lists, findings = read_lists(open_source(small))
    assert findings == []
    assert {fold.number: sorted(fold.leaks()) for fold in lists if fold.leaks()} == {
        1: ["14-13412"],
        3: ["14-13412"],
        5: ["14-13412"],
    }


@needs_real_lists
def test_the_published_lists_hold_7909_names_of_81_patients_each():
    lists, findings = read_lists(open_source(REAL))
    assert findings == []
    for fold in lists:
        assert len(fold.parts()) == 7909
        assert len({row.photo.patient for row in fold.rows}) == 81
        parts = Counter(fold.parts().values())
        assert (parts["train"], parts["test"]) == LISTED[fold.number]
    assert [fold.number for fold in lists] == [1, 2, 3, 4, 5]


@needs_real_lists
def test_the_published_lists_are_the_same_with_crlf(tmp_path):
    for file in REAL.glob("dsfold*.txt"):
        (tmp_path / file.name).write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert read_lists(open_source(tmp_path)) == read_lists(open_source(REAL))


@needs_real_lists
def test_the_leak_of_the_published_lists_and_their_test_parts_are_told():
    report = inspect(open_source(REAL))
    leaks = [line for line in told(report) if "leak in fold" in line]
    assert leaks == [
        "warning dsfold1.txt:7152: leak in fold 1: patient 14-13412 is in train as DC (123 pictures) and in test as LC "
        "(123 pictures)",
        "warning dsfold3.txt:6257: leak in fold 3: patient 14-13412 is in train as LC (123 pictures) and in test as DC "
        "(123 pictures)",
        "warning dsfold5.txt:6280: leak in fold 5: patient 14-13412 is in train as LC (123 pictures) and in test as DC "
        "(123 pictures)",
    ]
    assert any("13 never, 20 once, 29 twice, 14 3 times, 5 4 times" in line for line in told(report))
    assert any(line.startswith("warning 14-13412: one patient under DC") for line in told(report))


@needs_real_lists
def test_the_published_lists_have_the_published_counts():
    report = inspect(open_source(REAL))
    assert {name: count for name, count in report.found.items() if name.startswith("listed")} == published("listed")
    assert not [name for name in report.deviations() if not name.startswith("pictures")]


# ---------------------------------------------------------------------------------------------------------------- task


def test_a_task_has_the_pictures_of_one_magnification_with_two_classes_or_eight(small):
    two = BreakHis(path=str(small), magnification=200, folds=1)
    eight = BreakHis(path=str(small), magnification=200, folds=1, labels="kinds")
    rows = {entry.id: entry for split in SPLITS for entry in two.entries(split, 0)}
    kinds = {entry.id: entry for split in SPLITS for entry in eight.entries(split, 0)}
    assert sorted(rows) == sorted(name.removesuffix(".png") for name in make.names([200]))
    assert two.classes == ("benign", "malignant")
    for name, row in rows.items():
        assert two.classes[row.label] == {"B": "benign", "M": "malignant"}[name.split("_")[1]]
    assert eight.classes[kinds["SOB_B_PT-14-22704-200-001"].label] == "phyllodes tumor"
    assert eight.classes[kinds["SOB_M_LC-14-13412-200-001"].label] == "lobular carcinoma"
    assert Counter(row.label for row in kinds.values()) == dict.fromkeys(range(8), 6)


def test_all_magnifications_together_keep_patients_whole(small):
    task = BreakHis(path=str(small), magnification=0, folds=1)
    assert sum(len(task.entries(split, 0)) for split in SPLITS) == len(make.names()) == 192
    assert not patients(task, "train", 0) & patients(task, "test", 0)


def test_own_folds_test_every_patient_once_and_14_13412_is_one_patient(small):
    task = BreakHis(path=str(small))
    tested = Counter(patient for fold in range(task.folds) for patient in patients(task, "test", fold))
    assert set(tested.values()) == {1}
    assert len(tested) == 23  # 24 slides
    for fold in range(task.folds):
        assert not any(patients(task, a, fold) & patients(task, b, fold) for a, b in combinations(SPLITS, 2))
        assert len(set.union(*(patients(task, split, fold) for split in SPLITS))) == 23


def test_official_folds_are_those_of_the_lists_but_for_the_leak(small):
    task = BreakHis(path=str(small), splits="official")
    assert task.folds == 5
    for fold, listed in enumerate(read_lists(open_source(small))[0]):
        parts = {name.removesuffix(".png"): part for name, part in listed.parts().items() if "-40-" in name}
        tested = {entry.id for entry in task.entries("test", fold)}
        wanted = {name for name, part in parts.items() if part == "test" and "13412" not in name}
        moved = {name for name in parts if "13412" in name} if listed.leaks() else set()
        assert tested == wanted | moved
        assert not patients(task, "test", fold) & (patients(task, "train", fold) | patients(task, "val", fold))
        assert task.entries("val", fold)


def test_a_leak_stays_only_where_it_is_asked_for(small):
    leaky = BreakHis(path=str(small), splits="official", conflict="keep")
    sides = [patients(leaky, "test", fold) & patients(leaky, "train", fold) for fold in range(5)]
    assert sides == [{"14-13412"}, set(), {"14-13412"}, set(), {"14-13412"}]
    clean = BreakHis(path=str(small), splits="official", conflict="train")
    assert not any("14-13412" in patients(clean, "test", fold) for fold in range(5))


def test_fingerprints_tell_the_splits_apart(small):
    tasks = [
        BreakHis(path=str(small)),
        BreakHis(path=str(small), splits="official"),
        BreakHis(path=str(small), splits="official", conflict="keep"),
        BreakHis(path=str(small), labels="kinds"),
        BreakHis(path=str(small), magnification=100),
    ]
    assert len({task.fingerprint() for task in tasks}) == 5
    assert BreakHis(path=str(small)).fingerprint() == tasks[0].fingerprint()


def test_a_fingerprint_changes_with_the_lists(small, tmp_path):
    copy = shutil.copytree(small, tmp_path / "copy")
    before = BreakHis(path=str(copy), splits="official").fingerprint()
    file = copy / "dsfold2.txt"
    file.write_text(file.read_text().replace("SOB_B_A-14-22549AB-40-001.png|40|2|train", line(fold="2", part="test")))
    assert BreakHis(path=str(copy), splits="official").fingerprint() != before


def test_pictures_are_loaded_as_they_are_also_those_of_456_rows(small):
    task = BreakHis(path=str(small), magnification=100, folds=1, size=23)
    entries = {entry.id: entry for split in SPLITS for entry in task.entries(split, 0)}
    for name in ("SOB_B_A-14-22549AB-100-001", "SOB_B_A-14-22549AB-100-002"):
        sample = task.load(entries[name])
        assert sample.image.shape == (3, 23, 23)
        assert sample.lesions == ()
        (file,) = small.rglob(f"{name}.png")
        with Image.open(file) as picture:
            assert picture.size == (70, 45 if name.endswith("001") else 46)
            mean = np.asarray(picture).mean(axis=(0, 1)) / 255
        np.testing.assert_allclose(sample.image.mean(axis=(1, 2)), mean, atol=2e-3)


def test_the_archive_is_read_in_place_with_the_lists_beside_it(small, tmp_path):
    for file in small.glob("dsfold*.txt"):
        shutil.copy(file, tmp_path)
    with tarfile.open(tmp_path / "BreaKHis_v1.tar.gz", "w:gz") as archive:
        archive.add(small / "BreaKHis_v1", "BreaKHis_v1")
    packed = BreakHis(path=str(tmp_path), splits="official", size=16)
    loose = BreakHis(path=str(small), splits="official", size=16)
    assert packed.entries("test", 0) == loose.entries("test", 0)
    entry = packed.entries("test", 0)[0]
    np.testing.assert_array_equal(packed.load(entry).image, loose.load(entry).image)
    assert packed.fingerprint() == loose.fingerprint()


# ------------------------------------------------------------------------------------------------------------ checking


def test_a_small_copy_is_told_as_incomplete_with_its_counts(small):
    report = inspect(open_source(small))
    assert report.exit_code() == 2
    assert report.found["pictures"] == 192
    assert report.found["pictures, patients"] == 23
    assert report.found["pictures, 100x malignant"] == 24
    assert report.found["pictures, ductal carcinoma"] == 24
    assert report.deviations()["pictures, 40x"] == (48, 1995)
    errors = [finding.what for finding in report.level("error")]
    assert errors == [
        f"48 of {count} pictures at {zoom}x: the copy is not complete, fetch it again"
        for zoom, count in ((40, 1995), (100, 2081), (200, 2013), (400, 1820))
    ]


def test_half_a_download_names_the_listed_pictures_that_are_not_there(small, tmp_path):
    copy = shutil.copytree(small, tmp_path / "copy")
    shutil.rmtree(copy / make.ROOT / "malignant" / "SOB" / "papillary_carcinoma")
    lines = told(inspect(open_source(copy)))
    row = (copy / "dsfold1.txt").read_text().splitlines().index("SOB_M_PC-14-15687B-100-001.png|100|1|train") + 1
    assert (
        f"error dsfold1.txt:{row}: 24 pictures are listed but not there, first SOB_M_PC-14-15687B-100-001.png" in lines
    )


@pytest.mark.parametrize("keep", [0, 8, 100])
def test_a_picture_cut_off_is_named(small, tmp_path, keep):
    copy = shutil.copytree(small, tmp_path / "copy")
    (file,) = copy.rglob("SOB_M_DC-14-2523-40-001.png")
    file.write_bytes(file.read_bytes()[:keep])
    named = [line for line in told(inspect(open_source(copy))) if "SOB_M_DC-14-2523-40-001.png" in line]
    assert len(named) == 1
    assert named[0].startswith(f"error {file.relative_to(copy).as_posix()}: ")


def test_misplaced_repeated_and_misnamed_pictures_are_named(small, tmp_path):
    copy = shutil.copytree(small, tmp_path / "copy")
    (file,) = copy.rglob("SOB_M_DC-14-2523-40-001.png")
    shutil.copy(file, file.parent.parent / "100X")
    shutil.copy(file, file.with_name("SOB_M_DC-14-2523-40-1.png"))
    lines = told(inspect(open_source(copy)))
    where = file.parent.parent.relative_to(copy).as_posix()
    assert f"warning {where}/100X/{file.name}: lies in 100X, against its name; the name is believed" in lines
    assert f"warning {where}/40X/SOB_M_DC-14-2523-40-1.png: not used: its name is not as published" in lines
    assert sum(f"{file.name} is there 2 times" in line for line in lines) == 2


@pytest.mark.parametrize("content", [(), ("notes.txt", "cat.png")])
def test_an_empty_and_a_wrong_folder_are_told_what_to_fetch(tmp_path, content):
    for name in content:
        (tmp_path / name).write_text("nothing")
    report = inspect(open_source(tmp_path))
    assert report.exit_code() == 2
    assert "BreaKHis_v1.tar.gz" in report.level("error")[0].what
    with pytest.raises(XaibenchError, match="fetch BreaKHis_v1"):
        BreakHis(path=str(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"magnification": 50}, "magnification='50'"),
        ({"labels": "nine"}, "labels='nine'"),
        ({"splits": "other"}, "splits='other'"),
        ({"splits": "official", "folds": 3}, "5 official folds"),
    ],
)
def test_options_that_cannot_be_are_refused(small, options, message):
    with pytest.raises(XaibenchError, match=message):
        BreakHis(path=str(small), **options)


def test_official_folds_without_lists_or_with_a_broken_one_are_refused(small, tmp_path):
    copy = shutil.copytree(small, tmp_path / "copy")
    (copy / "dsfold3.txt").write_text(line(fold="3") + "\nrubbish\n")
    with pytest.raises(XaibenchError, match=r"dsfold3\.txt:2: 'rubbish' has 1 fields"):
        BreakHis(path=str(copy), splits="official")
    (copy / "dsfold3.txt").write_text(line(fold="3"))
    with pytest.raises(XaibenchError, match=r"dsfold3\.txt does not list 47 of the pictures"):
        BreakHis(path=str(copy), splits="official")
    (copy / "dsfold3.txt").unlink()
    with pytest.raises(XaibenchError, match=r"4 of dsfold1\.txt"):
        BreakHis(path=str(copy), splits="official")


def test_a_fold_without_rows_has_no_leak():
    assert FoldList("dsfold1.txt", 1, ()).leaks() == {}


def test_a_magnification_that_is_not_there_is_named(tmp_path):
    make.make_pictures(tmp_path, magnifications=[40])
    assert len(BreakHis(path=str(tmp_path)).records) == 48
    assert any("no picture at 400x" in finding.what for finding in inspect(open_source(tmp_path)).level("warning"))
    with pytest.raises(XaibenchError, match=r"has no picture SOB_\*-400\*\.png"):
        BreakHis(path=str(tmp_path), magnification=400)
