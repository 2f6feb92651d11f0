import itertools
from fractions import Fraction

import numpy as np
import pytest

from xaibench.errors import UsageError
from xaibench.metrics.overlap import Dice, IoU, IoUMatched


def one(metric, make_case, heatmap, mask):
    return metric.score(make_case([heatmap], [mask]))[0]


def test_iou_by_hand(make_case):
    heatmap = [[1.0, 0.6, 0.5], [0.49, 0.2, 0.0]]
    mask = [[1, 0, 1], [1, 0, 0]]
    # At least 0.5: the first row. With the mask it shares 2 pixels; together they cover 4.
    assert one(IoU(), make_case, heatmap, mask) == 2 / 4


def test_iou_at_another_threshold(make_case):
    heatmap, mask = [[1.0, 0.6, 0.5], [0.49, 0.2, 0.0]], [[1, 0, 1], [1, 0, 0]]
    assert one(IoU(threshold=0.2), make_case, heatmap, mask) == 3 / 5  # all but the last pixel
    assert one(IoU(threshold=1), make_case, heatmap, mask) == 1 / 3  # the first pixel alone


def test_iou_of_the_lesion_itself_is_1_and_of_its_opposite_0(make_case):
    mask = np.array([[1, 0, 1], [1, 0, 0]])
    assert one(IoU(), make_case, mask, mask) == 1
    assert one(IoU(), make_case, 1 - mask, mask) == 0


def test_iou_of_several_lesions_is_that_of_their_union(make_case):
    left, right = np.zeros((2, 2, 4), dtype=bool)
    left[:, 0], right[:, 3] = True, True
    heatmap = [[1, 0, 0, 0], [1, 0, 0, 0]]
    assert IoU().score(make_case([heatmap], [left | right], lesions=((left, right),)))[0] == 2 / 4


def test_iou_of_degenerate_masks(make_case):
    heatmap = [[1.0, 0.5], [0.2, 0.0]]
    assert one(IoU(), make_case, heatmap, [[1, 0], [0, 0]]) == 1 / 2
    assert one(IoU(), make_case, heatmap, [[1, 1], [1, 1]]) == 2 / 4


def test_iou_of_ties_everywhere(make_case):
    assert one(IoU(), make_case, np.ones((2, 2)), [[1, 0], [0, 0]]) == 1 / 4


@pytest.mark.parametrize("threshold", [0, -0.1, 1.1, float("nan")])
def test_iou_refuses_a_threshold_that_no_map_can_meet(threshold):
    with pytest.raises(UsageError, match="threshold"):
        IoU(threshold=threshold)


def slow_iou(heatmap, mask, threshold=0.5):
    highlighted = {place for place, value in np.ndenumerate(heatmap) if value >= threshold}
    lesion = {place for place, value in np.ndenumerate(mask) if value}
    return len(highlighted & lesion) / len(highlighted | lesion)


def test_iou_agrees_with_its_slow_twin(random_case):
    case = random_case(0)
    twin = [slow_iou(heatmap, mask) for heatmap, mask in zip(case.maps, case.masks, strict=True)]
    np.testing.assert_allclose(IoU().score(case), twin, rtol=0, atol=1e-9)


def test_dice_by_hand(make_case):
    heatmap, mask = [[1.0, 0.6, 0.5], [0.49, 0.2, 0.0]], [[1, 0, 1], [1, 0, 0]]
    # At least .5: the first row. Two pixels are shared, and each side has three.
    assert one(Dice(), make_case, heatmap, mask) == 2 * 2 / (3 + 3)
    assert one(Dice(threshold=1), make_case, heatmap, mask) == 2 * 1 / (1 + 3)


def test_dice_of_the_lesion_itself_is_1_and_of_its_opposite_0(make_case):
    mask = np.array([[1, 0, 1], [1, 0, 0]])
    assert one(Dice(), make_case, mask, mask) == 1
    assert one(Dice(), make_case, 1 - mask, mask) == 0


def test_dice_follows_from_iou(random_case):
    case = random_case(2)
    iou = IoU(threshold=0.3).score(case)
    np.testing.assert_allclose(Dice(threshold=0.3).score(case), 2 * iou / (1 + iou), rtol=1e-12)


def test_dice_refuses_a_threshold_that_no_map_can_meet():
    with pytest.raises(UsageError, match="dice: threshold"):
        Dice(threshold=0)


def test_matched_iou_without_ties_by_hand(make_case):
    heatmap = [[0.9, 1.0, 0.1], [0.8, 0.2, 0.0]]
    mask = [[1, 0, 1], [1, 0, 0]]
    # Three lesion pixels, so the three highest: .9, 1, .8. Two of them hit; together they cover 4.
    assert one(IoUMatched(), make_case, heatmap, mask) == pytest.approx(2 / 4, abs=1e-15)


