import numpy as np
import pytest
from scipy.stats import spearmanr
from skimage.metrics import structural_similarity

from xaibench.metrics.likeness import iou, length, mean_over_pairs, mean_rank_correlation, spearman, ssim


def batch(*maps):
    return np.array(maps, dtype=np.float32)


def noise(seed, count=6, size=(12, 10), levels=None):
    maps = np.random.default_rng(seed).random((count, *size)).astype(np.float32)
    return maps if levels is None else np.round(maps * (levels - 1)).astype(np.float32) / (levels - 1)


def test_rank_correlation_by_hand():
    # Ranks 1 2 3 4 and 2 1 4 3: four differences of 1, so 1 - 6 * 4 / (4 * (16 - 1)).
    found = spearman(batch([[0.1, 0.2], [0.3, 0.9]]), batch([[0.5, 0.1], [1.0, 0.7]]))
    assert found == pytest.approx([1 - 24 / 60], abs=1e-12)


def test_rank_correlation_with_ties_by_hand():
    # Mean ranks 1.5 1.5 3.5 3.5 and 1 3 3 3; centred -1 -1 1 1 and -1.5 .5 .5 .5: product 2, lengths 2 and root 3.
    found = spearman(batch([[0, 0], [1, 1]]), batch([[0, 1], [1, 1]]))
    assert found == pytest.approx([2 / (2 * np.sqrt(3))], abs=1e-12)


def test_rank_correlation_of_the_same_is_1_of_the_opposite_minus_1_and_with_a_flat_map_0():
    maps = noise(0)
    assert spearman(maps, maps**3) == pytest.approx(1, abs=1e-12)
    assert spearman(maps, 1 - maps) == pytest.approx(-1, abs=1e-12)
    assert not spearman(maps, np.zeros_like(maps)).any()


@pytest.mark.parametrize("levels", [None, 2, 5])
def test_rank_correlation_agrees_with_scipy(levels):
    one, other = noise(1, levels=levels), noise(2, levels=levels)
    twin = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(one, other, strict=True)]
    np.testing.assert_allclose(spearman(one, other), twin, rtol=0, atol=1e-12)


def test_structural_similarity_by_hand():
    """A dot and its negative, in one window of nine pixels."""
    dot = np.zeros((3, 3))
    dot[1, 1] = 1
    # Means 1/9 and 8/9; variances (of samples, so over 8) 1/9 each; covariance -1/9; constants .01 and .03 squared.
    c1, c2 = 0.01**2, 0.03**2
    expected = (2 * 8 / 81 + c1) * (-2 / 9 + c2) / ((1 / 81 + 64 / 81 + c1) * (2 / 9 + c2))
    assert ssim(batch(dot), batch(1 - dot)) == pytest.approx([expected], abs=1e-6)


def test_structural_similarity_is_that_of_scikit_image_in_windows_of_seven():
    one, other = noise(3), noise(4)
    twin = [structural_similarity(a, b, win_size=7, data_range=1) for a, b in zip(one, other, strict=True)]
    np.testing.assert_allclose(ssim(one, other), twin, rtol=0, atol=1e-12)
    assert ssim(one, one) == pytest.approx(1, abs=1e-7)


@pytest.mark.parametrize("side", [3, 4, 6])
def test_structural_similarity_of_small_maps_takes_the_largest_window_that_fits(side):
    maps = noise(5, size=(side, 9))
    assert ssim(maps, maps) == pytest.approx(1, abs=1e-7)


def test_overlap_by_hand():
    # At least .5: two pixels and three pixels, two of them shared.
    one, other = batch([[1, 0.5], [0.4, 0]]), batch([[0.5, 1], [0.6, 0.1]])
    assert iou(one, other) == pytest.approx([2 / 3])
    assert iou(one, other, threshold=0.9) == pytest.approx([0.0])
    assert iou(one * 0, other * 0) == pytest.approx([1.0])


def test_length_by_hand():
    assert length(batch([[0.3, 0.4], [0, 0]])) == pytest.approx([0.5])


def test_a_mean_over_pairs_by_hand():
    maps = [batch([[0.0]]), batch([[1.0]]), batch([[4.0]])]
    assert mean_over_pairs(maps, lambda a, b: np.abs(a - b)[:, 0, 0]) == pytest.approx([(1 + 4 + 3) / 3])


@pytest.mark.parametrize("count", [2, 3, 5])
def test_ranking_each_map_once_gives_what_all_pairs_give(count):
    maps = [noise(seed, levels=4) for seed in range(count)]
    maps[1][2] = 0  # a flat map correlates with nothing, not even with itself
    np.testing.assert_allclose(mean_rank_correlation(maps), mean_over_pairs(maps, spearman), rtol=0, atol=1e-12)
