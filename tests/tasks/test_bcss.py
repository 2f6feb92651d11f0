"""BCSS: names, codes, patches, and the task on a small copy of the published form."""

from __future__ import annotations

import json
import pickle
import shutil
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.tasks.make import bcss as make
from xaibench.errors import XaibenchError
from xaibench_tasks.bcss import Bcss, check_codes, inspect, parse_name
from xaibench_tasks.bcss_grid import Cell
from xaibench_tasks.sources import open_source

SPLITS = ("train", "val", "test")
SIDE = 20
FIRST = "TCGA-A1-A0SK-DX1_xmin45749_ymin25055_MPP-0.2500"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def small(tmp_path):
    return make.make(tmp_path / "bcss")


def task_of(root, **options):
    return Bcss(path=str(root), **{"side": SIDE, "size": SIDE, **options})


def rows(task):
    return {entry.id: entry for split in SPLITS for entry in task.entries(split, 0)}


def told(report):
    return [f"{finding.level} {finding.where}: {finding.what}" for finding in report.findings]


def codes_of(root, name=FIRST):
    with Image.open(root / "masks" / f"{name}.png") as mask:
        return np.asarray(mask)


# ----------------------------------------------------------------------------------------------------- names and codes


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        (f"{FIRST}.png", ("TCGA-A1-A0SK", "A1")),
        ("TCGA-OL-A5D6-DX1_xmin115108_ymin40554_MPP-0.2500.png", ("TCGA-OL-A5D6", "OL")),
        ("TCGA-A1-A0SK-DX1_xmin45749_ymin25055_MAG-10.00.png", ("TCGA-A1-A0SK", "A1")),
        ("TCGA-A1-A0SK-DX1_xmin45749_ymin25055.png", ("TCGA-A1-A0SK", "A1")),
        ("TCGA-A1-A0SK-DX1.png", None),
        (f"{FIRST}+0[1101].png", None),  # a patch of a derived set
        (f"{FIRST}.png\n", None),
        ("", None),
    ],
)
def test_a_name_says_patient_and_hospital(name, parsed):
    assert parse_name(name) == parsed


@given(st.text() | st.from_regex(r"TCGA-\w\w-\w{4}-DX\d_xmin\d+_ymin\d+.*\.png", fullmatch=True))
def test_any_text_is_a_region_or_none(name):
    parsed = parse_name(name)
    assert parsed is None or (name.startswith(parsed[0]) and f"-{parsed[1]}-" in name)


def test_the_published_table_of_codes_is_as_it_should_be():
    content = b"label\tGT_code\noutside_roi\t0\ntumor\t1\nstroma\t2\nangioinvasion\t19\ndcis\t20\nother\t21\n"
    assert check_codes("t.tsv", content) == []
    assert check_codes("t.tsv", content.replace(b"\n", b"\r\n")) == []


def test_another_table_of_codes_is_an_error_at_its_line():
    (finding,) = check_codes("t.tsv", b"label\tGT_code\noutside_roi\t0\ntumor\t2\n")
    assert (finding.level, finding.where) == ("error", "t.tsv:3")


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from(["tumor", "\t", "1", "\n", "\r"])).map(lambda p: "".join(p).encode())
)
def test_any_bytes_are_a_table_of_codes_or_findings(content):
    assert len(check_codes("t.tsv", content)) <= content.count(b"\n") + 1


# ------------------------------------------------------------------------------------------------------------- patches


@pytest.mark.parametrize(
    ("counts", "label"),
    [
        ({2: 100}, 0),
        ({1: 10, 2: 90}, 1),
        ({1: 9, 2: 91}, None),  # some tumour, but less than a tenth
        ({0: 50, 1: 5, 2: 45}, 1),  # a tenth of what is annotated
        ({0: 50, 1: 4, 2: 46}, None),
        ({0: 51, 2: 49}, None),  # hardly annotated
        ({0: 100}, None),
        ({20: 100}, 0),
    ],
)
def test_a_patch_is_a_tumour_by_its_share_of_annotated_pixels(counts, label):
    assert Cell(0, 0, 10, counts).label((1,), least=0.1, outside=0.5) == label


