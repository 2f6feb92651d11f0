import dataclasses

import numpy as np
import pytest

from xaibench.cases import taken
from xaibench.metrics.cost import BackwardSamples, ForwardSamples, Overhead, PeakBytes, Seconds

COSTS = [Seconds, ForwardSamples, BackwardSamples, PeakBytes, Overhead]


def measured(case, **more):
    values = {"peak_bytes": np.array([4096.0, 8192.0]), "bare_seconds": np.array([0.01, 0.01])}
    return dataclasses.replace(case, **(values | more))


@pytest.mark.parametrize(
    ("metric", "expected"), [(Seconds, [0.5, 1.5]), (ForwardSamples, [10, 11]), (BackwardSamples, [20, 21])]
)
def test_each_tells_its_own_cost_per_image(make_case, metric, expected):
    assert metric().score(make_case(np.ones((2, 2, 2)), np.ones((2, 2, 2)))).tolist() == expected


@pytest.mark.parametrize("metric", COSTS)
def test_a_cost_is_no_claim_of_quality_and_has_no_worst_value(metric):
    card = metric.card
    assert (card.family, card.higher_is_better, card.highest, card.worst) == ("cost", False, None, None)
    assert not card.claims_quality


@pytest.mark.parametrize("metric", COSTS)
def test_a_map_that_failed_has_its_cost_too(make_case, metric):
    assert not metric.card.uses_map
    broken = measured(make_case(np.full((2, 2, 2), np.nan), np.zeros((2, 2, 2))))
    assert np.isfinite(metric().score(broken)).all()


def test_peak_memory_is_that_of_the_call_and_undefined_where_none_was_measured(make_case):
    case = make_case(np.ones((2, 2, 2)), np.ones((2, 2, 2)))
    assert PeakBytes().score(measured(case)).tolist() == [4096, 8192]
    assert np.isnan(PeakBytes().score(case)).all()


def test_overhead_by_hand(make_case):
    case = make_case(np.ones((2, 2, 2)), np.ones((2, 2, 2)))
    # .5 s for 10 + 20 passes of .01 s each, and 1.5 s for 11 + 21 of them.
    np.testing.assert_allclose(Overhead().score(measured(case)), [0.5 / 0.3, 1.5 / 0.32], rtol=1e-12)


def test_overhead_is_undefined_without_passes_or_without_a_measured_pass(make_case):
    case = make_case(np.ones((2, 2, 2)), np.ones((2, 2, 2)))
    idle = measured(case, forward=np.zeros(2), backward=np.array([0.0, 5]))
    assert np.isnan(Overhead().score(idle)).tolist() == [True, False]
    assert np.isnan(Overhead().score(case)).all()


def test_a_part_of_a_case_has_its_own_measurements(make_case):
    case = measured(make_case(np.ones((2, 2, 2)), np.ones((2, 2, 2))))
    assert PeakBytes().score(taken(case, [1])).tolist() == [8192]
    assert taken(make_case(np.ones((2, 2, 2)), np.ones((2, 2, 2))), [1]).peak_bytes is None
