"""Splits, held against what they promise on sets drawn by Hypothesis."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from xaibench.contracts import Entry
from xaibench.errors import XaibenchError
from xaibench.selection import ordered
from xaibench_tasks.leaks import find_leaks
from xaibench_tasks.records import Record
from xaibench_tasks.splits import SPLITS, Splitting, assign, conflicts

few = settings(max_examples=40)
# Patients as lists of labels, one per image.
mixed_patients = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), min_size=20, max_size=80)
pure_patients = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 5)), min_size=20, max_size=120).map(
    lambda drawn: [[label] * count for label, count in drawn]
)
patients = mixed_patients | pure_patients
hows = st.builds(
    Splitting,
    folds=st.integers(1, 6),
    val=st.floats(0.05, 0.3),
    test=st.floats(0.05, 0.4),
    seed=st.integers(0, 2**31),
)


def records_of(labels, officials=None):
    """One record per image; ids say nothing of the patient's place in the list."""
    return [
        Record(
            id=f"image-{patient}-{at}",
            patient=f"P{patient:04d}",
            label=label,
            image=f"{patient}-{at}.png",
            official=officials[patient][at] if officials else "",
        )
        for patient, own in enumerate(labels)
        for at, label in enumerate(own)
    ]


def sides_of(records, splits):
    sides = defaultdict(set)
    for record in records:
        sides[record.patient].add(splits[record.id])
    return sides


# -------------------------------------------------------------------------------------------------------------- splits


@few
@given(patients, hows)
def test_no_patient_is_in_two_splits_and_every_image_is_in_one(labels, how):
    records = records_of(labels)
    folds = assign(records, how)
    assert len(folds) == how.folds
    for splits in folds:
        assert set(splits) == {record.id for record in records}
        assert set(splits.values()) <= set(SPLITS)
        assert all(len(found) == 1 for found in sides_of(records, splits).values())


@given(patients, hows.filter(lambda how: how.folds > 1))
def test_the_test_parts_of_k_folds_are_a_partition(labels, how):
    records = records_of(labels)
    tested = Counter(name for splits in assign(records, how) for name, split in splits.items() if split == "test")
    assert tested == Counter(record.id for record in records)


@few
@given(patients, hows, st.randoms(use_true_random=False))
def test_splits_do_not_depend_on_the_order_of_the_records(labels, how, random):
    records = records_of(labels)
    shuffled = list(records)
    random.shuffle(shuffled)
    assert assign(shuffled, how) == assign(records, how)


@few
@given(patients, hows)
def test_the_same_seed_gives_the_same_splits(labels, how):
    records = records_of(labels)
    assert assign(records, how) == assign(records, replace(how))


def test_another_seed_gives_other_splits_and_other_folds_too():
    records = records_of([[number % 2] for number in range(100)])
    for folds in (1, 5):
        one, other = (assign(records, Splitting(folds=folds, seed=seed)) for seed in (0, 1))
        assert one != other
        tested = [{name for name, split in splits[0].items() if split == "test"} for splits in (one, other)]
        assert len(tested[0] & tested[1]) < len(tested[0]) / 2


@few
@given(patients, hows)
def test_shares_are_met_within_one_patient(labels, how):
    records = records_of(labels)
    largest, total = max(map(len, labels)), len(records)
    test = how.test if how.folds == 1 else 1 / how.folds
    for splits in assign(records, how):
        counts = Counter(splits.values())
        assert abs(counts["test"] - test * total) <= largest
        rest = total - counts["test"]
        assert abs(counts["val"] - how.val / (1 - test) * rest) <= largest