def test_carcinoma_in_situ_counts_where_it_is_asked_for():
    assert Cell(0, 0, 10, {20: 60, 19: 20, 2: 20}).label((1, 19, 20), least=0.8, outside=0.5) == 1


def test_patches_tile_each_region_and_are_labelled_by_its_mask(small):
    task = task_of(small)
    codes = codes_of(small)
    wanted = {}
    for top in range(0, 110 - SIDE + 1, SIDE):
        for left in range(0, 150 - SIDE + 1, SIDE):
            cell = codes[top : top + SIDE, left : left + SIDE]
            annotated, tumour = (cell != 0).sum(), (cell == 1).sum()
            if annotated >= SIDE**2 / 2 and (tumour == 0 or tumour >= annotated / 10):
                wanted[f"{FIRST}/{top}-{left}"] = int(tumour > 0)
    found = {name: entry.label for name, entry in rows(task).items() if name.startswith(FIRST)}
    assert found == wanted
    assert set(Counter(found.values())) == {0, 1}


def test_a_patch_shows_its_place_and_its_tumour(small):
    task = task_of(small)
    codes = codes_of(small)
    with Image.open(small / "rgbs_colorNormalized" / f"{FIRST}.png") as picture:
        pixels = np.asarray(picture, np.float32) / 255
    for name, entry in rows(task).items():
        if name.startswith(FIRST):
            top, left = map(int, name.rpartition("/")[2].split("-"))
            sample = task.load(entry)
            np.testing.assert_allclose(
                sample.image, np.moveaxis(pixels[top : top + SIDE, left : left + SIDE], -1, 0), atol=1e-4
            )
            assert len(sample.lesions) == entry.label
            for lesion in sample.lesions:
                np.testing.assert_array_equal(lesion, codes[top : top + SIDE, left : left + SIDE] == 1)


def test_in_situ_and_invasive_together_are_a_larger_lesion(small):
    one, all_of_it = task_of(small), task_of(small, tumour="all")
    name = next(
        name for name, entry in rows(one).items() if entry.label and name in rows(all_of_it) and "/60-0" in name
    )
    assert all_of_it.load(rows(all_of_it)[name]).lesions[0].sum() > one.load(rows(one)[name]).lesions[0].sum()
    assert one.fingerprint() != all_of_it.fingerprint()


def test_the_official_split_tests_on_its_hospitals_and_own_ones_keep_patients_whole(small):
    official = task_of(small)
    assert {entry.patient for entry in official.entries("test", 0)} == {"TCGA-OL-A5D6", "TCGA-OL-A5RW"}
    assert official.entries("val", 0)
    own = task_of(small, splits="own", folds=4)
    tested = Counter(patient for fold in range(4) for patient in {entry.patient for entry in own.entries("test", fold)})
    assert tested == dict.fromkeys({entry.patient for entry in rows(own).values()}, 1)


def test_one_patch_brings_the_others_of_its_region_and_no_more(small):
    task = task_of(small)
    task.load(next(entry for name, entry in rows(task).items() if name.startswith(FIRST)))
    decoded = [record.id for record, done in zip(task.records, task.decoded(), strict=True) if done]
    assert decoded == [record.id for record in task.records if record.id.startswith(FIRST)]
    assert len(pickle.dumps(task)) < 100_000  # no pixels go to worker processes


def test_folders_of_either_name_and_the_archive_give_the_same(small, tmp_path):
    other = make.make(tmp_path / "images", pictures="images")
    packed = shutil.make_archive(str(tmp_path / "bcss"), "zip", small)
    tasks = [task_of(place) for place in (small, other, packed)]
    assert len({task.fingerprint() for task in tasks}) == 1
    entry = tasks[0].entries("test", 0)[0]
    for task in tasks[1:]:
        np.testing.assert_array_equal(task.load(entry).image, tasks[0].load(entry).image)


def test_counts_are_kept_and_made_again_when_the_mask_changes(small, tmp_path):
    before = rows(task_of(small))
    kept = list((tmp_path / "cache" / "bcss-1").glob("*.json"))
    assert len(kept) == len(make.REGIONS)
    kept[0].write_text("torn")
    assert rows(task_of(small)) == before
    assert json.loads(kept[0].read_text())
    codes = codes_of(small).copy()
    codes[codes == make.TUMOUR] = make.STROMA
    Image.fromarray(codes).save(small / "masks" / f"{FIRST}.png")
    after = rows(task_of(small))
    assert not any(entry.label for name, entry in after.items() if name.startswith(FIRST))