def test_matched_iou_with_a_tie_at_the_cut_by_hand(make_case):
    heatmap = [[1.0, 0.5, 0.5], [0.5, 0.0, 0.0]]
    mask = [[1, 1, 0], [0, 0, 0]]
    # Two lesion pixels. 1.0 is in for sure, and hits. One of the three at .5 is drawn: it hits with chance 1/3 (IoU 1),
    # or misses (one shared pixel of three).
    assert one(IoUMatched(), make_case, heatmap, mask) == pytest.approx(1 / 3 * 1 + 2 / 3 * (1 / 3), abs=1e-15)


def test_matched_iou_of_ties_everywhere_by_hand(make_case):
    # Two of four pixels are drawn; there are 6 pairs. The lesion itself: IoU 1. Sharing one pixel: 4 pairs, IoU 1/3.
    expected = 1 / 6 * 1 + 4 / 6 * (1 / 3) + 1 / 6 * 0
    assert one(IoUMatched(), make_case, np.ones((2, 2)), [[1, 1], [0, 0]]) == pytest.approx(expected, abs=1e-15)


def test_matched_iou_is_not_that_of_the_expected_intersection(make_case):
    # One shared pixel is expected, which would make 1/3; the mean of the IoUs themselves is 7/18.
    assert one(IoUMatched(), make_case, np.ones((2, 2)), [[1, 1], [0, 0]]) == pytest.approx(7 / 18, abs=1e-15)


def test_matched_iou_of_one_pixel(make_case):
    mask = [[0, 1], [0, 0]]
    assert one(IoUMatched(), make_case, [[0.0, 1.0], [0.5, 0.5]], mask) == 1
    assert one(IoUMatched(), make_case, [[1.0, 0.9], [0.5, 0.0]], mask) == 0
    assert one(IoUMatched(), make_case, [[1.0, 1.0], [1.0, 0.0]], mask) == pytest.approx(1 / 3, abs=1e-15)


@pytest.mark.parametrize("heatmap", [np.ones((3, 4)), np.arange(12).reshape(3, 4) / 11])
def test_matched_iou_of_a_full_mask_is_1(make_case, heatmap):
    assert one(IoUMatched(), make_case, heatmap, np.ones((3, 4))) == 1


def test_matched_iou_of_several_lesions_is_that_of_their_union(make_case):
    left, right = np.zeros((2, 2, 4), dtype=bool)
    left[:, 0], right[:, 3] = True, True
    # Four pixels; the two columns on the left are the highest four, and two of them hit: 2 of 6.
    heatmap = [[1.0, 0.9, 0.1, 0.0], [0.8, 0.7, 0.0, 0.1]]
    value = IoUMatched().score(make_case([heatmap], [left | right], lesions=((left, right),)))[0]
    assert value == pytest.approx(2 / 6, abs=1e-15)


def slow_matched(heatmap, mask):
    """Every way of breaking the ties, one by one."""
    places = [place for place, _ in np.ndenumerate(heatmap)]
    lesion = {place for place in places if mask[place]}
    cut = sorted((heatmap[place] for place in places), reverse=True)[len(lesion) - 1]
    above = {place for place in places if heatmap[place] > cut}
    tied = [place for place in places if heatmap[place] == cut]
    ways = [above | set(drawn) for drawn in itertools.combinations(tied, len(lesion) - len(above))]
    return float(sum(Fraction(len(way & lesion), len(way | lesion)) for way in ways) / len(ways))


@pytest.mark.parametrize("levels", [2, 3, 6, 100])
def test_matched_iou_agrees_with_its_slow_twin(make_case, levels):
    generator = np.random.default_rng(levels)
    maps = generator.integers(0, levels, size=(30, 3, 5)) / (levels - 1)
    masks = generator.random((30, 3, 5)) < np.linspace(0.05, 1, 30)[:, None, None]
    masks[:, 1, 1] = True
    case = make_case(maps, masks)
    twin = [slow_matched(heatmap, mask) for heatmap, mask in zip(case.maps, case.masks, strict=True)]
    np.testing.assert_allclose(IoUMatched().score(case), twin, rtol=0, atol=1e-9)


def test_matched_iou_is_what_random_tie_breaking_gives_on_average(random_case):
    case, generator, draws = random_case(3, count=4), np.random.default_rng(4), 4000
    for heatmap, mask, value in zip(case.maps, case.masks, IoUMatched().score(case), strict=True):
        area = np.count_nonzero(mask)
        keys = generator.random((draws, heatmap.size))
        order = np.lexsort((keys, np.broadcast_to(-heatmap.ravel(), keys.shape)))[:, :area]
        shared = mask.ravel()[order].sum(axis=1)
        sampled = shared / (2 * area - shared)
        assert abs(sampled.mean() - value) <= 4 * sampled.std() / np.sqrt(draws) + 1e-12


def test_matched_iou_stays_exact_where_a_large_image_is_one_tie(make_case):
    """A pixel drawn out of 256 x 256 hits the only lesion pixel with chance 1/65536."""
    mask = np.zeros((256, 256), dtype=bool)
    mask[100, 7] = True
    assert one(IoUMatched(), make_case, np.ones((256, 256)), mask) == pytest.approx(1 / 65536, rel=1e-9)
