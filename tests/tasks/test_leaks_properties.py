"""The search for leaks, held against what it promises on sets drawn by Hypothesis and on drawn pictures."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from io import BytesIO
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from xaibench_tasks.leaks import NEAR, find_leaks, identical, near_duplicates
from xaibench_tasks.ledger import Ledger
from xaibench_tasks.records import Record
from xaibench_tasks.sources import open_source


class Known:
    """A ledger of what is told to it."""

    def __init__(self, looks, pixels):
        self.looks, self.hashes = looks, pixels

    def look(self, name):
        return self.looks[name]

    def pixels(self, name):
        return self.hashes[name]

    def save(self):
        pass


def flat_records(count):
    return [Record(id=f"i{at:04d}", patient=f"P{at}", label=0, image=f"f{at:04d}") for at in range(count)]


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.integers(2, 40), st.integers(0, 60))
def test_near_duplicates_are_exactly_the_pairs_that_differ_in_few_signs(seed, count, most):
    rng = np.random.default_rng(seed)
    records = flat_records(count)
    base = rng.integers(0, 2, 256)
    bits = []
    for _ in records:
        own = base.copy()
        flipped = rng.choice(256, rng.integers(0, most + 1), replace=False)
        own[flipped] ^= 1
        bits.append(own)
    looks = {record.image: np.packbits(own).tobytes().hex() for record, own in zip(records, bits, strict=True)}
    ledger = Known(looks, {record.image: record.id for record in records})
    wanted = [
        (records[one].id, records[other].id)
        for one, other in combinations(range(count), 2)
        if int((bits[one] != bits[other]).sum()) <= NEAR
    ]
    assert near_duplicates(records, ledger) == wanted


def test_near_duplicates_are_found_across_blocks_of_many_images():
    rng = np.random.default_rng(0)
    records = flat_records(2600)
    looks = {record.image: rng.bytes(32).hex() for record in records}
    for one, other in ((3, 2500), (1023, 1024), (2048, 2047)):
        looks[records[other].image] = looks[records[one].image]
    ledger = Known(looks, {record.image: record.id for record in records})
    assert near_duplicates(records, ledger) == [("i0003", "i2500"), ("i1023", "i1024"), ("i2047", "i2048")]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_identical_images_are_exactly_the_groups_of_equal_pixels(contents):
    records = flat_records(len(contents))
    ledger = Known({}, {record.image: f"c{content}" for record, content in zip(records, contents, strict=True)})
    wanted = defaultdict(list)
    for record, content in zip(records, contents, strict=True):
        wanted[content].append(record.id)
    assert sorted(identical(records, ledger)) == sorted(group for group in wanted.values() if len(group) > 1)


# ---------------------------------------------------------------------------------------------------- leaks, on pixels


def texture(seed, size=(120, 90)):
    """Clouds and lines: no two seeds look alike."""
    rng = np.random.default_rng(seed)
    clouds = Image.fromarray(rng.integers(0, 255, (9, 7), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    fine = Image.fromarray(rng.integers(0, 255, (30, 40), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    return Image.blend(clouds, fine, 0.3)


def as_jpeg(picture):
    file = BytesIO()
    picture.save(file, "JPEG", quality=40)
    return Image.open(file)


CHANGES = {
    "jpeg": as_jpeg,
    "half size": lambda picture: picture.resize((60, 45), Image.Resampling.BOX),
    "brighter": lambda picture: picture.point(lambda value: min(255, value + 20)),
    "colour": lambda picture: picture.convert("RGB"),
    "one pixel": lambda picture: picture.point(lambda value: value ^ 1 if value == 77 else value),
}


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(40):
        texture(seed).save(folder / f"own{seed:02d}.png")
    return folder


def pixel_records(folder):
    return [
        Record(id=file.stem, patient=file.stem, label=0, image=file.name)
        for file in sorted(folder.iterdir())
        if file.suffix
    ]


def found_in(folder):
    records = pixel_records(folder)
    ledger = Ledger(open_source(folder))
    return identical(records, ledger), near_duplicates(records, ledger)


def test_different_pictures_are_no_duplicates(pictures):
    assert found_in(pictures) == ([], [])


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".pgm"])
def test_the_same_pixels_in_another_file_format_are_identical(pictures, suffix):
    with Image.open(pictures / "own07.png") as picture:
        picture.save(pictures / f"zwin{suffix}")
    assert found_in(pictures) == ([["own07", "zwin"]], [])


@pytest.mark.parametrize("change", CHANGES)
def test_a_picture_changed_a_little_is_a_duplicate_of_its_own_and_of_no_other(pictures, change):
    with Image.open(pictures / "own11.png") as picture:
        CHANGES[change](picture).save(pictures / "zwin.png")
    groups, pairs = found_in(pictures)
    assert pairs == [("own11", "zwin")] or groups == [["own11", "zwin"]]


def test_a_picture_changed_since_is_looked_at_again(pictures):
    assert found_in(pictures) == ([], [])
    texture(3).save(pictures / "own04.png")
    assert found_in(pictures) == ([["own03", "own04"]], [])


def test_flat_pictures_are_identical_but_never_near(pictures):
    for number, tone in enumerate((0, 0, 128)):
        Image.new("L", (50, 50), tone).save(pictures / f"zflat{number}.png")
    assert found_in(pictures) == ([["zflat0", "zflat1"]], [])


def test_damaged_pictures_take_no_part(pictures):
    for name in ("zbad1.png", "zbad2.png"):
        (pictures / name).write_bytes(b"not a picture")
    assert found_in(pictures) == ([], [])


def test_leaks_name_folds_labels_and_patients(pictures):
    with Image.open(pictures / "own00.png") as picture:
        picture.save(pictures / "zwin.png")
    records = [replace(record, label=int(record.id == "zwin")) for record in pixel_records(pictures)]
    apart = {record.id: "test" if record.id == "zwin" else "train" for record in records}
    together = {record.id: "train" for record in records}
    findings = find_leaks(records, [together, apart], Ledger(open_source(pictures)))
    (warning,) = [finding for finding in findings if finding.level == "warning"]
    for part in ("identical pixels: own00, zwin", "of fold(s) 1", "different labels", "different patients"):
        assert part in warning.what
