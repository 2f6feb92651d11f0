import dataclasses
import math

import numpy as np
import pytest

from xaibench.errors import UsageError
from xaibench.metrics.likeness import ssim
from xaibench.metrics.sanity import (
    MPRT,
    MPRTSSIM,
    ClassSensitivity,
    DataRandomisation,
    EfficientMPRT,
    InputInvariance,
    MPRTIndependent,
    RandomLogit,
    entropy,
)

FIRST, SWAPPED = [[0.0, 0.2], [0.4, 1.0]], [[0.2, 0.0], [1.0, 0.4]]  # rank correlation .6, worked in test_likeness


def case_of(make_case, plain, **variants):
    named = {name.replace("_", ":"): np.float32([one]) for name, one in variants.items()}
    return dataclasses.replace(make_case([plain], [np.ones_like(plain)]), variants=named)


def test_mprt_is_the_likeness_at_the_end_and_the_curve_shows_the_way(make_case):
    case = case_of(make_case, FIRST, cascade_50=FIRST, cascade_100=SWAPPED)
    answer = MPRT(steps=2).score(case)
    assert answer.values == pytest.approx([0.6], abs=1e-6)
    np.testing.assert_allclose(answer.curves, [[1.0, 0.6]], atol=1e-6)


def test_mprt_of_a_network_whose_ruin_leaves_no_contrast_is_0(make_case):
    assert MPRT().score(case_of(make_case, FIRST, cascade_100=np.zeros((2, 2)))).values == pytest.approx([0.0])


def test_mprt_of_a_map_that_ignores_the_network_is_1_which_is_worse_than_its_gate(make_case):
    (value,) = MPRT().score(case_of(make_case, FIRST, cascade_100=FIRST)).values
    assert value == pytest.approx(1)
    assert value > MPRT.card.gate


def test_mprt_of_noise_is_about_0(make_case):
    one, other = np.random.default_rng(0).random((2, 64, 64))
    assert np.abs(MPRT().score(case_of(make_case, one, cascade_100=other)).values).max() < 0.05


def test_independent_mprt_is_the_mean_over_layers(make_case):
    answer = MPRTIndependent(steps=2).score(case_of(make_case, FIRST, independent_50=FIRST, independent_100=SWAPPED))
    assert answer.values == pytest.approx([(1 + 0.6) / 2], abs=1e-6)
    np.testing.assert_allclose(answer.curves, [[1.0, 0.6]], atol=1e-6)


def test_mprt_by_structural_similarity(random_case):
    one, other = random_case(1), random_case(2)
    answer = MPRTSSIM().score(dataclasses.replace(one, variants={"cascade:100": other.maps}))
    np.testing.assert_allclose(answer.values, ssim(one.maps, other.maps), atol=1e-12)
    assert answer.curves.shape == (8, 1)


def test_the_depths_are_on_the_card_and_in_the_variants():
    card = MPRT(steps=3).card
    assert card.variants == ("cascade:33", "cascade:67", "cascade:100")
    assert card.curve == (0.33, 0.67, 1.0)
    assert MPRT().card.variants == ("cascade:100",)
    assert MPRTIndependent(steps=1).card.variants == ("independent:100",)
    assert len(set(MPRT(steps=100).card.variants)) == 100


@pytest.mark.parametrize("steps", [0, 101])
@pytest.mark.parametrize("metric", [MPRT, MPRTSSIM, MPRTIndependent])
def test_steps_that_cannot_be_are_refused(metric, steps):
    with pytest.raises(UsageError, match="steps"):
        metric(steps=steps)


def test_the_rise_of_entropy_by_hand(make_case):
    # Half 0 and half 1: one bit. Four values in four of the bins: two bits. The rise is as large as what was.
    case = case_of(make_case, [[0, 0], [1, 1]], cascade_100=[[0, 0.3], [0.6, 1]])
    assert EfficientMPRT().score(case) == pytest.approx([(2 - 1) / 1])
    # All four in one bin: nothing is left.
    assert EfficientMPRT().score(case_of(make_case, [[0, 0], [1, 1]], cascade_100=np.zeros((2, 2)))) == -1


def test_entropy_by_hand():
    assert entropy(np.float32([0, 0, 0, 1]), bins=2) == pytest.approx(0.75 * math.log2(4 / 3) + 0.25 * 2)
    assert entropy(np.float32([0.5, 0.5]), bins=10) == 0
    assert entropy(np.float32([0, 0.3, 0.6, 1]), bins=2) == pytest.approx(1), "the bins share 0 to 1 between them"


def test_entropy_needs_two_bins():
    with pytest.raises(UsageError, match="bins"):
        EfficientMPRT(bins=1)


@pytest.mark.parametrize(
    ("metric", "variant"), [(ClassSensitivity, "target:least"), (DataRandomisation, "shuffled-labels")]
)
def test_the_rank_correlation_with_the_other_map_by_hand(metric, variant, make_case):
    case = dataclasses.replace(case_of(make_case, FIRST), variants={variant: np.float32([SWAPPED])})
    assert metric().score(case) == pytest.approx([0.6], abs=1e-6)
    assert metric().score(dataclasses.replace(case, variants={variant: case.maps})) == pytest.approx([1.0])


def test_random_logit_by_hand(make_case):
    dot = np.zeros((3, 3))
    dot[1, 1] = 1
    case = case_of(make_case, dot, target_random=1 - dot)
    c1, c2 = 0.01**2, 0.03**2  # worked in test_likeness
    expected = (2 * 8 / 81 + c1) * (-2 / 9 + c2) / ((1 / 81 + 64 / 81 + c1) * (2 / 9 + c2))
    assert RandomLogit().score(case) == pytest.approx([expected], abs=1e-6)


def test_input_invariance_by_hand(make_case):
    case = case_of(make_case, FIRST, shifted=[[0.0, 0.2], [0.5, 0.7]])
    assert InputInvariance().score(case) == pytest.approx([(0.1 + 0.3) / 4])
    assert InputInvariance().score(case_of(make_case, FIRST, shifted=FIRST)) == 0


def test_only_the_cheap_ones_are_in_the_default_run():
    every = (MPRT, MPRTSSIM, MPRTIndependent, EfficientMPRT, DataRandomisation, ClassSensitivity, RandomLogit)
    assert [metric.card.name for metric in (*every, InputInvariance) if metric.card.default] == [
        "mprt",
        "class-sensitivity",
    ]


def test_the_gates_are_where_half_of_the_variance_of_the_ranks_has_outlived_the_network():
    gates = {one.card.name: one.card.gate for one in (MPRT, MPRTSSIM, DataRandomisation, ClassSensitivity)}
    assert gates == {
        "mprt": pytest.approx(math.sqrt(1 / 2)),
        "data-randomisation": pytest.approx(math.sqrt(1 / 2)),
        "mprt-ssim": None,
        "class-sensitivity": None,
    }