@given(pure_patients, hows)
def test_every_class_is_dealt_out_within_two_patients_of_its_share(labels, how):
    records = records_of(labels)
    test = how.test if how.folds == 1 else 1 / how.folds
    largest = max(map(len, labels))
    per_class = Counter(record.label for record in records)
    for splits in assign(records, how):
        tested = Counter(record.label for record in records if splits[record.id] == "test")
        for label, count in per_class.items():
            assert abs(tested[label] - test * count) <= 2 * largest  # one patient at either end of the class
        validated = Counter(record.label for record in records if splits[record.id] == "val")
        for label, count in (per_class - tested).items():
            assert abs(validated[label] - how.val / (1 - test) * count) <= 2 * largest


def test_every_class_is_dealt_out_within_one_patient_where_that_can_be():
    sizes = [
        *[(0, 1)] * 10,
        *[(1, 2)] * 2,
        (1, 1),
        (1, 2),
        (1, 4),
        (0, 4),
        *[(0, 1)] * 2,
        (1, 4),
        (0, 1),
        (1, 2),
        (1, 4),
    ]
    records = records_of([[label] * count for label, count in sizes])
    per_class = Counter(record.label for record in records)
    for splits in assign(records, Splitting(folds=4, val=0.25, seed=1009264)):
        tested = Counter(record.label for record in records if splits[record.id] == "test")
        assert all(abs(tested[label] - count / 4) <= 4 for label, count in per_class.items())


@given(st.lists(st.integers(0, 3), min_size=20, max_size=150), hows)
def test_with_one_image_a_patient_every_class_of_a_holdout_is_within_one_image(labels, how):
    records = records_of([[label] for label in labels])
    (splits,) = assign(records, replace(how, folds=1))
    per_class = Counter(labels)
    tested = Counter(record.label for record in records if splits[record.id] == "test")
    for label, count in per_class.items():
        assert abs(tested[label] - how.test * count) <= 1 + 1e-9


@few
@given(patients, hows)
def test_the_first_images_of_a_limited_run_are_those_of_a_longer_one(labels, how):
    records = records_of(labels)
    splits = assign(records, how)[0]

    class Task:
        def entries(self, split, fold):
            return [Entry(record.id, record.patient, record.label) for record in records if splits[record.id] == split]

    class Backwards(Task):
        def entries(self, split, fold):
            return super().entries(split, fold)[::-1]

    everything = ordered(Task(), "train", 0)
    assert ordered(Backwards(), "train", 0) == everything
    assert {entry.id for entry in everything} == {name for name, split in splits.items() if split == "train"}


@given(mixed_patients, st.integers(0, 10))
def test_splits_by_image_are_splits_of_all_images(labels, seed):
    records = records_of(labels)
    how = Splitting(by="image", seed=seed)
    (splits,) = assign(records, how)
    counts = Counter(splits.values())
    assert abs(counts["test"] - 0.15 * len(records)) <= 1
    assert abs(counts["val"] - 0.15 * len(records)) <= 2
    assert counts.total() == len(records)


@pytest.mark.parametrize("shares", [{"val": 0.0}, {"test": 1.0}, {"val": 0.5, "test": 0.5}, {"val": float("nan")}])
def test_shares_that_cannot_be_are_refused(shares):
    with pytest.raises(XaibenchError, match="give shares"):
        Splitting(**shares)


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("folds", [1, 5])
def test_a_set_too_small_to_split_is_refused_and_not_split_into_nothing(count, folds):
    records = records_of([[0]] * count)
    with pytest.raises(XaibenchError, match="patient"):
        assign(records, Splitting(folds=folds))


@settings(max_examples=40, phases=[Phase.generate])
@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=4), min_size=3, max_size=12), hows)
def test_a_small_set_is_split_into_three_parts_with_images_or_refused(labels, how):
    try:
        folds = assign(records_of(labels), how)
    except XaibenchError:
        return
    assert all(set(splits.values()) == set(SPLITS) for splits in folds)


# ------------------------------------------------------------------------------------------------------ official splits

official_patients = st.lists(
    st.lists(st.tuples(st.integers(0, 1), st.sampled_from(["train", "test"])), min_size=1, max_size=4),
    min_size=20,
    max_size=60,
)


