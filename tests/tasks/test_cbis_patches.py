"""Patches of CBIS-DDSM: classes, windows, the leaks of the paper's protocol and their absence in the strict one."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.tasks.make import cbis as make
from xaibench.errors import DataError, UsageError
from xaibench_tasks.cbis import read_tables
from xaibench_tasks.cbis_patches import (
    CLASSES,
    CbisPatches,
    background_films,
    background_records,
    draw_validation,
    inspect,
    lesion_records,
    move_to_test,
)
from xaibench_tasks.cbis_tables import read_table
from xaibench_tasks.examination import examine
from xaibench_tasks.sources import open_source

REAL = Path(os.environ.get("XAIBENCH_DATA", "/nowhere")) / "cbis-ddsm"
needs_real_tables = pytest.mark.skipif(not REAL.is_dir(), reason="XAIBENCH_DATA names no folder with cbis-ddsm/")
SPLITS = ("train", "val", "test")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module", params=["classic", "kaggle"])
def folder(request, tmp_path_factory):
    place = tmp_path_factory.mktemp(request.param)
    {"classic": make.write_classic, "kaggle": make.write_kaggle}[request.param](place, make.SMALL)
    return place


def patches(folder, **options):
    return CbisPatches(path=str(folder), **{"size": 32, "patch": 32, "moved": 2, "tissue": 0.0} | options)


def everything(task):
    return {entry.id: task.load(entry) for split in SPLITS for entry in task.entries(split, 0)}


def patients(task, split):
    return {entry.patient for entry in task.entries(split, 0)}


def test_every_biopsied_lesion_is_a_patch_of_its_class_and_films_without_callback_give_background(folder):
    task = patches(folder)
    labels = {record.id: CLASSES[record.label] for record in task.records}
    assert labels["Mass-Training_P_00001_LEFT_CC_1"] == "malignant mass"
    assert labels["Mass-Training_P_00001_LEFT_CC_2"] == "benign mass"
    assert labels["Calc-Training_P_00008_LEFT_CC_1"] == "malignant calcification"
    assert labels["Calc-Training_P_00009_LEFT_CC_1"] == "benign calcification"
    assert Counter(labels.values())["background"] == 6
    assert {name for name, label in labels.items() if label == "background"} == {
        f"{film}-background-{number}"
        for film in ("Calc-Training_P_00005_LEFT_CC", "Mass-Training_P_00006_LEFT_CC", "Mass-Test_P_00007_LEFT_CC")
        for number in (1, 2)
    }


def test_a_paper_patch_is_the_bounding_box_and_its_mask_the_lesion(folder):
    for name, sample in everything(patches(folder, protocol="paper")).items():
        if "background" not in name:
            assert len(sample.lesions) == 1
            assert sample.lesions[0].mean() > 0.95
            assert sample.image.min() > 0.8  # the lesions were drawn bright


def test_a_strict_patch_is_a_square_at_one_scale_that_holds_the_lesion(folder):
    areas = {lesion.folder: (lesion.box[1] - lesion.box[0]) * (lesion.box[3] - lesion.box[2]) for lesion in make.SMALL}
    for name, sample in everything(patches(folder)).items():
        if "background" not in name:
            assert sample.lesions[0].sum() == areas[name]
            inside = sample.image[0][sample.lesions[0]]
            assert inside.mean() > 0.8 > sample.image[0][~sample.lesions[0]].mean()


@pytest.mark.parametrize("protocol", ["paper", "strict"])
def test_background_has_neither_mask_nor_lesion(folder, protocol):
    found = [sample for name, sample in everything(patches(folder, protocol=protocol)).items() if "background" in name]
    assert len(found) == 6
    for sample in found:
        assert sample.lesions == ()
        assert sample.image.max() < 0.6  # lesions were drawn at 0.92
    assert len({sample.image.tobytes() for sample in found}) == 6


def test_the_strict_protocol_has_no_patient_on_two_sides(folder):
    for conflict in ("test", "train"):
        sides = [patients(patches(folder, conflict=conflict), split) for split in SPLITS]
        assert sum(map(len, sides)) == len(set.union(*sides))


def test_the_paper_protocol_keeps_its_leaks(folder):
    task = patches(folder, protocol="paper", moved=0, val=0.2)
    assert {"P_00003", "P_00004"} <= patients(task, "test") & (patients(task, "train") | patients(task, "val"))


def test_the_validation_patches_of_the_paper_are_drawn_by_image_and_by_class(folder):
    rows = read_tables(open_source(folder))
    records = draw_validation(lesion_records(rows), 0.5, seed=0)
    for label in {record.label for record in records}:
        train = sum(record.label == label and record.official == "train" for record in records)
        assert abs(train - sum(record.label == label and record.official == "val" for record in records)) <= 1


def test_moved_calcifications_come_from_training_half_of_them_benign(folder):
    before = lesion_records(read_tables(open_source(folder)))
    after = move_to_test(before, 2, seed=0)
    moved = [new for old, new in zip(before, after, strict=True) if old.official != new.official]
    assert Counter((CLASSES[record.label], record.official) for record in moved) == {
        ("benign calcification", "test"): 1,
        ("malignant calcification", "test"): 1,
    }


def test_class_statistics_are_for_the_paper_alone_and_change_what_is_seen(folder):
    with pytest.raises(UsageError, match="uses the label of test patches"):
        patches(folder, normalise="class")
    plain, own = (patches(folder, protocol="paper", normalise=how) for how in ("none", "class"))
    entry = plain.entries("train", 0)[0]
    assert not np.array_equal(plain.load(entry).image, own.load(entry).image)
    assert plain.fingerprint() != own.fingerprint()
    mine = [own.load(each).image for each in own.entries("train", 0) if each.label == entry.label]
    assert abs(float(np.mean(mine)) - 0.5) < 0.01
    assert 0 <= min(map(np.min, mine)) <= max(map(np.max, mine)) <= 1


def test_the_same_seed_gives_the_same_patches_and_another_seed_others(folder):
    one, same, other = patches(folder), patches(folder), patches(folder, seed=1)
    assert one.fingerprint() == same.fingerprint() != other.fingerprint()
    entry = next(entry for entry in one.entries("train", 0) if entry.label == 0)
    assert np.array_equal(one.load(entry).image, same.load(entry).image)
    assert not np.array_equal(one.load(entry).image, other.load(entry).image)


def test_background_follows_the_masks_it_keeps_away_from(tmp_path):
    lesions = [make.Lesion(patient=1), make.Lesion(patient=2, part="test", pathology="BENIGN_WITHOUT_CALLBACK")]
    make.write_classic(tmp_path, [*lesions, make.Lesion(patient=3, part="test"), make.Lesion(patient=4)])
    before = patches(tmp_path).fingerprint()
    moved = make.Lesion(patient=2, part="test", pathology="BENIGN_WITHOUT_CALLBACK", box=(80, 100, 40, 60))
    make.write_dicom(tmp_path / moved.paths[2], make.draw_mask(moved), moved.folder, moved.paths[2])
    assert patches(tmp_path).fingerprint() != before


def test_a_broken_mask_beside_a_background_patch_is_skipped_by_policy_alone(tmp_path):
    make.write_classic(tmp_path, make.SMALL)
    broken = next(lesion for lesion in make.SMALL if lesion.patient == 5)
    (tmp_path / broken.paths[2]).write_bytes(b"")
    task = patches(tmp_path)
    entry = next(e for split in SPLITS for e in task.entries(split, 0) if e.id.startswith(broken.film))
    with pytest.raises(DataError, match="empty"):
        task.load(entry)
    lenient = patches(tmp_path, on_error="skip")
    assert set(lenient.skipped) == {f"{broken.film}-background-1", f"{broken.film}-background-2"}


def test_a_film_in_both_tables_gives_no_background():
    twins = [make.Lesion(kind=kind, patient=1, pathology="BENIGN_WITHOUT_CALLBACK") for kind in ("mass", "calc")]
    rows = [row for twin in twins for row in read_table("t.csv", make.table_text([twin]))[0]]
    assert background_films(rows) == {}
    assert len(background_films(rows[:1])) == 1


def test_options_that_cannot_be_are_refused(folder):
    for options in ({"protocol": "x"}, {"conflict": "keep"}, {"patch": 1}, {"tissue": 2.0}, {"backgrounds": -1}):
        with pytest.raises(UsageError):
            patches(folder, **options)


def test_the_counts_of_the_patches_are_told(folder):
    report = inspect(open_source(folder))
    assert report.task == "cbis-patches"
    assert report.found["background, train"] == 2
    assert report.found["malignant mass, train"] == 3
    assert any("the paper had" in finding.what for finding in report.findings)


@needs_real_tables
def test_the_real_tables_give_these_patches():
    rows = read_tables(open_source(REAL))
    films = background_films(rows)
    records = [*lesion_records(rows), *background_records(films, 1)]
    assert Counter((CLASSES[record.label], record.official) for record in records) == {
        ("malignant mass", "train"): 637,
        ("malignant mass", "test"): 147,
        ("benign mass", "train"): 577,
        ("benign mass", "test"): 194,
        ("malignant calcification", "train"): 544,
        ("malignant calcification", "test"): 129,
        ("benign calcification", "train"): 528,
        ("benign calcification", "test"): 130,
        ("background", "train"): 297,
        ("background", "test"): 71,
    }
    assert {record.patient for record in records} <= {row.patient for row in rows}


def test_its_files_are_looked_for_where_those_of_the_films_are(tmp_path, monkeypatch):
    make.write_kaggle(tmp_path / "cbis-ddsm", make.SMALL)
    monkeypatch.setenv("XAIBENCH_DATA", str(tmp_path))
    found = examine("cbis-patches(size=32, patch=32, moved=2, tissue=0.0)", "")
    assert found.found["film files"] > 0
    assert not found.level("error")
    assert CbisPatches(size=32, patch=32, moved=2, tissue=0.0).entries("train", 0)
