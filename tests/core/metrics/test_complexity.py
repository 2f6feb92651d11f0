import bz2
import math

import numpy as np
import pytest

from xaibench.errors import UsageError
from xaibench.metrics.complexity import EffectiveComplexity, Entropy, FileSize, Sparseness, TotalVariation


def one(metric, make_case, heatmap):
    return metric.score(make_case([heatmap], [np.ones_like(heatmap)]))[0]


def test_sparseness_by_hand(make_case):
    # Sorted 0, 0, .5, 1 with weights -3, -1, 1, 3: 3.5, over 4 pixels times their sum 1.5.
    assert one(Sparseness(), make_case, [[1.0, 0.0], [0.5, 0.0]]) == pytest.approx(3.5 / 6, abs=1e-12)


def test_sparseness_of_one_pixel_and_of_none_apart(make_case):
    peak = np.zeros((4, 4))
    peak[1, 2] = 1
    assert one(Sparseness(), make_case, peak) == pytest.approx(1 - 1 / 16, abs=1e-12)
    assert one(Sparseness(), make_case, np.ones((4, 4))) == pytest.approx(0, abs=1e-12)


def test_entropy_by_hand(make_case):
    # Shares 1/2, 1/4, 1/4: 1.5 bits.
    heatmap = [[1.0, 0.5], [0.5, 0.0]]
    assert one(Entropy(unit="nats"), make_case, heatmap) == pytest.approx(1.5 * math.log(2), abs=1e-12)
    assert one(Entropy(), make_case, heatmap) == pytest.approx(2**1.5 / 4, abs=1e-12)


def test_entropy_in_shares_is_the_share_that_an_even_map_covers(make_case):
    half = np.zeros((4, 6))
    half[:, :3] = 1
    assert one(Entropy(), make_case, half) == pytest.approx(1 / 2, abs=1e-12)
    assert one(Entropy(), make_case, np.ones((4, 6))) == pytest.approx(1, abs=1e-12)


def test_entropy_in_nats_has_no_highest_value():
    assert Entropy(unit="nats").card.highest is None
    assert Entropy(unit="nats").card.worst is None
    assert Entropy().card.highest == Entropy().card.worst == 1


def test_effective_complexity_by_hand(make_case):
    heatmap = [[1.0, 0.5], [0.01, 0.0]]
    assert one(EffectiveComplexity(), make_case, heatmap) == 2 / 4  # a hundredth is not more than a hundredth
    assert one(EffectiveComplexity(epsilon=0), make_case, heatmap) == 3 / 4


def test_total_variation_by_hand(make_case):
    # Down the columns .5, .25, .25; along the rows .5, .25, .25, .5; the side is the root of 6.
    heatmap = [[1.0, 0.5, 0.25], [0.5, 0.75, 0.0]]
    down, along = 0.5 + 0.25 + 0.25, (0.5 + 0.25) + (0.25 + 0.75)
    assert one(TotalVariation(), make_case, heatmap) == pytest.approx((down + along) / math.sqrt(6), abs=1e-6)


def test_total_variation_of_a_shape_is_its_outline_at_any_resolution(make_case):
    for size in (8, 64):
        square = np.zeros((size, size))
        square[size // 4 : 3 * size // 4, size // 4 : 3 * size // 4] = 1
        assert one(TotalVariation(), make_case, square) == pytest.approx(2, abs=1e-12)


def test_file_size_is_that_of_the_smallest_way_to_lay_the_picture(make_case):
    rng = np.random.default_rng(0)
    heatmap = np.floor(rng.random((16, 12)) * 256) / 255 * 255 / 256
    heatmap = (heatmap - heatmap.min()) / np.ptp(heatmap)
    picture = np.round(heatmap.astype(np.float32) * 255).astype(np.uint8)
    views = [turn for side in (picture, picture[::-1]) for turn in (side, side[:, ::-1], side.T, side[:, ::-1].T)]
    smallest = min(len(bz2.compress(np.ascontiguousarray(view).tobytes())) for view in views)
    assert one(FileSize(), make_case, heatmap) == 8 * smallest / 192


def test_noise_has_the_larger_file(make_case):
    rng = np.random.default_rng(0)
    noise = rng.random((64, 64))
    plain = np.zeros((64, 64))
    plain[10:30, 10:30] = 1
    assert one(FileSize(), make_case, noise) > 5 > 1 > one(FileSize(), make_case, plain)


@pytest.mark.parametrize("metric", [Sparseness(), Entropy()])
def test_of_a_map_without_anything_no_distribution_can_be_made(make_case, metric):
    assert np.isnan(one(metric, make_case, np.zeros((3, 3))))


@pytest.mark.parametrize("metric", [Sparseness, Entropy, EffectiveComplexity, TotalVariation, FileSize])
def test_simple_is_not_the_same_as_right(metric):
    assert metric().card.family == "complexity"
    assert not metric().card.claims_quality


def test_parameters_that_cannot_be_are_refused():
    with pytest.raises(UsageError, match="bits"):
        Entropy(unit="bits")
    for epsilon in (-0.1, 1):
        with pytest.raises(UsageError, match="epsilon"):
            EffectiveComplexity(epsilon=epsilon)


# ---------------------------------------------------------------------------------------------------- slow twins


def mean_difference_gini(values):
    """Half the mean absolute difference of all pairs, over the mean."""
    pairs = [abs(a - b) for a in values for b in values]
    return sum(pairs) / len(pairs) / 2 / (sum(values) / len(values))


def slow_entropy(values):
    total = math.fsum(values)
    return -math.fsum(value / total * math.log(value / total) for value in values if value > 0)


def slow_variation(heatmap):
    rows, columns = heatmap.shape
    pairs = [((r, c), (r + 1, c)) for r in range(rows - 1) for c in range(columns)]
    pairs += [((r, c), (r, c + 1)) for r in range(rows) for c in range(columns - 1)]
    return math.fsum(abs(float(heatmap[a]) - float(heatmap[b])) for a, b in pairs) / math.sqrt(rows * columns)


def test_they_agree_with_their_slow_twins(random_case):
    case = random_case(6)
    flat = [[float(value) for value in heatmap.flat] for heatmap in case.maps]
    twins = [
        (Sparseness(), [mean_difference_gini(values) for values in flat]),
        (Entropy(unit="nats"), [slow_entropy(values) for values in flat]),
        (EffectiveComplexity(), [sum(value > 0.01 for value in values) / len(values) for values in flat]),
        (TotalVariation(), [slow_variation(heatmap) for heatmap in case.maps]),
    ]
    for metric, twin in twins:
        np.testing.assert_allclose(metric.score(case), twin, rtol=1e-9)


def test_a_picture_and_its_mirror_image_have_files_of_one_size(make_case):
    heatmaps = np.random.default_rng(1).random((6, 16, 12)) ** 3
    sizes = [[one(FileSize(), make_case, side) for side in (heatmap, heatmap[:, ::-1])] for heatmap in heatmaps]
    assert all(first == second for first, second in sizes)