def officials_of(drawn):
    return records_of([[label for label, _ in own] for own in drawn], [[side for _, side in own] for own in drawn])


@few
@given(official_patients, st.sampled_from(["test", "train"]), st.integers(0, 5))
def test_official_splits_hold_but_for_patients_on_both_sides(drawn, conflict, seed):
    records = officials_of(drawn)
    torn = set(conflicts(records))
    assert torn == {
        record.patient
        for record in records
        if len({other.official for other in records if other.patient == record.patient}) > 1
    }
    assume(sum(record.official == "train" for record in records if record.patient not in torn) > 10)
    assume(any(record.official == "test" for record in records if record.patient not in torn))
    (splits,) = assign(records, Splitting(official=True, conflict=conflict, seed=seed))
    for record in records:
        if record.patient not in torn:
            assert (splits[record.id] == "test") == (record.official == "test")
        elif conflict == "test":
            assert splits[record.id] == "test"
        else:
            assert splits[record.id] in ("train", "val")
    assert all(len(found) == 1 for found in sides_of(records, splits).values())


@few
@given(official_patients, st.integers(0, 5))
def test_a_kept_conflict_keeps_every_official_place_and_stays_out_of_val(drawn, seed):
    records = officials_of(drawn)
    torn = set(conflicts(records))
    assume(sum(record.official == "train" for record in records if record.patient not in torn) > 10)
    assume(any(record.official == "test" for record in records))
    (splits,) = assign(records, Splitting(official=True, conflict="keep", seed=seed))
    for record in records:
        assert (splits[record.id] == "test") == (record.official == "test")
        assert not (record.patient in torn and splits[record.id] == "val")


@given(st.lists(st.lists(st.sampled_from(["train", "val", "test"]), min_size=1, max_size=3), min_size=20, max_size=50))
def test_an_official_val_is_left_as_it_is(sides):
    assume(all(any(side in own for own in sides) for side in SPLITS))
    records = records_of([[0] * len(own) for own in sides], sides)
    (splits,) = assign(records, Splitting(official=True, conflict="keep"))
    assert splits == {record.id: record.official for record in records}


@settings(max_examples=20, phases=[Phase.generate])
@given(official_patients)
def test_an_official_split_by_image_gets_a_val_too(drawn):
    records = officials_of(drawn)
    assume(20 < sum(record.official == "train" for record in records) < len(records))
    (splits,) = assign(records, Splitting(official=True, conflict="keep", by="image"))
    assert "val" in splits.values()


@pytest.mark.parametrize("sides", [["train"] * 9, ["test"] * 9, ["train", "test"], ["val", "test"]])
def test_an_official_split_with_an_empty_part_is_refused(sides):
    records = records_of([[0]] * len(sides), [[side] for side in sides])
    with pytest.raises(XaibenchError, match=r"no (train|val|test) images"):
        assign(records, Splitting(official=True))


# ----------------------------------------------------------------------------------------------------- shared patients


class NoImages:
    """A ledger that must not be asked."""


@few
@given(patients, hows, st.data())
def test_every_patient_torn_between_splits_is_told_and_no_other(labels, how, data):
    records = records_of(labels)
    folds = [dict(splits) for splits in assign(records, how)]
    moved = data.draw(st.lists(st.sampled_from(records), max_size=4, unique_by=lambda record: record.id))
    for record in moved:
        folds[0][record.id] = "train" if folds[0][record.id] == "test" else "test"
    torn = [patient for patient, found in sides_of(records, folds[0]).items() if len(found) > 1]
    warnings = [finding for finding in find_leaks(records, folds, NoImages(), look=False) if finding.level == "warning"]
    if torn:
        (warning,) = warnings
        assert warning.where == "fold 0"
        assert warning.what.startswith(f"{len(torn)} of {len(labels)} patients")
        assert all(patient in warning.what for patient in sorted(torn)[:5])
    else:
        assert warnings == []