# ------------------------------------------------------------------------------------------------------------ checking


def test_a_small_copy_is_told_as_incomplete(small):
    report = inspect(open_source(small))
    assert report.found == {"regions": 8, "regions to test on": 2, "patients": 8}
    assert [line.split(": ")[-2:] for line in told(report)] == [["8 of 151 regions", "the copy is not complete"]]


def test_a_region_without_mask_and_one_without_picture_are_refused(small):
    (small / "masks" / f"{FIRST}.png").unlink()
    other = next((small / "rgbs_colorNormalized").glob("TCGA-A2-A04P*"))
    other.unlink()
    lines = told(inspect(open_source(small)))
    assert any(line.startswith(f"error rgbs_colorNormalized/{FIRST}.png: has no mask") for line in lines)
    assert any(line.startswith(f"error masks/{other.name}: has no picture") for line in lines)
    with pytest.raises(XaibenchError, match="has no mask"):
        task_of(small)


def test_masks_in_colour_of_other_size_or_code_are_told(small):
    names = sorted(file.name for file in (small / "masks").iterdir())
    masks = [small / "masks" / name for name in names]
    Image.open(masks[0]).convert("RGB").point(lambda value: value + 1).save(masks[0])
    Image.open(masks[1]).crop((0, 0, 100, 100)).save(masks[1])
    Image.fromarray(np.full((110, 150), 40, np.uint8)).save(masks[2])
    Image.fromarray(np.zeros((110, 150), np.uint8)).save(masks[3])
    lines = told(inspect(open_source(small)))
    assert any(line.startswith(f"error masks/{names[0]}: is in colour") for line in lines)
    assert any(line.startswith(f"error masks/{names[1]}: is of another size") for line in lines)
    assert any(line.startswith(f"warning masks/{names[2]}: holds code 40") for line in lines)
    assert any(line.startswith(f"warning masks/{names[3]}: has nothing annotated") for line in lines)


def test_a_mask_of_another_size_is_not_stretched_in_silence(small):
    Image.open(small / "masks" / f"{FIRST}.png").crop((0, 0, 100, 100)).save(small / "masks" / f"{FIRST}.png")
    task = task_of(small)
    entry = next(entry for name, entry in rows(task).items() if name.startswith(FIRST))
    with pytest.raises(XaibenchError, match="differ in size"):
        task.load(entry)


@pytest.mark.parametrize("folder", ["masks", "rgbs_colorNormalized"])
@pytest.mark.parametrize("keep", [0, 30, 200])
def test_a_file_cut_off_is_named_and_skipped_only_on_demand(small, folder, keep):
    file = small / folder / f"{FIRST}.png"
    file.write_bytes(file.read_bytes()[:keep])
    assert sum(line.startswith(f"error {folder}/{FIRST}.png: ") for line in told(inspect(open_source(small)))) == 1
    kept = task_of(small, on_error="skip")
    assert kept.skipped
    assert all(name.startswith(FIRST) for name in kept.skipped)
    assert not any(name.startswith(FIRST) for name in rows(kept))

    def use():
        task = task_of(small)
        for entry in rows(task).values():
            task.load(entry)

    with pytest.raises(XaibenchError, match=FIRST):
        use()


@pytest.mark.parametrize("content", [(), ("notes.txt", "cat.png")])
def test_an_empty_and_a_wrong_folder_are_told_what_to_fetch(tmp_path, content):
    for name in content:
        (tmp_path / name).write_text("nothing")
    report = inspect(open_source(tmp_path))
    assert report.exit_code() == 2
    assert "PathologyDataScience/BCSS" in report.level("error")[0].what
    with pytest.raises(XaibenchError, match="PathologyDataScience/BCSS"):
        task_of(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"side": 4}, "side=4"),
        ({"least": 0}, "least=0"),
        ({"tumour": "x"}, "tumour='x'"),
        ({"side": 4000}, "no usable"),
    ],
)
def test_options_that_cannot_be_are_refused(small, options, message):
    with pytest.raises(XaibenchError, match=message):
        task_of(small, **options)
