from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from xaibench.normalise import invalid, normalise


def maps(*rows):
    return np.array(rows, dtype=np.float32)


SIGNED = maps([[-4, -2], [0, 6]])


def test_positive_clips_then_stretches():
    # -4, -2 become 0; then (x - 0) / (6 - 0).
    assert_array_equal(normalise(SIGNED, "positive"), maps([[0, 0], [0, 1]]))


def test_absolute_mirrors_then_stretches():
    # 4, 2, 0, 6 over a range of 6.
    assert_array_equal(normalise(SIGNED, "absolute"), maps([[2 / 3, 1 / 3], [0, 1]]))


def test_the_lowest_value_becomes_0_even_if_all_are_positive():
    assert_array_equal(normalise(maps([[10, 11], [12, 14]])), maps([[0, 0.25], [0.5, 1]]))


def test_each_map_is_stretched_by_itself():
    pair = maps([[0, 1], [2, 4]], [[0, 100], [200, 400]])
    assert_array_equal(normalise(pair)[0], normalise(pair)[1])
    assert_array_equal(normalise(pair)[:1], normalise(pair[:1]))


def test_the_result_is_float32_and_the_raw_map_stays():
    raw = SIGNED.copy()
    assert normalise(raw).dtype == np.float32
    assert_array_equal(raw, SIGNED)


@pytest.mark.parametrize("scale", [0.5, 4.0, 1024.0])
@pytest.mark.parametrize("shift", [0.0, 2.0, 32.0])
def test_scale_and_shift_of_a_positive_map_do_not_matter(scale, shift):
    raw = np.random.default_rng(0).integers(0, 256, size=(3, 5, 7)).astype(np.float32)
    assert_array_equal(normalise(raw * np.float32(scale) + np.float32(shift)), normalise(raw))


@pytest.mark.parametrize("policy", ["positive", "absolute"])
def test_order_and_ties_are_kept(policy):
    raw = np.random.default_rng(1).integers(-20, 20, size=(4, 8, 8)).astype(np.float32)
    before = (np.abs(raw) if policy == "absolute" else raw.clip(min=0)).reshape(4, -1)
    after = normalise(raw, policy).reshape(4, -1)
    for one, other in zip(before, after, strict=True):
        assert_array_equal(np.sign(one[:, None] - one), np.sign(other[:, None] - other))


def test_values_are_right_to_the_last_bit():
    raw = np.random.default_rng(2).uniform(0.1, 10, size=(1, 16, 16)).astype(np.float32)
    low, high = Fraction(float(raw.min())), Fraction(float(raw.max()))
    exact = [np.float32(float((Fraction(float(value)) - low) / (high - low))) for value in raw.flat]
    assert_array_equal(normalise(raw).ravel(), exact)


@pytest.mark.parametrize("values", [[0, 1e-45], [3e38, -3e38], [1, np.nextafter(np.float32(1), np.float32(2))]])
def test_the_faintest_and_the_widest_contrast_fill_the_range(values):
    raw = maps([values, values[::-1]])
    low, high = sorted(normalise(raw)[0, 0])
    assert (low, high) == (0, 1)
    assert invalid(raw, "positive") == [""]


FLAT = maps([[3, 3], [3, 3]])
NEGATIVE = maps([[-1, -2], [-3, -4]])
MIRRORED = maps([[-2, 2], [2, -2]])
SOUND = maps([[0, 1], [2, 3]])


@pytest.mark.parametrize(
    ("raw", "sign", "said"),
    [
        (SOUND, None, ""),
        (SOUND, "positive", ""),
        (SOUND, "absolute", ""),
        (FLAT, None, "flat: every value is 3"),
        (NEGATIVE, None, ""),
        (NEGATIVE, "positive", "flat: no value is above 0"),
        (NEGATIVE, "absolute", ""),
        (MIRRORED, None, ""),
        (MIRRORED, "positive", ""),
        (MIRRORED, "absolute", "flat: every absolute value is the same"),
        (maps([[np.nan, 1], [np.inf, -np.inf]]), None, "3 of 4 values are NaN or infinite"),
        (maps([[0, 1], [2, np.inf]]), None, "1 of 4 values are NaN or infinite"),
        (maps([[np.nan] * 2] * 2), "positive", "4 of 4 values are NaN or infinite"),
    ],
)
def test_an_unsound_map_is_named_with_its_reason(raw, sign, said):
    assert invalid(raw, sign) == [said]


def test_each_map_is_judged_by_itself():
    assert invalid(np.concatenate([SOUND, FLAT, SOUND])) == ["", "flat: every value is 3", ""]


def test_a_wrong_shape_spoils_all_maps():
    wrong = np.zeros((2, 2, 3), dtype=np.float32)
    assert invalid(wrong, shape=(2, 3, 2)) == ["the maps have shape (2, 2, 3) instead of (2, 3, 2)"] * 2
    assert invalid(SOUND, shape=(1, 2, 2)) == [""]


def test_a_flat_map_becomes_zeros():
    assert_array_equal(normalise(np.concatenate([FLAT, NEGATIVE])), np.zeros((2, 2, 2)))
