import math

import numpy as np
import pytest
from scikit_posthocs import posthoc_nemenyi_friedman
from scipy import stats
from statsmodels.stats.multitest import multipletests

from xaibench_leaderboard.comparisons import (
    agreement,
    agreement_of_boards,
    bars,
    critical_difference,
    critical_distance,
    holm,
    nemenyi,
    pairwise,
    pareto,
    ranked,
)

NAMES = ("a", "b", "c", "d", "e")


def scores(blocks=12, count=5, *, ties=False):
    values = np.random.default_rng(8).random((blocks, count)) + 0.15 * np.arange(count)
    return np.round(values, 1) if ties else values


def test_nemenyi_gives_the_p_values_published_for_hmc_net():
    # Table 8 of the paper on HMC-Net: four models on five folds, mean ranks 1.10, 1.90, 3.00, 4.00.
    p = nemenyi([1.10, 1.90, 3.00, 4.00], 5)
    found = {
        (1, 4): p[0, 3],
        (1, 3): p[0, 2],
        (2, 4): p[1, 3],
        (3, 4): p[2, 3],
        (1, 2): p[0, 1],
        (2, 3): p[1, 2],
    }
    published = {(1, 4): 0.0022, (1, 3): 0.0919, (2, 4): 0.0496, (3, 4): 0.6111, (1, 2): 0.7610, (2, 3): 0.5327}
    assert found == pytest.approx(published, abs=0.0002)


def test_the_critical_distance_of_four_over_five_blocks_is_the_tabulated_one():
    assert critical_distance(4, 5) == pytest.approx(2.098, abs=0.0005)  # 2.569 * sqrt(4 * 5 / (6 * 5))


@pytest.mark.parametrize("ties", [False, True])
def test_friedman_is_that_of_scipy(ties):
    found = critical_difference(NAMES, scores(ties=ties), "patients")
    expected = stats.friedmanchisquare(*scores(ties=ties).T)
    assert (found.statistic, found.p) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-9)


def test_friedman_worked_by_hand():
    # Four blocks in perfect agreement: 12 / (4 * 3 * 4) * (16 + 64 + 144) - 3 * 4 * 4 = 8.
    found = critical_difference(("x", "y", "z"), np.tile([1.0, 2.0, 3.0], (4, 1)), "boards")
    assert (found.statistic, found.mean_ranks, found.blocks) == (pytest.approx(8), (1, 2, 3), 4)


@pytest.mark.parametrize("ties", [False, True])
def test_nemenyi_is_that_of_scikit_posthocs(ties):
    found = critical_difference(NAMES, scores(ties=ties), "patients")
    expected = posthoc_nemenyi_friedman(scores(ties=ties)).to_numpy()
    order = [NAMES.index(name) for name in found.explainers]
    np.testing.assert_allclose(found.pairs, expected[np.ix_(order, order)], atol=1e-6)


def test_explainers_stand_in_the_order_of_their_mean_ranks_and_equals_by_name():
    found = critical_difference(("z", "y", "x"), np.array([[1.0, 1.0, 0.0], [2.0, 2.0, 1.0]]), "boards")
    assert found.explainers == ("x", "y", "z")
    assert found.mean_ranks == (1.0, 2.5, 2.5)


def test_bars_join_the_longest_runs_within_the_distance():
    assert bars([1.0, 1.5, 2.5, 4.0, 4.5], 1.5) == ((0, 2), (2, 3), (3, 4))
    assert bars([1.0, 3.0, 5.0], 1.0) == ()


def test_there_is_no_friedman_for_two_explainers_one_block_or_equals():
    assert critical_difference(("x", "y"), np.array([[1.0, 2.0], [1.0, 2.0]]), "boards") is None
    assert critical_difference(NAMES, scores(blocks=1), "boards") is None
    assert critical_difference(("x", "y", "z"), np.ones((5, 3)), "boards") is None


