"""BUSI: names, several masks, and the task on a small copy of the published form."""

from __future__ import annotations

import zipfile
from pathlib import PurePosixPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.tasks.make import busi as make
from xaibench.errors import XaibenchError
from xaibench_tasks.busi import Busi, find_scans, inspect, parse_name
from xaibench_tasks.sources import open_source

SPLITS = ("train", "val", "test")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def small(tmp_path):
    return make.make(tmp_path / "busi")


def told(report):
    return [f"{finding.level} {finding.where}: {finding.what}" for finding in report.findings]


def rows(task):
    return {entry.id: entry for split in SPLITS for entry in task.entries(split, 0)}


def file_of(root, name):
    return root / make.ROOT / name.split()[0] / f"{name}.png"


class Listing:
    """A source of names alone."""

    def __init__(self, names):
        self.listed = names

    def find(self, pattern):
        return [name for name in self.listed if PurePosixPath(name.lower()).match(pattern.lower())]


# --------------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("benign (1).png", ("benign (1)", -1)),
        ("benign (100)_mask.png", ("benign (100)", 0)),
        ("malignant (53)_mask_1.png", ("malignant (53)", 1)),
        ("normal (7)_mask_12.png", ("normal (7)", 12)),
        ("benign (1)_mask_0.png", None),
        ("benign (1)_Mask.png", None),
        ("benign(1).png", None),
        ("benign (1) copy.png", None),
        ("other (1).png", None),
        ("benign (1).png\n", None),
        (f"benign ({'9' * 5000}).png", None),
    ],
)
def test_a_name_says_scan_and_mask(name, parsed):
    assert parse_name(name) == parsed


names = st.builds(
    "{}{} ({}){}{}".format,
    st.sampled_from(["", "a/", "benign/", "normal/"]),
    st.sampled_from(["benign", "malignant", "normal", "odd"]),
    st.integers(-1, 10**7),
    st.sampled_from(["", "_mask", "_mask_1", "_mask_2", "_mask_01", "_mask_x"]),
    st.sampled_from([".png", ".PNG", ".jpg"]),
)


@given(st.lists(names | st.text(st.characters(exclude_characters="/\0"), min_size=1), unique=True, max_size=12))
def test_any_names_make_scans_and_findings_and_nothing_is_lost(listed):
    scans, findings = find_scans(Listing(sorted(listed)))
    used = [file for scan in scans for file in (scan.file, *scan.masks) if file]
    passed_over = {finding.where for finding in findings if "believed" not in finding.what}
    assert len(set(used)) == len(used)
    assert sorted([*used, *passed_over]) == sorted(Listing(listed).find("*.png"))


# ---------------------------------------------------------------------------------------------------------------- task


def test_every_mask_is_a_lesion_of_its_own_and_together_they_are_the_drawn_discs(small):
    task = Busi(path=str(small), size=47)
    entries = rows(task)
    assert len(entries) == 15
    for scan in make.SCANS:
        sample = task.load(entries[scan.name])
        assert len(sample.lesions) == len(scan.discs)
        assert task.classes[entries[scan.name].label] == scan.name.split()[0]
        for disc, mask in zip(scan.discs, sample.lesions, strict=True):
            row, column = (np.nonzero(mask)[axis].mean() / 47 for axis in (0, 1))
            assert (row, column) == pytest.approx((disc[0], disc[1]), abs=0.03)


@pytest.mark.parametrize("name", ["benign (1)", "benign (2)", "benign (3)", "malignant (3)"])
def test_masks_of_modes_1_l_rgb_and_rgba_are_the_same_disc(small, name):
    with Image.open(file_of(small, f"{name}_mask")) as mask:
        assert mask.mode == {"benign (1)": "1", "benign (2)": "L", "benign (3)": "RGB", "malignant (3)": "RGBA"}[name]
    task = Busi(path=str(small), size=47)
    drawn = make.mask_of(make.ONE[0], (56, 47), "L").resize((47, 47), Image.Resampling.NEAREST)
    (lesion,) = task.load(rows(task)[name]).lesions
    np.testing.assert_array_equal(lesion, np.asarray(drawn) > 0)


def test_a_mask_of_grey_that_is_not_white_counts_whole(small):
    file = file_of(small, "benign (2)_mask")
    with Image.open(file) as opened:
        grey = opened.point(lambda value: 1 if value else 0)
    grey.save(file)
    task = Busi(path=str(small), size=47)
    first, second = (task.load(rows(task)[f"benign ({number})"]).lesions[0] for number in (1, 2))
    np.testing.assert_array_equal(first, second)


def test_a_mask_of_another_size_is_stretched_to_its_picture_and_told(small):
    task = Busi(path=str(small), size=42)
    lesions = task.load(rows(task)["benign (4)"]).lesions
    with Image.open(file_of(small, "benign (4)_mask_1")) as mask:
        assert mask.size == (55, 47)
        share = (np.asarray(mask) > 0).mean()
    assert lesions[1].mean() == pytest.approx(share, abs=0.01)
    assert (
        f"warning {make.ROOT}/benign/benign (4)_mask_1.png: 55 x 47 pixels, but its picture has 42 x 42; the mask is "
        "stretched to fit"
    ) in told(inspect(open_source(small)))


