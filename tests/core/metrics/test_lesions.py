import itertools

import numpy as np
import pytest

from xaibench.errors import UsageError
from xaibench.metrics.lesions import FalseAlarms, LesionRecall

# A lesion of four pixels on the left, one of a single pixel on the right.
LARGE, SMALL = np.zeros((2, 2, 5), dtype=bool)
LARGE[:, :2], SMALL[0, 4] = True, True
HEATMAP = np.array([[1.0, 0.9, 0.5, 0.0, 0.8], [0.7, 0.1, 0.6, 0.0, 0.0]])


def recall(make_case, heatmap, *lesions, **options):
    case = make_case([heatmap], [np.logical_or.reduce(lesions)], lesions=(lesions,))
    return LesionRecall(**options).score(case)[0]


def test_small_lesions_count_as_much_as_large_ones_by_hand(make_case):
    # Five lesion pixels: the five highest are 1, .9, .8, .7, .6. They hold 3 of 4 pixels of the one, all of the other.
    assert recall(make_case, HEATMAP, LARGE, SMALL) == (3 / 4 + 1) / 2


@pytest.mark.parametrize(("coverage", "found"), [(0.5, 1), (0.75, 1), (0.76, 0.5), (1, 0.5)])
def test_a_lesion_is_found_if_enough_of_it_is_highlighted(make_case, coverage, found):
    assert recall(make_case, HEATMAP, LARGE, SMALL, coverage=coverage) == found


def test_at_a_threshold_all_pixels_that_reach_it_are_highlighted(make_case):
    assert recall(make_case, HEATMAP, LARGE, SMALL, coverage=0.5, threshold=0.85) == 0.5  # 2 of 4, and 0 of 1
    assert recall(make_case, HEATMAP, LARGE, SMALL, threshold=0.85) == (2 / 4 + 0) / 2
    assert recall(make_case, HEATMAP, LARGE, SMALL, coverage=1, threshold=0.1) == 1


def test_a_tie_at_the_cut_counts_by_chance(make_case):
    # Two pixels are drawn of four that tie, one lesion of two pixels: all six pairs are as likely.
    lesion = np.array([[1, 1, 0, 0]], dtype=bool)
    assert recall(make_case, np.ones((1, 4)), lesion) == pytest.approx(1 / 2, abs=1e-12)
    assert recall(make_case, np.ones((1, 4)), lesion, coverage=1) == pytest.approx(1 / 6, abs=1e-12)
    assert recall(make_case, np.ones((1, 4)), lesion, coverage=0.5) == pytest.approx(5 / 6, abs=1e-12)


def test_lesions_that_overlap_are_each_asked_for(make_case):
    whole = np.array([[1, 1, 1, 0]], dtype=bool)
    part = np.array([[0, 0, 1, 0]], dtype=bool)
    assert recall(make_case, [[1, 0.9, 0, 0.5]], whole, part) == pytest.approx((2 / 3 + 0) / 2, abs=1e-12)


def test_a_lesion_mask_without_a_pixel_is_no_lesion(make_case):
    assert recall(make_case, HEATMAP, LARGE, np.zeros_like(LARGE)) == recall(make_case, HEATMAP, LARGE)


def test_a_share_of_the_pixels_is_what_it_is_whatever_rounding_says(make_case):
    assert 0.07 * 100 > 7  # in floating point
    lesion = np.zeros((1, 200), dtype=bool)
    lesion[0, :100] = True
    heatmap = np.zeros((1, 200))
    heatmap[0, 93:193] = 1  # seven of the lesion's hundred
    assert recall(make_case, heatmap, lesion, coverage=0.07) == 1
    assert recall(make_case, heatmap, lesion, coverage=0.08) == 0


@pytest.mark.parametrize("coverage", [None, 0.3, 0.5, 1])
@pytest.mark.parametrize("seed", range(4))
def test_it_agrees_with_every_way_of_breaking_the_ties(make_case, seed, coverage):
    rng = np.random.default_rng(seed)
    heatmap = rng.integers(0, 3, (2, 5)) / 2
    lesions = [rng.random((2, 5)) < 0.3 for _ in range(2)]
    lesions[0][0, 0], lesions[1][1, 1] = True, True
    union = (lesions[0] | lesions[1]).ravel()
    places = sorted(range(10), key=lambda place: -heatmap.ravel()[place])
    cut = heatmap.ravel()[places[union.sum() - 1]]
    above = [place for place in places if heatmap.ravel()[place] > cut]
    tied = [place for place in places if heatmap.ravel()[place] == cut]
    found = []
    for drawn in itertools.combinations(tied, int(union.sum()) - len(above)):
        shares = [np.mean([place in {*above, *drawn} for place in np.flatnonzero(lesion)]) for lesion in lesions]
        found.append(np.mean(shares if coverage is None else [share >= coverage - 1e-9 for share in shares]))
    assert recall(make_case, heatmap, *lesions, coverage=coverage) == pytest.approx(np.mean(found), abs=1e-12)


@pytest.mark.parametrize("wrong", [{"coverage": 0}, {"coverage": 1.1}, {"threshold": 0}, {"threshold": 2.0}])
def test_what_no_lesion_can_meet_is_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        LesionRecall(**wrong)


def test_false_alarms_by_hand(make_case):
    maps = [[[1.0, 0.5], [0.5, 0.0]], [[1.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]]]
    assert FalseAlarms().score(make_case(maps, np.zeros((3, 2, 2)))).tolist() == [0.5, 0.25, 1]


def test_false_alarms_are_asked_of_normal_images_less_is_better_and_no_map_has_no_value():
    card = FalseAlarms.card
    assert card.needs == {"normal"}
    assert (card.higher_is_better, card.worst, card.claims_quality) == (False, None, False)
