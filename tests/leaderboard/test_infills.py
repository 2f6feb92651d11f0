"""Kendall's tau between infills: by hand, against scipy, and where it has nothing to say."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kendalltau

from xaibench.contracts import Results
from xaibench_leaderboard import wording
from xaibench_leaderboard.claims import claims_of
from xaibench_leaderboard.html import page_of
from xaibench_leaderboard.infills import agreements_of, tau_b

BLACK, BLUR = "deletion(infill=black)", "deletion(infill=blur)"


def results_of(scores):
    return Results(None, (), tuple(scores), {}, {})


def table(result, black, blur):
    return results_of(
        [result(name, BLACK, value) for name, value in black.items()]
        + [result(name, BLUR, value) for name, value in blur.items()]
    )


def test_one_swapped_pair_of_six_is_two_thirds(result):
    """Four explainers have six pairs; b and c change places: (5 - 1) / 6."""
    black, blur = {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4}, {"a": 0.5, "b": 0.7, "c": 0.6, "d": 0.9}
    (found,) = agreements_of(table(result, black, blur))
    assert (found.one, found.other, found.explainers) == (BLACK, BLUR, ("a", "b", "c", "d"))
    assert found.tau == pytest.approx(2 / 3)
    # The same value for every patient: no draw changes an order.
    assert (found.low, found.high, found.patients) == (pytest.approx(2 / 3), pytest.approx(2 / 3), 4)


def test_the_interval_is_what_draws_of_patients_give(result):
    """b is before a under black for patients 1 and 2 alone: their draws decide, and the interval spans both orders."""
    split = (0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0)
    scores = [result("a", BLACK, 0.45), result("b", BLACK, split), result("c", BLACK, 2.0)]
    scores += [result(name, BLUR, value) for name, value in (("a", 0.1), ("b", 0.2), ("c", 0.3))]
    (found,) = agreements_of(results_of(scores))
    assert (found.tau, found.low, found.high) == (1.0, pytest.approx(1 / 3), 1.0)


@pytest.mark.parametrize("seed", range(5))
def test_tau_is_scipys_with_ties(seed):
    one, other = np.random.default_rng(seed).integers(0, 5, size=(2, 3, 9)).astype(float)
    expected = [kendalltau(*rows).statistic for rows in zip(one, other, strict=True)]
    np.testing.assert_allclose(tau_b(one, other), expected)


def test_references_are_left_out_and_other_parameters_keep_metrics_apart(result):
    black, blur = {"a": 0.1, "b": 0.2, "c": 0.3, "random": 9.0}, {"a": 0.1, "b": 0.2, "c": 0.3, "random": 0.0}
    scores = [*table(result, black, blur).scores, result("a", "deletion(infill=mean, steps=9)", 0.1)]
    (found,) = agreements_of(results_of(scores))
    assert (found.tau, found.explainers) == (1.0, ("a", "b", "c"))


@pytest.mark.parametrize(
    ("black", "blur"),
    [
        ({"a": 0.1, "b": 0.2}, {"a": 0.1, "b": 0.2}),  # one pair
        ({"a": 0.1, "b": 0.1, "c": 0.1}, {"a": 0.1, "b": 0.2, "c": 0.3}),  # all tie
    ],
)
def test_where_there_is_no_order_there_is_no_tau(result, black, blur):
    (found,) = agreements_of(table(result, black, blur))
    assert found.tau is None
    assert "no Kendall's tau from" in wording.infills(found)


def test_a_metric_under_one_infill_has_nothing_to_agree_with(result):
    assert agreements_of(results_of([result(name, BLACK, 0.1) for name in "abc"])) == ()


def test_it_is_told_on_the_page_and_to_machines(result, tmp_path):
    values = {"a": 0.1, "b": 0.2, "c": 0.3}
    results = replace(table(result, values, values), folder=tmp_path)
    line = f"resnet18 on phantom: {BLACK} and {BLUR} order 3 explainers with Kendall's tau 1.000"
    assert wording.infills(agreements_of(results)[0]).startswith(line)
    assert "Does the infill decide?" in page_of(results)
    (claim,) = json.loads(json.dumps(claims_of(results), allow_nan=False))["infills"]
    assert (claim["tau"], claim["one"], claim["labels"]["task"]) == (1.0, BLACK, "phantom")
