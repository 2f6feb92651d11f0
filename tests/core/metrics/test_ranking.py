import itertools
from fractions import Fraction

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from xaibench.errors import UsageError
from xaibench.metrics.ranking import AUPRC, AUROC, RelevanceRank, TopK


def one(metric, make_case, heatmap, mask):
    return metric.score(make_case([heatmap], [mask]))[0]


# In order: lesion, not, lesion, not, not, lesion.
HEATMAP = [[1.0, 0.8, 0.6], [0.4, 0.2, 0.0]]
MASK = [[1, 0, 1], [0, 0, 1]]


def test_average_precision_by_hand(make_case):
    # Lesion pixels come first, third and sixth: precisions 1/1, 2/3, 3/6.
    assert one(AUPRC(), make_case, HEATMAP, MASK) == pytest.approx((1 + 2 / 3 + 1 / 2) / 3, abs=1e-12)


def test_average_precision_of_a_tie_by_hand(make_case):
    # The lesion pixel ties with another: first (precision 1) or second (1/2), equally likely.
    assert one(AUPRC(), make_case, [[1.0, 1.0], [0.5, 0.0]], [[1, 0], [0, 0]]) == pytest.approx(3 / 4, abs=1e-12)


def test_average_precision_of_ties_everywhere_by_hand(make_case):
    # One lesion pixel at one of four places: (1 + 1/2 + 1/3 + 1/4) / 4.
    expected = (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4
    assert one(AUPRC(), make_case, np.ones((2, 2)), [[0, 0], [1, 0]]) == pytest.approx(expected, abs=1e-12)


def test_auroc_by_hand(make_case):
    # Of nine pairs of a lesion pixel with another: the first lesion pixel wins 3, the second 2, the last 0.
    assert one(AUROC(), make_case, HEATMAP, MASK) == pytest.approx(5 / 9, abs=1e-12)


def test_auroc_of_ties_is_half_a_win(make_case):
    assert one(AUROC(), make_case, np.ones((2, 2)), [[0, 0], [1, 0]]) == 1 / 2
    # The lesion pixel ties with one and beats two: (1/2 + 2) / 3.
    assert one(AUROC(), make_case, [[1.0, 1.0], [0.5, 0.0]], [[1, 0], [0, 0]]) == pytest.approx(2.5 / 3, abs=1e-12)


def test_auroc_is_undefined_where_nothing_lies_outside(make_case):
    assert np.isnan(one(AUROC(), make_case, HEATMAP, np.ones((2, 3))))


def test_relevance_rank_by_hand(make_case):
    # Three lesion pixels; of the three highest two are lesion.
    assert one(RelevanceRank(), make_case, HEATMAP, MASK) == pytest.approx(2 / 3, abs=1e-12)


def test_relevance_rank_of_a_tie_by_hand(make_case):
    # Two lesion pixels. 1.0 is in and hits; of three tied at .5 one is drawn, which hits with chance 1/3.
    heatmap, mask = [[1.0, 0.5, 0.5], [0.5, 0.0, 0.0]], [[1, 1, 0], [0, 0, 0]]
    assert one(RelevanceRank(), make_case, heatmap, mask) == pytest.approx((1 + 1 / 3) / 2, abs=1e-12)


def test_top_k_by_hand(make_case):
    # A third of six pixels: the two highest, one of them lesion. Half: three, two of them lesion.
    assert one(TopK(share=1 / 3), make_case, HEATMAP, MASK) == 1 / 2
    assert one(TopK(share=1 / 2), make_case, HEATMAP, MASK) == pytest.approx(2 / 3, abs=1e-12)


def test_top_k_looks_at_one_pixel_at_least(make_case):
    assert one(TopK(share=0.001), make_case, HEATMAP, MASK) == 1


def test_top_k_does_not_break_ties_by_position(make_case):
    """A flat map must not find a lesion because it lies in the first row."""
    for row in (0, 5):
        mask = np.zeros((6, 10), dtype=bool)
        mask[row] = True
        assert one(TopK(share=1 / 6), make_case, np.ones((6, 10)), mask) == pytest.approx(1 / 6, abs=1e-12)


@pytest.mark.parametrize("share", [0, -0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(UsageError, match="share"):
        TopK(share=share)


@pytest.mark.parametrize("metric", [AUPRC(), AUROC(), RelevanceRank(), TopK(share=0.2)])
def test_several_lesions_count_together(make_case, metric):
    first, second = np.zeros((2, 2, 3), dtype=bool)
    first[0, 0], second[1, 2] = True, True
    apart = make_case([HEATMAP], [first | second], lesions=((first, second),))
    assert metric.score(apart) == metric.score(make_case([HEATMAP], [first | second]))


# ---------------------------------------------------------------------------------------------------- against others


def distinct(seed, count=20, size=(9, 7)):
    rng = np.random.default_rng(seed)
    maps = np.stack([rng.permutation(size[0] * size[1]).reshape(size) for _ in range(count)]) / 62
    masks = rng.random((count, *size)) < np.linspace(0.02, 0.9, count)[:, None, None]
    masks[:, 1, 1], masks[:, 2, 2] = True, False
    return maps, masks


@pytest.mark.parametrize(("metric", "reference"), [(AUPRC(), average_precision_score), (AUROC(), roc_auc_score)])
def test_scikit_learn_agrees_where_no_pixels_tie(make_case, metric, reference):
    maps, masks = distinct(1)
    expected = [reference(mask.ravel(), one.ravel()) for one, mask in zip(maps, masks, strict=True)]
    np.testing.assert_allclose(metric.score(make_case(maps, masks)), expected, rtol=0, atol=1e-12)


def test_scikit_learn_agrees_on_auroc_with_ties(random_case):
    case = random_case(3)
    rows = [row for row in range(8) if not case.masks[row].all()]
    expected = [roc_auc_score(case.masks[row].ravel(), case.maps[row].ravel()) for row in rows]
    np.testing.assert_allclose(AUROC().score(case)[rows], expected, rtol=0, atol=1e-12)


def every_order(heatmap):
    """All orders of the pixels that put higher before lower."""
    levels = [np.flatnonzero(heatmap.ravel() == level) for level in sorted(set(heatmap.ravel()), reverse=True)]
    for ways in itertools.product(*map(itertools.permutations, levels)):
        yield [place for way in ways for place in way]


def precision_along(order, lesion):
    hits, precisions = 0, []
    for place, pixel in enumerate(order, start=1):
        if lesion[pixel]:
            hits += 1
            precisions.append(Fraction(hits, place))
    return sum(precisions) / len(precisions)


def first_of(count):
    return lambda order, lesion: Fraction(sum(int(lesion[pixel]) for pixel in order[:count]), count)


@pytest.mark.parametrize("seed", range(6))
def test_ties_are_the_mean_over_every_way_of_breaking_them(make_case, seed):
    rng = np.random.default_rng(seed)
    heatmap = rng.integers(0, 3, size=(2, 4)).astype(float)
    heatmap = (heatmap - heatmap.min()) / max(np.ptp(heatmap), 1)
    mask = rng.random((2, 4)) < 0.4
    mask[0, 0] = True
    lesion, orders = mask.ravel(), list(every_order(heatmap))
    area = int(mask.sum())
    twins = [(AUPRC(), precision_along), (RelevanceRank(), first_of(area)), (TopK(share=0.375), first_of(3))]
    for metric, of_order in twins:
        mean = sum((of_order(order, lesion) for order in orders), Fraction()) / len(orders)
        assert one(metric, make_case, heatmap, mask) == pytest.approx(float(mean), abs=1e-12)


def test_average_precision_stays_exact_where_a_large_image_is_one_tie(make_case):
    mask = np.zeros((256, 256), dtype=bool)
    mask[100, 7] = True
    expected = sum(1 / place for place in range(1, 65537)) / 65536
    assert one(AUPRC(), make_case, np.ones((256, 256)), mask) == pytest.approx(expected, rel=1e-9)


def test_top_k_looks_at_the_nearest_number_of_pixels(make_case):
    # 30 % of six pixels are 1.8: two, of which one is lesion. 20 % are 1.2: one, and it is lesion.
    assert one(TopK(share=0.3), make_case, HEATMAP, MASK) == 1 / 2
    assert one(TopK(share=0.2), make_case, HEATMAP, MASK) == 1