@pytest.mark.parametrize(("blocks", "method"), [(12, "exact"), (30, "exact"), (60, "asymptotic")])
def test_wilcoxon_is_that_of_scipy_adjusted_by_the_holm_of_statsmodels(blocks, method):
    values = scores(blocks)
    found = pairwise(NAMES, values, "patients")
    pairs = [(first, second) for first in range(5) for second in range(first + 1, 5)]
    raw = [stats.wilcoxon(values[:, i], values[:, j], method=method).pvalue for i, j in pairs]
    expected = multipletests(raw, method="holm")[1]
    assert [found.p[i][j] for i, j in pairs] == pytest.approx(expected.tolist())
    assert [found.p[j][i] for i, j in pairs] == pytest.approx(expected.tolist())


def test_wilcoxon_worked_by_hand():
    # x beats y in all six blocks by six different amounts: of the 2^6 signs two are as extreme.
    values = np.array([[0.0, amount] for amount in range(1, 7)])
    found = pairwise(("x", "y"), values, "patients")
    assert found.p[0][1] == pytest.approx(2 / 64)
    assert (found.better[0][1], found.better[1][0], found.better[0][0]) == (1.0, 0.0, 0.0)


def test_wilcoxon_of_a_few_tied_blocks_is_exact():
    # Five boards, each by one place: 2 of the 2^5 signs are as extreme. The normal curve would say 0.025.
    values = np.tile([1.0, 2.0], (5, 1))
    assert pairwise(("x", "y"), values, "boards").p[0][1] == pytest.approx(2 / 32)
    # A sixth board without a difference says nothing.
    assert pairwise(("x", "y"), np.vstack([values, [1.0, 1.0]]), "boards").p[0][1] == pytest.approx(2 / 32)


def test_wilcoxon_with_ties_is_that_of_scipy_by_permutation():
    values = np.round(np.random.default_rng(9).random((9, 2)), 1) + np.array([0.0, 0.25])
    gaps = np.round(values[:, 0] - values[:, 1], 9)
    expected = stats.wilcoxon(gaps, method=stats.PermutationMethod(n_resamples=10_000)).pvalue
    assert pairwise(("x", "y"), values, "boards").p[0][1] == pytest.approx(expected)


def test_equals_differ_in_nothing():
    assert pairwise(("x", "y"), np.ones((6, 2)), "patients").p == ((1.0, 1.0), (1.0, 1.0))


def test_holm_worked_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.4 times 4, 3, 2, 1: 0.04, 0.06, 0.06, 0.4.
    assert holm(np.array([0.03, 0.4, 0.01, 0.02])) == pytest.approx([0.06, 0.4, 0.04, 0.06])


def test_kendall_is_that_of_scipy():
    means = np.round(np.random.default_rng(2).random((4, 9)), 1)
    found = agreement(("p", "q", "r", "s"), means)
    for row in range(4):
        for column in range(4):
            assert found.tau[row][column] == pytest.approx(stats.kendalltau(means[row], means[column]).statistic)


def test_a_metric_that_tells_none_apart_agrees_with_nothing():
    found = agreement(("p", "flat"), np.array([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]]))
    assert found.tau == ((1.0, None), (None, None))


def test_agreement_over_boards_is_the_mean_over_those_that_have_both_metrics():
    one = agreement(("p", "q"), np.array([[1.0, 2.0], [1.0, 2.0]]))
    other = agreement(("q", "p"), np.array([[1.0, 2.0], [2.0, 1.0]]))
    third = agreement(("p", "r"), np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]))
    found = agreement_of_boards([one, other, third])
    table = dict(zip(found.metrics, found.tau, strict=True))
    assert table["p"] == (1.0, 0.0, -1.0)
    assert table["q"][found.metrics.index("r")] is None
    assert found.explainers == 2


def test_the_front_holds_whom_nobody_beats_in_both():
    found = pareto("seconds", "s", "abcde", [1.0, 2.0, 2.0, 3.0, 1.0], [9.0, 2.0, 3.0, 1.0, 9.0])
    assert {point.explainer for point in found.points if point.front} == {"a", "b", "d", "e"}


@pytest.mark.parametrize("ties", [False, True])
def test_ranks_are_those_of_scipy(ties):
    values = scores(20, 7, ties=ties)
    np.testing.assert_array_equal(ranked(values), stats.rankdata(values, axis=1))
    assert ranked(np.array([math.pi])).tolist() == [1.0]
