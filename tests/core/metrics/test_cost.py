import numpy as np
import pytest

from xaibench.metrics.cost import BackwardSamples, ForwardSamples, Seconds

COSTS = [Seconds, ForwardSamples, BackwardSamples]


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
    broken = make_case(np.full((2, 2, 2), np.nan), np.zeros((2, 2, 2)))
    assert np.isfinite(metric().score(broken)).all()
