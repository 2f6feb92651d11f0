"""Crops of MIAS: where they are cut under either protocol, how they split, and what their size gives away."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.tasks.make import mias as make
from xaibench.errors import UsageError
from xaibench_tasks.mias import records
from xaibench_tasks.mias_list import MISPLACED, read_list
from xaibench_tasks.mias_roi import MiasRoi, SquareAtCentre, SquareInBreast, inspect, paper_crop
from xaibench_tasks.records import Circle, Record
from xaibench_tasks.sharpness import measure
from xaibench_tasks.sources import open_source
from xaibench_tasks.steps import Crop, Frame

REAL = Path(os.environ.get("XAIBENCH_DATA", "/nowhere")) / "mias"
needs_real_films = pytest.mark.skipif(not REAL.is_dir(), reason="XAIBENCH_DATA names no folder with mias/")
SPLITS = ("train", "val", "test")


@pytest.fixture(autouse=True)
def own_cache(request, tmp_path, monkeypatch):
    if "real" not in request.fixturenames:
        monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return str(make.write(tmp_path_factory.mktemp("mias")))


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XAIBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def entries(task, fold=0):
    return [entry for split in SPLITS for entry in task.entries(split, fold)]


def lesion(row, column, radius, name="mdb001"):
    return Record(name, "p", 1, "x", (Circle(row, column, radius),))


# ------------------------------------------------------------------------------------------------------------- the cuts


def test_the_paper_cuts_a_lesion_from_edge_to_edge_of_the_small_film():
    # x 512, y 512 and radius 64 of 1024 are 112, 112 and 14 of 224; y is measured from the bottom, so row 224 - 112
    assert paper_crop(lesion(1023 - 512, 512, 64)) == Crop(98, 98, 126, 126)
    assert paper_crop(lesion(1023 - 512, 512, 1)) == Crop(111, 111, 113, 113)


def test_the_paper_cuts_normal_tissue_at_the_centre_or_on_a_diagonal():
    lit = np.full((224, 224), 0.5, np.float32)
    assert SquareAtCentre(28)(Frame(lit)).shape == (56, 56)
    marked = np.zeros((224, 224), np.float32)
    marked[112 - 30, 112 + 30] = 1
    assert SquareAtCentre(28)(Frame(marked)).image[28, 28] == 1
    assert not SquareAtCentre(28)(Frame(np.zeros((224, 224), np.float32))).image.any()


def test_a_normal_crop_is_taken_at_the_first_place_in_the_breast():
    image = np.zeros((200, 200), np.float32)
    image[60:140, 0:90] = 0.8
    cut = SquareInBreast(40, ((10.0, 10.0), (100.0, 50.0), (100.0, 20.0)), (5.0, -3.0))(Frame(image))
    assert cut.shape == (40, 40)
    whole = np.arange(200 * 200, dtype=np.float32).reshape(200, 200) / 40000
    image = np.where(image > 0, 0.5 + whole / 2, 0)
    cut = SquareInBreast(40, ((10.0, 10.0), (100.0, 50.0)), (5.0, -3.0))(Frame(image))
    assert np.array_equal(cut.image, image[85:125, 27:67])


@pytest.mark.parametrize("protocol", ["paper", "strict"])
def test_films_without_a_place_of_the_lesion_are_left_out(small, protocol):
    found = {entry.id for entry in entries(MiasRoi(path=small, protocol=protocol))}
    assert found == {f"mdb{number:03d}" for number in make.numbers()} - {"mdb059", "mdb212", "mdb214", "mdb216"}


def test_a_paper_crop_is_full_of_its_lesion(small):
    task = MiasRoi(path=small, protocol="paper")
    (found,) = [task.load(entry) for entry in entries(task) if entry.id == "mdb001"]
    (mask,) = found.lesions
    assert mask.mean() == pytest.approx(np.pi / 4, abs=0.05)
    assert found.image[0][mask].mean() > 0.8


@pytest.mark.parametrize("side", [256, 448])
def test_a_strict_crop_shows_a_lesion_at_its_true_scale_off_the_centre(small, side):
    task = MiasRoi(path=small, side=side)
    samples = {entry.id: task.load(entry) for entry in entries(task)}
    areas = {name: [int(mask.sum()) for mask in sample.lesions] for name, sample in samples.items()}
    expected = np.pi * (33 * 224 / side) ** 2
    assert areas["mdb010"][0] == pytest.approx(expected, rel=0.05)
    centres = [np.argwhere(samples[name].lesions[0]).mean(axis=0) for name in ("mdb010", "mdb012", "mdb013")]
    assert np.ptp(centres, axis=0).min() > 10
    assert all(56 - 1 <= place <= 168 + 1 for place in np.ravel(centres))


def test_strict_crops_depend_on_the_seed_and_on_nothing_else(small):
    one, again, other = (MiasRoi(path=small, seed=seed) for seed in (0, 0, 1))
    entry = next(entry for entry in entries(one) if entry.label)
    assert np.array_equal(one.load(entry).image, again.load(entry).image)
    assert one.fingerprint() == again.fingerprint() != other.fingerprint()
    entry = next(found for found in entries(other) if found.id == entry.id)
    assert not np.array_equal(one.load(entry).image, other.load(entry).image)


def test_strict_splits_by_patient_and_paper_says_that_it_does_not(small):
    strict, paper = (MiasRoi(path=small, protocol=protocol) for protocol in ("strict", "paper"))
    sides = [{entry.patient for entry in strict.entries(split, 0)} for split in SPLITS]
    assert sum(map(len, sides)) == len(set.union(*sides))
    assert not any("in several splits" in text for text in strict.card.leaks)
    assert any("patients have images in several splits" in text for text in paper.card.leaks)


def test_options_that_cannot_be_are_refused(small):
    for options in ({"protocol": "loose"}, {"side": 8}, {"size": 9999}):
        with pytest.raises(UsageError, match=next(iter(options))):
            MiasRoi(path=small, **options)


def test_inspect_counts_the_crops(small):
    report = inspect(open_source(small))
    assert report.task == "mias-roi"
    assert [report.found[name] for name in ("crops", "normal crops", "benign crops", "malignant crops")] == [
        20,
        10,
        7,
        3,
    ]


# ------------------------------------------------------------------------------------------------------ the real films


@needs_real_films
@pytest.mark.parametrize("protocol", ["paper", "strict"])
def test_the_real_films_give_316_crops(real, protocol):
    found = entries(MiasRoi(protocol=protocol))
    assert len(found) == 316
    assert Counter(entry.label for entry in found) == {0: 207, 1: 61, 2: 48}


@needs_real_films
def test_the_two_crops_the_paper_dropped_as_black_are_those_of_the_misplaced_circles(real):
    task = MiasRoi(protocol="paper")
    films = records(task.source, read_list(task.source), "first", exclude=False)
    brightest = {film.id: float(task.prepare(film).image.max()) for film in films if film.label and film.lesions}
    assert len(brightest) == 111
    darkest = sorted(brightest, key=brightest.__getitem__)
    assert set(darkest[:2]) == set(MISPLACED)
    assert brightest[darkest[1]] < 0.2 < 0.5 < brightest[darkest[2]]


@needs_real_films
def test_lesion_crops_of_the_paper_are_far_smaller_than_normal_ones(real):
    task = MiasRoi(protocol="paper")
    films = records(task.source, read_list(task.source), "first", exclude=False)
    sides = [2 * film.lesions[0].radius * 224 / 1024 for film in films if film.lesions]
    assert np.median(sides) == pytest.approx(18.8, abs=0.1)
    assert sum(side > 56 for side in sides) == 4


@needs_real_films
@pytest.mark.slow
def test_sharpness_alone_tells_the_paper_crops_apart_and_not_the_strict_ones(real):
    paper, strict = (
        {figure.name: figure for figure in measure(MiasRoi(protocol=protocol, folds=5)).figures}
        for protocol in ("paper", "strict")
    )
    assert paper["accuracy"].low > paper["accuracy"].baseline == strict["accuracy"].baseline == pytest.approx(207 / 316)
    assert paper["balanced accuracy"].low > 0.5
    assert paper["first class against the rest: AUC"].low > 0.9
    assert strict["accuracy"].low < strict["accuracy"].baseline
    assert strict["balanced accuracy"].value < 0.36
    assert strict["first class against the rest: AUC"].value < 0.65