def test_pictures_of_modes_rgb_rgba_and_l_become_one_channel(small):
    task = Busi(path=str(small), size=47)
    for name, mode in (("benign (1)", "RGB"), ("benign (5)", "RGBA"), ("benign (6)", "L")):
        with Image.open(file_of(small, name)) as picture:
            assert picture.mode == mode
            mean = np.asarray(picture.convert("L")).mean() / 255
        image = task.load(rows(task)[name]).image
        assert image.shape == (1, 47, 47)
        assert image.mean() == pytest.approx(mean, abs=2e-3)


def test_two_classes_leave_the_normal_scans_out(small):
    task = Busi(path=str(small), labels="two")
    assert task.classes == ("benign", "malignant")
    assert {entry.id: task.classes[entry.label] for entry in rows(task).values()} == {
        scan.name: scan.name.split()[0] for scan in make.SCANS if scan.discs
    }


def test_the_zip_gives_what_the_folder_gives(small, tmp_path):
    file = tmp_path / "Dataset_BUSI_with_GT.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for member in sorted(small.rglob("*.png")):
            archive.write(member, member.relative_to(small))
    packed, loose = Busi(path=str(file), size=20), Busi(path=str(small), size=20)
    assert rows(packed) == rows(loose)
    assert packed.fingerprint() == loose.fingerprint()
    entry = rows(packed)["malignant (2)"]
    assert len(packed.load(entry).lesions) == 3
    np.testing.assert_array_equal(packed.load(entry).lesions, loose.load(entry).lesions)


def test_a_fingerprint_changes_with_a_mask(small):
    before = Busi(path=str(small)).fingerprint()
    make.mask_of((0.5, 0.5, 0.1), (56, 47), "1").save(file_of(small, "malignant (4)_mask"))
    assert Busi(path=str(small)).fingerprint() != before


# ------------------------------------------------------------------------------------------------------------ checking


def test_counts_are_told_beside_the_published_ones(small):
    report = inspect(open_source(small))
    assert report.found == {
        "pictures": 15,
        "pictures, normal": 4,
        "pictures, benign": 6,
        "pictures, malignant": 5,
        "pictures with several masks": 2,
    }
    assert report.published == {
        "pictures": 780,
        "pictures, normal": 133,
        "pictures, benign": 437,
        "pictures, malignant": 210,
        "pictures with several masks": 17,
    }
    assert [finding.what for finding in report.level("error")] == [
        "not complete: 129 normal, 431 benign, 205 malignant of the published pictures are not there"
    ]


def test_a_tumour_without_a_mask_and_a_mask_without_a_picture_are_refused(small):
    file_of(small, "benign (2)_mask").unlink()
    file_of(small, "malignant (2)").unlink()
    lines = told(inspect(open_source(small)))
    assert f"error {make.ROOT}/benign/benign (2).png: no mask is there; fetch the data again" in lines
    missing = f"error {make.ROOT}/malignant/malignant (2)_mask.png: the picture malignant (2).png is not there"
    assert any(line.startswith(missing) for line in lines)
    with pytest.raises(XaibenchError, match=r"benign \(2\)\.png: no mask is there"):
        Busi(path=str(small))


def test_a_normal_scan_needs_no_mask_and_one_that_shows_something_is_told(small):
    file_of(small, "normal (1)_mask").unlink()
    make.mask_of(make.ONE[0], (56, 47), "RGB").save(file_of(small, "normal (2)_mask"))
    make.mask_of(None, (56, 47), "1").save(file_of(small, "malignant (4)_mask"))
    lines = told(inspect(open_source(small)))
    assert f"warning {make.ROOT}/normal/normal (2)_mask.png: shows a lesion on a normal scan; it is not used" in lines
    assert f"warning {make.ROOT}/malignant/malignant (4)_mask.png: is all black: a lesion without a place" in lines
    task = Busi(path=str(small))
    assert task.load(rows(task)["normal (2)"]).lesions == ()


@pytest.mark.parametrize("name", ["benign (1)", "malignant (2)_mask_1", "normal (3)_mask"])
@pytest.mark.parametrize("keep", [0, 20, 60])
def test_a_file_cut_off_is_named(small, name, keep):
    file = file_of(small, name)
    file.write_bytes(file.read_bytes()[:keep])
    named = [line for line in told(inspect(open_source(small))) if f"{name}.png" in line]
    assert len(named) == 1
    assert named[0].startswith(f"error {file.relative_to(small).as_posix()}: ")


def test_other_files_and_second_copies_are_told(small):
    file_of(small, "benign (1)").with_name("benign (1) - copy.png").write_bytes(b"")
    lines = told(inspect(open_source(small)))
    assert f"warning {make.ROOT}/benign/benign (1) - copy.png: not used: its name is not as published" in lines
    make.make(small / "again", make.SCANS[:1])
    with pytest.raises(XaibenchError, match="leave one copy of the data"):
        Busi(path=str(small))


@pytest.mark.parametrize("content", [(), ("notes.txt", "cat.png")])
def test_an_empty_and_a_wrong_folder_are_told_what_to_fetch(tmp_path, content):
    for name in content:
        (tmp_path / name).write_text("nothing")
    report = inspect(open_source(tmp_path))
    assert report.exit_code() == 2
    assert any("Dataset_BUSI_with_GT.zip" in finding.what for finding in report.level("error"))
    with pytest.raises(XaibenchError, match=r"fetch Dataset_BUSI_with_GT\.zip"):
        Busi(path=str(tmp_path))


def test_options_that_cannot_be_are_refused(small):
    with pytest.raises(XaibenchError, match="labels='four'"):
        Busi(path=str(small), labels="four")
