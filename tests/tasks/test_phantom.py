"""What every phantom task promises, whatever is planted in it."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xaibench.contracts import Entry
from xaibench.errors import DataError, UsageError
from xaibench_tasks.phantom import Phantom, PhantomBlur, PhantomConfounded, PhantomShortcut, PhantomTiny

TASKS = (Phantom, PhantomShortcut, PhantomBlur, PhantomConfounded, PhantomTiny)
SPLITS = ("train", "val", "test")
FEW = {"train": 12, "val": 6, "test": 12}


def same(one, other):
    masks = [(a.lesions, sorted(a.regions), [a.regions[key] for key in sorted(a.regions)]) for a in (one, other)]
    (lesions, names, regions), (lesions2, names2, regions2) = masks
    return (
        np.array_equal(one.image, other.image)
        and names == names2
        and len(lesions) == len(lesions2)
        and all(np.array_equal(a, b) for a, b in zip([*lesions, *regions], [*lesions2, *regions2], strict=True))
    )


@pytest.mark.parametrize("task", TASKS)
def test_the_same_id_gives_the_same_sample_from_another_instance_in_any_order(task):
    entries = task(**FEW).entries("test", 0)
    forwards = {entry.id: task(**FEW).load(entry) for entry in entries}
    other = task(**FEW)
    assert all(same(forwards[entry.id], other.load(entry)) for entry in reversed(entries))


@pytest.mark.parametrize("task", TASKS)
def test_another_seed_gives_other_images_and_another_fingerprint(task):
    one, other = task(seed=1, **FEW), task(seed=2, **FEW)
    assert one.fingerprint() != other.fingerprint()
    first = [t.load(t.entries("test", 0)[0]).image for t in (one, other)]
    assert not np.array_equal(*first)


@pytest.mark.parametrize("parameter", ["size", "train", "val", "test", "seed"])
def test_the_fingerprint_tells_every_parameter(parameter):
    assert Phantom(**{parameter: 66}).fingerprint() != Phantom(**{parameter: 68}).fingerprint()


def test_the_fingerprint_tells_the_scenarios_apart():
    assert len({task().fingerprint() for task in TASKS}) == len(TASKS)


@pytest.mark.parametrize("task", TASKS)
def test_no_patient_is_in_two_splits_and_each_has_both_views(task):
    made = task(**FEW)
    splits = [made.entries(split, 0) for split in SPLITS]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert not {e.patient for e in splits[a]} & {e.patient for e in splits[b]}
    for entries in splits:
        views = Counter(entry.patient for entry in entries)
        assert set(views.values()) == {2}
        assert all({f"{p}-cc", f"{p}-mlo"} <= {entry.id for entry in entries} for p in views)


def test_ids_are_unique_in_the_task_and_name_split_patient_and_view():
    ids = [entry.id for split in SPLITS for entry in Phantom().entries(split, 0)]
    assert len(set(ids)) == len(ids) == 960 + 120 + 120
    assert "phantom-test-0012-cc" in ids


@pytest.mark.parametrize("task", TASKS)
def test_both_views_of_a_patient_share_class_and_kind_of_image(task):
    entries = task(**FEW).entries("train", 0)
    labels = {(entry.patient, entry.label) for entry in entries}
    assert len(labels) == len(entries) // 2


def test_the_two_views_are_two_drawings():
    made = Phantom(**FEW)
    one, other = (made.load(entry).image for entry in made.entries("train", 0)[:2])
    assert not np.array_equal(one, other)


def test_splits_and_patients_have_drawings_of_their_own():
    made = Phantom(train=6, val=6, test=6)
    images = [made.load(entry).image.tobytes() for split in SPLITS for entry in made.entries(split, 0)]
    assert len(set(images)) == 18


def test_both_views_of_a_patient_lie_on_the_same_side():
    made = Phantom(test=60)
    sides = {}
    for entry in made.entries("test", 0):
        image = made.load(entry).image[0]
        sides.setdefault(entry.patient, set()).add(bool(image[:, :20].mean() > image[:, -20:].mean()))
    assert all(len(side) == 1 for side in sides.values())
    assert 8 <= sum(side == {True} for side in sides.values()) <= 22


def test_classes_are_balanced_and_shuffled():
    labels = [entry.label for entry in Phantom().entries("train", 0)][::2]
    assert Counter(labels) == {0: 160, 1: 160, 2: 160}
    runs = Counter(tuple(labels[i : i + 3]) for i in range(0, 480, 3))
    assert len(runs) == 6
    assert min(runs.values()) > 10


@pytest.mark.parametrize("task", TASKS)
def test_a_split_is_a_prefix_of_a_larger_one_and_other_splits_do_not_matter(task):
    small, large = task(train=6, val=6, test=6), task(train=30, val=12, test=18)
    for split in SPLITS:
        few, many = small.entries(split, 0), large.entries(split, 0)
        assert list(many[: len(few)]) == list(few)
        assert same(small.load(few[-1]), large.load(few[-1]))


@pytest.mark.parametrize("size", [64, 100, 128, 256])
@pytest.mark.parametrize("task", TASKS)
def test_samples_keep_the_contract_at_every_size(task, size):
    made = task(size=size, **FEW)
    assert made.shape == (1, size, size)
    assert made.classes == ("normal", "benign", "malignant")
    assert made.folds == 1
    for entry in made.entries("test", 0)[:8]:
        sample = made.load(entry)
        assert sample.entry == entry
        assert sample.image.shape == made.shape
        assert sample.image.dtype == np.float32
        assert sample.image.flags.c_contiguous
        assert 0 <= sample.image.min() < sample.image.max() <= 1
        assert (entry.label > 0) == bool(sample.lesions)
        for mask in (*sample.lesions, *sample.regions.values()):
            assert mask.shape == (size, size)
            assert mask.dtype == bool
            assert mask.any()


def test_the_largest_size_can_be_drawn():
    made = Phantom(size=1024)
    assert made.load(made.entries("test", 0)[0]).image.shape == (1, 1024, 1024)


@settings(max_examples=25, deadline=None)
@given(size=st.integers(64, 160), seed=st.integers(0, 2**63 - 1), task=st.sampled_from(TASKS), at=st.integers(0, 11))
def test_any_size_and_seed_can_be_drawn(size, seed, task, at):
    made = task(size=size, seed=seed, **FEW)
    sample = made.load(made.entries("train", 0)[at])
    assert np.isfinite(sample.image).all()
    assert bool(sample.lesions) == (sample.entry.label > 0)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"size": 63}, "from 64 to 1024"),
        ({"size": 1025}, "from 64 to 1024"),
        ({"size": 128.0}, "whole number"),
        ({"size": True}, "whole number"),
        ({"train": 0}, "from 2 to"),
        ({"test": 7}, "give an even number"),
        ({"val": "many"}, "whole number"),
        ({"seed": -1}, "from 0 to"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused_and_what_is_allowed_is_said(given, told):
    name = next(iter(given))
    with pytest.raises(UsageError, match=told) as raised:
        Phantom(**given)
    assert str(raised.value).startswith(f"{name}=")


def test_there_is_one_fold():
    with pytest.raises(UsageError, match="fold 1"):
        Phantom().entries("test", 1)


@pytest.mark.parametrize(
    "wrong", ["phantom-tiny-test-0000-cc", "phantom-test-0000-lm", "phantom-test-zero-cc", "x", ""]
)
def test_an_entry_of_another_task_is_refused(wrong):
    with pytest.raises(DataError, match="is no film of phantom@"):
        Phantom().load(Entry(wrong, "phantom-test-0000", 1))


def test_an_entry_with_another_label_is_refused():
    entry = Phantom().entries("test", 0)[0]
    with pytest.raises(DataError):
        Phantom().load(Entry(entry.id, entry.patient, (entry.label + 1) % 3))


def test_the_index_is_made_without_drawing(monkeypatch):
    def refuse(*_):
        raise AssertionError("a film was drawn")

    monkeypatch.setattr("xaibench_tasks.phantom.scenarios.draw_film", refuse)
    assert len(Phantom(train=2000).entries("train", 0)) == 2000


def test_a_thousand_images_take_under_twenty_seconds_of_one_core():
    made = Phantom()
    entries = made.entries("train", 0)
    made.load(entries[0])  # fills the caches
    fastest = min(timed(made, entries[i : i + 10]) for i in range(0, 50, 10))
    assert fastest / 10 * 1000 < 20


def timed(made, entries):
    start = time.process_time()
    for entry in entries:
        made.load(entry)
    return time.process_time() - start
