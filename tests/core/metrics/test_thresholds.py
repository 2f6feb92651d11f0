import numpy as np
import pytest
from skimage.filters import threshold_otsu

from xaibench.errors import UsageError
from xaibench.metrics.overlap import IoU
from xaibench.metrics.thresholds import THRESHOLDS, IoUBest, IoUDynamic, otsu

# Two groups of values, low (0 to .2) and high (.8 to 1).
HEATMAP = [[1.0, 0.8, 0.2], [0.1, 0.0, 0.0]]
MASK = [[1, 0, 1], [0, 0, 0]]


def one(metric, make_case, heatmap, mask):
    return metric.score(make_case([heatmap], [mask]))[0]


def test_otsu_by_hand():
    # Cuts of 0, 0, 3, 3, 4: below * above * gap^2 is 2*3*(10/3)^2 = 66.7 above 0, 4*1*(2.5)^2 = 25 above 3.
    assert otsu(np.array([0.0, 0.0, 3.0, 3.0, 4.0])) == 3


def test_otsu_of_one_level_is_that_level():
    assert otsu(np.full(5, 0.25)) == 0.25


def test_iou_at_otsus_threshold_by_hand(make_case):
    # .8 and 1 are the upper group: of three pixels in all one is shared.
    assert one(IoUDynamic(), make_case, HEATMAP, MASK) == 1 / 3


def test_iou_at_mean_and_standard_deviation_by_hand(make_case):
    heatmap = [[1.0, 0.5], [0.5, 0.0]]  # mean .5, standard deviation .3536
    mask = [[1, 1], [0, 0]]
    assert one(IoUDynamic(method="mean-sd"), make_case, heatmap, mask) == 1 / 2  # .8536: the first pixel
    assert one(IoUDynamic(method="mean-sd", k=-0.5), make_case, heatmap, mask) == 2 / 3  # .3232: all but the last
    assert one(IoUDynamic(method="mean-sd", k=9), make_case, heatmap, mask) == 0  # no pixel is so high
    wide = [[1.0, 0.75], [0.25, 0.0]]  # mean .5, standard deviation .3953 and variance .1563: .895, not .656
    assert one(IoUDynamic(method="mean-sd"), make_case, wide, [[1, 0], [0, 0]]) == 1


def test_only_positive_values_are_asked_on_request(make_case):
    heatmap = [[1.0, 0.9, 0.6, 0.5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]
    mask = [[1, 1, 0, 0] + [0] * 12]
    # All values: 12 * 4 * .75^2 = 27 parts off the zeros, 14 * 2 * (.95 - 1.1 / 14)^2 = 21 would part {1, .9}.
    # Positive values: 2 * 2 * (.95 - .55)^2 = .64 parts {1, .9} from {.6, .5}; the other two cuts have .33.
    assert one(IoUDynamic(), make_case, heatmap, mask) == 2 / 4
    assert one(IoUDynamic(over="positive"), make_case, heatmap, mask) == 1


def test_the_lesion_itself_is_found_at_any_dynamic_threshold(make_case):
    mask = np.array([[1, 0, 1], [1, 0, 0]])
    for metric in (IoUDynamic(), IoUDynamic(over="positive"), IoUDynamic(method="mean-sd", k=0.5)):
        assert one(metric, make_case, mask, mask) == 1
        assert one(metric, make_case, 1 - mask, mask) == 0


def test_values_that_are_all_alike_are_one_group(make_case):
    assert one(IoUDynamic(), make_case, np.ones((2, 2)), [[1, 0], [0, 0]]) == 1 / 4


@pytest.mark.parametrize("wrong", [{"method": "triangle"}, {"over": "some"}])
def test_an_unknown_way_to_a_threshold_is_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong.values()))):
        IoUDynamic(**wrong)


@pytest.mark.parametrize("seed", range(5))
def test_scikit_image_agrees_on_8_bit_maps(make_case, seed):
    rng = np.random.default_rng(seed)
    picture = np.clip(rng.normal(60, 30, (20, 20)), 0, 255).astype(np.uint8)
    picture[5:9, 5:9] = rng.integers(150, 256, (4, 4))
    picture[0, 0], picture[0, 1] = 0, 255
    mask = rng.random((20, 20)) < 0.2
    highlighted = picture > threshold_otsu(picture)
    expected = (highlighted & mask).sum() / (highlighted | mask).sum()
    assert one(IoUDynamic(), make_case, picture / 255, mask) == pytest.approx(expected, abs=1e-12)


def test_otsu_agrees_with_its_slow_twin():
    """The cut with the least variance within its groups, by trying them all."""
    rng = np.random.default_rng(2)
    for _ in range(20):
        values = np.round(rng.random(40) ** 2, 2)
        cuts = sorted(set(values))[1:]
        within = {cut: sum(np.var(part) * len(part) for part in (values[values < cut], values[values >= cut]))
                  for cut in cuts}  # fmt: skip
        assert within[otsu(values)] == pytest.approx(min(within.values()), rel=1e-9)


def test_the_best_iou_and_its_curve_by_hand(make_case):
    # From .05: all but the zeros, 2 of 4 shared. From .15: 2 of 3. From .25: 1 of 3, up to .8. From .85: 1 of 2.
    answer = IoUBest().score(make_case([HEATMAP], [MASK]))
    expected = [2 / 4, 2 / 4] + [2 / 3] * 2 + [1 / 3] * 12 + [1 / 2] * 3
    assert answer.curves.tolist() == [expected]
    assert answer.values.tolist() == [2 / 3]


def test_a_pixel_exactly_at_a_threshold_is_in_as_it_is_for_iou(make_case):
    for place, threshold in enumerate(THRESHOLDS):
        case = make_case([[[1.0, threshold]]], [[[1, 1]]])
        assert IoUBest().score(case).curves[0, place] == IoU(threshold=threshold).score(case)[0] == 1


def test_every_point_of_the_curve_is_the_iou_at_its_threshold(random_case):
    case = random_case(4)
    curves = IoUBest().score(case).curves
    for place, threshold in enumerate(THRESHOLDS):
        np.testing.assert_array_equal(curves[:, place], IoU(threshold=threshold).score(case))


def test_the_best_is_marked_as_an_oracle_that_claims_nothing():
    assert IoUBest.card.summary.startswith("Oracle")
    assert not IoUBest.card.claims_quality
    assert IoUBest.card.curve == THRESHOLDS == tuple(np.round(np.arange(0.05, 0.96, 0.05), 2))


def test_the_standard_deviation_is_that_of_all_pixels_and_not_of_a_sample(make_case):
    # Mean .38, deviation .467: from .847 on two pixels are in. A sample's deviation, .522, would leave the .9 out.
    assert one(IoUDynamic(method="mean-sd"), make_case, [[0, 0, 0, 0.9, 1.0]], [[0, 0, 0, 1, 1]]) == 1
