import math

import numpy as np
import pytest

from xaibench.errors import UsageError
from xaibench.metrics.pointing import PointingGame


def one(make_case, heatmap, mask, tolerance=0):
    return PointingGame(tolerance=tolerance).score(make_case([heatmap], [mask]))[0]


MASK = np.array([[0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]])


def peak_at(*places):
    heatmap = np.full((3, 4), 0.5)
    for place in places:
        heatmap[place] = 1
    return heatmap


def test_the_highest_pixel_hits_or_misses(make_case):
    assert one(make_case, peak_at((1, 1)), MASK) == 1
    assert one(make_case, peak_at((1, 2)), MASK) == 0


def test_tied_highest_pixels_count_by_the_share_that_hits(make_case):
    assert one(make_case, peak_at((1, 1), (0, 0), (2, 3)), MASK) == 1 / 3


def test_ties_everywhere_give_the_lesions_share_of_the_image(make_case):
    assert one(make_case, np.ones((3, 4)), MASK) == 1 / 12


def test_a_full_mask_is_always_hit(make_case):
    assert one(make_case, peak_at((2, 3)), np.ones((3, 4))) == 1


@pytest.mark.parametrize(
    ("tolerance", "place", "hit"),
    [
        (1, (0, 1), 1),  # one pixel above the lesion
        (1, (0, 0), 0),  # diagonally next to it: the distance is 1.41
        (1.5, (0, 0), 1),
        (1.5, (1, 3), 0),  # two pixels to the right
        (2, (1, 3), 1),
        (2, (2, 3), 0),  # one down, two to the right: 2.24
    ],
)
def test_tolerance_is_a_distance_in_pixels(make_case, tolerance, place, hit):
    assert one(make_case, peak_at(place), MASK, tolerance) == hit


def test_any_of_several_lesions_may_be_hit(make_case):
    first, second = np.zeros((2, 3, 4), dtype=bool)
    first[1, 1], second[2, 3] = True, True
    case = make_case([peak_at((2, 3))], [first | second], lesions=((first, second),))
    assert PointingGame().score(case)[0] == 1


@pytest.mark.parametrize("tolerance", [-1, float("nan")])
def test_a_tolerance_that_is_no_distance_is_refused(tolerance):
    with pytest.raises(UsageError, match="tolerance"):
        PointingGame(tolerance=tolerance)


def slow(heatmap, mask, tolerance):
    lesion = [place for place, value in np.ndenumerate(mask) if value]
    peaks = [place for place, value in np.ndenumerate(heatmap) if value == heatmap.max()]
    hits = [peak for peak in peaks if min(math.dist(peak, place) for place in lesion) <= tolerance]
    return len(hits) / len(peaks)


@pytest.mark.parametrize("tolerance", [0, 1, 2.5])
def test_it_agrees_with_its_slow_twin(random_case, tolerance):
    case = random_case(5)
    twin = [slow(heatmap, mask, tolerance) for heatmap, mask in zip(case.maps, case.masks, strict=True)]
    assert any(0 < value < 1 for value in twin)
    np.testing.assert_allclose(PointingGame(tolerance=tolerance).score(case), twin, rtol=0, atol=1e-9)
