"""The names of variants, and what each changes: the seed, the image, the class, the labels."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from xaibench.errors import UsageError
from xaibench.registry import create
from xaibench.variants import LANGUAGE, PLAIN, SHIFT, ShuffledLabels, image_of, map_seed, noises, parse, target_of

TOYS = Path(__file__).with_name("toy_plugins.py")

# ---------------------------------------------------------------------------------------------------------- the names

GOOD = (
    "seed:1", "seed:12", "noise:uniform:0.02:1", "noise:normal:1.0:3", "cascade:1", "cascade:100", "independent:50",
    "retrained:2", "shuffled-labels", "shifted", "target:least", "target:random",
)  # fmt: skip
BAD = (
    "seed", "seed:0", "seed:01", "seed:-1", "seed:1 ", "Seed:1", "noise:1", "noise:0.1", "noise:pink:0.1:1",
    "noise:uniform:0.0:1", "noise:uniform:0.10:1", "noise:uniform:.1:1", "noise:uniform:1:1", "noise:uniform:nan:1",
    "cascade:0", "cascade:101", "cascade:5.5", "independent", "retrained:0", "shuffled", "shift", "target:other",
    "target:1",
)  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_what_is_in_the_language_is_understood(name):
    assert parse(name).name == name
    assert name.startswith(parse(name).kind)


def test_every_kind_has_been_tried():
    assert {parse(name).kind for name in GOOD} == set(LANGUAGE)


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_or_has_a_second_spelling_is_refused(name):
    with pytest.raises(UsageError, match="there is no variant"):
        parse(name)


def test_no_name_is_the_plain_map():
    assert parse("") == PLAIN


@pytest.mark.parametrize("radius", [1e-6, 0.02, 0.1, 1 / 3, 1, 2.5, 10])
def test_the_spelling_of_noise_is_read_back(radius):
    first, second = noises("uniform", radius, 2)
    assert (parse(first).radius, parse(first).number) == (pytest.approx(radius, abs=1e-11), 1)
    assert parse(second).number == 2


# ----------------------------------------------------------------------------------------------- what they change, each


def test_only_a_seed_variant_has_another_seed():
    plain = map_seed(PLAIN, 0, "a")
    assert {map_seed(parse(name), 0, "a") == plain for name in GOOD if not name.startswith("seed")} == {True}
    assert len({plain, map_seed(parse("seed:1"), 0, "a"), map_seed(parse("seed:2"), 0, "a")}) == 3
    assert plain != map_seed(PLAIN, 1, "a")


GREY = np.full((1, 100, 100), 0.5, dtype=np.float32)


def test_uniform_noise_fills_its_radius_and_no_more():
    noise = image_of(parse("noise:uniform:0.1:1"), GREY, 7) - GREY
    assert noise.dtype == np.float32
    assert 0.099 < np.abs(noise).max() <= 0.1 + 1e-6
    assert noise.std() == pytest.approx(0.1 / np.sqrt(3), rel=0.03)
    assert abs(noise.mean()) < 0.002


def test_normal_noise_has_its_radius_for_a_standard_deviation():
    noise = image_of(parse("noise:normal:0.1:1"), GREY, 7) - GREY
    assert noise.std() == pytest.approx(0.1, rel=0.03)
    assert np.abs(noise).max() > 0.3


def test_noise_leaves_no_pixel_outside_its_range():
    image = np.linspace(0, 1, 10_000, dtype=np.float32).reshape(1, 100, 100)
    noisy = image_of(parse("noise:normal:0.5:1"), image, 7)
    assert (noisy.min(), noisy.max()) == (0, 1)


def test_noise_belongs_to_the_sample_and_the_draw():
    def drawn(name, seed):
        return image_of(parse(name), GREY, seed)

    assert np.array_equal(drawn("noise:uniform:0.1:1", 7), drawn("noise:uniform:0.1:1", 7))
    assert not np.array_equal(drawn("noise:uniform:0.1:1", 7), drawn("noise:uniform:0.1:1", 8))
    assert not np.array_equal(drawn("noise:uniform:0.1:1", 7), drawn("noise:uniform:0.1:2", 7))


def test_other_variants_leave_the_image_alone():
    for name in GOOD:
        same = np.array_equal(image_of(parse(name), GREY, 7), GREY)
        assert same == (parse(name).kind not in ("noise", "shifted"))
    assert np.array_equal(image_of(parse("shifted"), GREY, 7), GREY + SHIFT)


def test_the_least_likely_class_by_hand():
    least = parse("target:least")
    assert target_of(least, 0, [3.0, 2.0, 1.0], 7) == 2
    assert target_of(least, 2, [3.0, 2.0, 1.0], 7) == 1, "never the class itself"
    assert target_of(least, 0, [3.0, 1.0, 1.0], 7) == 1, "the first of equals"


def test_a_random_class_is_any_but_the_explained_one():
    other = parse("target:random")
    found = Counter(target_of(other, 1, [0.0] * 4, seed) for seed in range(3000))
    assert set(found) == {0, 2, 3}
    assert min(found.values()) > 900
    assert target_of(other, 1, [0.0] * 4, 5) == target_of(other, 1, [9.0, 0, 0, 0], 5), "of the seed alone"


def test_other_variants_explain_the_same_class():
    assert {target_of(parse(name), 1, [0.0, 1.0, 2.0], 7) for name in GOOD if not name.startswith("target")} == {1}


# ------------------------------------------------------------------------------------------------------ shuffled labels


@pytest.fixture
def blobs():
    return create("tasks", f"{TOYS}:Blobs").plugin


def test_shuffled_labels_are_the_same_labels_dealt_out_anew(blobs):
    true = {entry.id: entry for entry in blobs.entries("train", 0)}
    dealt = ShuffledLabels(blobs, 0).entries("train", 0)
    assert sorted(entry.id for entry in dealt) == sorted(true)
    assert Counter(entry.label for entry in dealt) == Counter(entry.label for entry in true.values())
    wrong = sum(entry.label != true[entry.id].label for entry in dealt)
    assert 8 <= wrong <= 24, "half of 32, give or take"
    assert [entry.label for entry in dealt] == [entry.label for entry in ShuffledLabels(blobs, 0).entries("train", 0)]
    assert [entry.label for entry in dealt] != [entry.label for entry in ShuffledLabels(blobs, 1).entries("train", 0)]


def test_under_a_shuffled_label_the_image_is_the_true_one(blobs):
    """The toy draws its image by its label: it must be asked for the true one."""
    shuffled = ShuffledLabels(blobs, 0)
    true = {entry.id: entry for entry in blobs.entries("train", 0)}
    for entry in shuffled.entries("train", 0):
        sample = shuffled.load(entry)
        assert sample.entry.label == entry.label
        assert np.array_equal(sample.image, blobs.load(true[entry.id]).image)


def test_shuffled_labels_are_other_data(blobs):
    prints = {blobs.fingerprint(), ShuffledLabels(blobs, 0).fingerprint(), ShuffledLabels(blobs, 1).fingerprint()}
    assert len(prints) == 3
