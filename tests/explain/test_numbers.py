"""The numbers of a map, worked by hand."""

import numpy as np
import pytest

from xaibench.explaining.statistics import agreement, box_of, centre_of_mass, statistics, top_share


def test_a_map_of_equal_values_has_a_tenth_of_itself_in_a_tenth_of_the_pixels():
    assert top_share(np.full((10, 10), 0.3)) == pytest.approx(0.1)


def test_the_strongest_tenth_is_counted_in_whole_pixels_rounded_up():
    values = np.ones((5, 5))
    values[0, :2] = 10, 9  # of 25 pixels a tenth are 3: 10 + 9 + 1 of 42
    assert top_share(values) == pytest.approx(20 / 42)


def test_the_centre_of_one_pixel_is_the_middle_of_that_pixel():
    values = np.zeros((4, 6))
    values[1, 4] = 2.0
    assert centre_of_mass(values) == [1.5, 4.5]


def test_the_centre_of_two_pixels_is_nearer_to_the_heavier_one():
    values = np.zeros((4, 6))
    values[0, 0], values[0, 4] = 3.0, 1.0
    assert centre_of_mass(values) == [0.5, 1.5]


def test_a_box_ends_behind_the_last_pixel():
    inside = np.zeros((8, 8), bool)
    inside[2, 3] = inside[5, 6] = True
    assert box_of(inside) == [2, 3, 6, 7]


def test_statistics_of_a_map_with_a_bright_block():
    raw = np.zeros((10, 10), np.float32)
    raw[2:4, 5:10] = 4.0  # ten pixels: all energy in a tenth
    raw[9, 0] = -2.0  # clipped away
    mask = np.zeros((10, 10), bool)
    mask[2, 5:10] = True  # half of the block
    told = statistics(raw, "positive", mask)
    assert (told["minimum"], told["maximum"], told["mean"]) == (-2.0, 4.0, pytest.approx(0.38))
    assert told["energy_in_top_10_percent"] == 1.0
    assert told["centre_of_mass"] == [3.0, 7.5]
    assert told["box"] == [2, 5, 4, 10]
    assert told["area_above_threshold"] == pytest.approx(0.1)
    assert (told["mass_in_mask"], told["mask_area"], told["peak_in_mask"]) == (0.5, 0.05, True)


def test_absolute_counts_what_speaks_against_the_class_too():
    raw = np.array([[0.0, 1.0], [0.0, -3.0]], np.float32)
    mask = np.array([[False, False], [False, True]])
    assert statistics(raw, "positive", mask)["mass_in_mask"] == 0.0
    assert statistics(raw, "absolute", mask)["mass_in_mask"] == pytest.approx(0.75)


def test_maps_agree_by_the_order_of_their_pixels_and_not_by_their_values():
    first = np.array([[0.0, 1.0], [2.0, 3.0]], np.float32)
    told = agreement({"a": first, "b": first**3, "c": -first, "d": np.zeros((2, 2), np.float32)})
    assert told["a / b"] == pytest.approx(1)
    assert told["a / c"] == pytest.approx(-1)
    assert told["a / d"] is None


def test_equal_values_share_their_rank():
    told = agreement({"a": np.array([[0.0, 0.0, 1.0]], np.float32), "b": np.array([[0.0, 1.0, 1.0]], np.float32)})
    assert told["a / b"] == pytest.approx(0.5)  # ranks (.5, .5, 2) and (0, 1.5, 1.5)
