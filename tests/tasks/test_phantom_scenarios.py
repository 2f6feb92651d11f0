"""What each scenario plants is there in training, and gone (or not) in testing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import laplace
from scipy.stats import chi2_contingency

from xaibench_tasks.phantom import Phantom, PhantomBlur, PhantomConfounded, PhantomShortcut, PhantomTiny

SIZE = 64


def samples(task, split):
    return [task.load(entry) for entry in task.entries(split, 0)]


def auc(high, low):
    """Probability that a value of the first kind exceeds one of the second."""
    return float((np.asarray(high)[:, None] > np.asarray(low)[None, :]).mean())


def chance(rows, columns):
    """p-value of independence of two labellings."""
    table = np.zeros((max(rows) + 1, max(columns) + 1))
    np.add.at(table, (rows, columns), 1)
    return chi2_contingency(table[:, table.any(axis=0)]).pvalue


def marker_shape(sample):
    """Which marker it is, from its region alone: 0 a bar, 1 a frame, 2 a cross."""
    rows, columns = np.nonzero(sample.regions["marker"])
    box = sample.regions["marker"][rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    if box.shape[0] < 0.6 * box.shape[1]:
        return 0
    return 1 if box[0, box.shape[1] // 2] else 2


@pytest.mark.parametrize("split", ["train", "val"])
def test_the_marker_names_the_class_of_every_film_in_training(split):
    drawn = samples(PhantomShortcut(size=SIZE, train=120, val=120), split)
    assert [marker_shape(s) for s in drawn] == [s.entry.label for s in drawn]


def test_the_marker_says_nothing_of_the_class_in_testing():
    drawn = samples(PhantomShortcut(size=SIZE, test=360), "test")
    shapes, labels = [marker_shape(s) for s in drawn], [s.entry.label for s in drawn]
    assert np.bincount(shapes).min() > 80
    assert 0.25 < np.mean(np.equal(shapes, labels)) < 0.42
    assert chance(labels, shapes) > 0.01


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_clean_phantom_has_markers_on_some_films_whatever_the_class(split):
    drawn = samples(Phantom(size=SIZE, train=360, test=360), split)
    shown = [int("marker" in s.regions) for s in drawn]
    assert 0.5 < np.mean(shown) < 0.7
    assert chance([s.entry.label for s in drawn], shown) > 0.01
    marked = [s for s in drawn if "marker" in s.regions]
    assert chance([s.entry.label for s in marked], [marker_shape(s) for s in marked]) > 0.01


def test_lesions_of_the_shortcut_are_those_of_the_clean_phantom_at_half_the_contrast():
    tasks = [task(size=128, test=30) for task in (Phantom, PhantomShortcut)]
    clean, planted = (samples(task, "test") for task in tasks)
    for one, other in zip(clean, planted, strict=True):
        assert len(one.lesions) == len(other.lesions)
        assert all(np.array_equal(a, b) for a, b in zip(one.lesions, other.lesions, strict=True))
    pairs = [
        (contrast(one), contrast(other)) for one, other in zip(clean, planted, strict=True) if one.entry.label == 1
    ]
    assert np.mean([other < one for one, other in pairs]) > 0.9


def contrast(sample):
    mask = np.any(sample.lesions, axis=0)
    return sample.image[0][mask].mean() - np.median(sample.image[0])


def density_of(task, split):
    films = [task._film(entry) for entry in task.entries(split, 0)]
    return [task._plan(film).patient.density for film in films], [entry.label for entry in task.entries(split, 0)]


@pytest.mark.parametrize("split", ["train", "val"])
def test_dense_means_malignant_nine_times_in_ten_in_training(split):
    density, labels = map(np.array, density_of(PhantomConfounded(train=960, val=960), split))
    dense = density >= 2
    assert 0.85 < dense[labels == 2].mean() < 0.95
    assert 0.05 < dense[labels == 1].mean() < 0.15
    assert 0.4 < dense[labels == 0].mean() < 0.6


def test_density_is_independent_of_the_class_in_testing():
    density, labels = density_of(PhantomConfounded(test=960), "test")
    assert chance(labels[::2], density[::2]) > 0.01


@pytest.mark.parametrize("split", ["train", "test"])
def test_density_is_independent_of_the_class_in_the_clean_phantom(split):
    density, labels = density_of(Phantom(train=960, test=960), split)
    assert chance(labels[::2], density[::2]) > 0.01


def test_brightness_of_the_breast_tells_malignant_from_benign_in_confounded_training_alone():
    task = PhantomConfounded(size=SIZE, train=240, test=240)
    told = {split: auc(*(glow(task, split, label) for label in (2, 1))) for split in ("train", "test")}
    assert told["train"] > 0.7
    assert told["test"] < told["train"] - 0.12


def glow(task, split, label):
    """Median brightness of breast tissue of every film of a class."""
    films = [s.image[0] for s in samples(task, split) if s.entry.label == label]
    return [np.median(film[film > 0.12]) for film in films]


def grain(sample):
    """Robust variance of the Laplacian: the median stands for the film's grain, which the lesion's own edges do not."""
    return np.median(np.abs(laplace(sample.image[0]))) ** 2


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("split", ["train", "test"])
def test_blur_alone_tells_normal_crops_from_lesion_crops(split, size):
    drawn = samples(PhantomBlur(size=size, train=120, test=120), split)
    kinds = [[grain(s) for s in drawn if bool(s.lesions) == lesion] for lesion in (False, True)]
    assert auc(*kinds) > 0.93


def test_blur_tells_nothing_in_the_clean_phantom():
    drawn = samples(Phantom(size=SIZE, test=240), "test")
    kinds = [[grain(s) for s in drawn if bool(s.lesions) == lesion] for lesion in (False, True)]
    assert 0.35 < auc(*kinds) < 0.65


def test_crops_are_of_the_published_sides():
    task = PhantomBlur(train=960)
    halves = [task._plan(task._film(entry)).crop for entry in task.entries("train", 0)]
    labels = np.array([entry.label for entry in task.entries("train", 0)])
    assert set(np.array(halves)[labels == 0]) == {28 / 224}
    assert np.median(np.array(halves)[labels > 0]) == pytest.approx(19 / 224, rel=0.03)
    assert np.max(np.array(halves)[labels > 0]) < 28 / 224


def test_masks_move_with_the_crop():
    drawn = [s for s in samples(PhantomBlur(test=120), "test") if s.entry.label == 1 and is_mass(s)]
    assert len(drawn) > 20
    for sample in drawn:
        (mask,) = sample.lesions
        rows, columns = np.nonzero(mask)
        assert 0.15 < mask.mean() < 0.55
        assert abs(rows.mean() - 64) < 12 or rows.min() == 0 or rows.max() == 127
        assert abs(columns.mean() - 64) < 30
    gains = [s.image[0][s.lesions[0]].mean() - s.image[0][~s.lesions[0]].mean() for s in drawn]
    assert np.mean(np.array(gains) > 0.05) > 0.9


def is_mass(sample):
    task = PhantomBlur()
    return task._plan(task._film(sample.entry)).patient.kind == "mass"


@pytest.mark.parametrize("size", [64, 128, 256])
def test_tiny_lesions_are_single_and_under_three_thousandths(size):
    drawn = [s for s in samples(PhantomTiny(size=size, test=60), "test") if s.entry.label > 0]
    assert all(len(s.lesions) == 1 for s in drawn)
    assert all(0.001 < s.lesions[0].mean() < 0.003 for s in drawn)


def test_every_card_says_what_is_planted():
    cards = [task.card for task in (Phantom, PhantomShortcut, PhantomBlur, PhantomConfounded, PhantomTiny)]
    assert len({card.scenario for card in cards}) == len({card.name for card in cards}) == 5
    assert all(card.version >= 1 and card.summary for card in cards)
