import re
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.leaderboard.ranking.conftest import Campaign
from xaibench_leaderboard.standings import rankings_of
from xaibench_leaderboard.weights import DEFAULT


def only(made, **weights):
    (ranking,) = rankings_of(made.results(), {**DEFAULT, **weights}).each
    return ranking


def order_of(ranking):
    return [standing.explainer for standing in ranking.standings]


def standing_of(ranking, name):
    return next(standing for standing in ranking.standings if standing.explainer == name)


def reason_of(ranking, name):
    return next(one.reason for one in ranking.unranked if one.explainer == name)


@pytest.fixture
def two_families(campaign):
    """Ranks by hand. iou: a 1, b 2, c 3; energy: a 1, c 2, b 3; deletion, lower is better: c 1, b 2, a 3."""
    made = campaign().metric("deletion", "faithfulness", higher_is_better=False)
    table = {"a": (0.9, 0.9, 0.8), "b": (0.5, 0.1, 0.5), "c": (0.1, 0.5, 0.2)}
    for name, (iou, energy, deletion) in table.items():
        made.add(name, "iou", iou).add(name, "energy", energy).add(name, "deletion", deletion)
    return made


def test_mean_ranks_worked_by_hand(two_families):
    # Localisation: a 1, b 2.5, c 2.5; faithfulness: a 3, b 2, c 1. Means 2, 2.25, 1.75.
    ranking = only(two_families)
    assert [(one.explainer, one.mean_rank) for one in ranking.standings] == [("c", 1.75), ("a", 2.0), ("b", 2.25)]
    assert [one.place for one in ranking.standings] == [1, 2, 3]
    assert standing_of(ranking, "b").families == {"localisation": 2.5, "faithfulness": 2.0}
    assert ranking.metrics == {"localisation": ("iou", "energy"), "faithfulness": ("deletion",)}


def test_weights_decide_which_family_counts(two_families):
    # Twice localisation: a 5/3, b 7/3, c 2.
    ranking = only(two_families, localisation=2)
    assert order_of(ranking) == ["a", "c", "b"]
    assert ranking.standings[0].mean_rank == pytest.approx(5 / 3)
    assert order_of(only(two_families, localisation=0)) == ["c", "b", "a"]


def test_equals_share_places_and_stand_by_name(campaign):
    ranking = only(campaign().add("b", "iou", 0.5).add("a", "iou", 0.5).add("c", "iou", 0.1))
    assert [(one.explainer, one.place, one.tied) for one in ranking.standings] == [
        ("a", 1.5, 1),
        ("b", 1.5, 1),
        ("c", 3, 2),
    ]


def test_cost_is_ranked_but_counts_only_if_asked_for(campaign):
    made = campaign().metric("seconds", "cost", higher_is_better=False, claims_quality=False)
    made.add("good", "iou", 0.9).add("good", "seconds", 9.0).add("cheap", "iou", 0.1).add("cheap", "seconds", 0.1)
    assert order_of(only(made)) == ["good", "cheap"]
    assert standing_of(only(made), "cheap").families["cost"] == 1
    assert order_of(only(made, cost=3)) == ["cheap", "good"]
    (front,) = only(made).pareto
    assert (front.metric, {point.explainer: point.front for point in front.points}) == (
        "seconds",
        {"good": True, "cheap": True},
    )


def test_references_are_never_ranked_and_give_the_scale_of_quality(campaign):
    made = campaign().reference("random", "floor").reference("edges", "floor").reference("roi", "ceiling")
    for name, value in {"random": 0.1, "edges": 0.5, "roi": 0.9, "a": 0.7, "b": 0.0}.items():
        made.add(name, "iou", value)
    ranking = only(made)
    assert order_of(ranking) == ["a", "b"]
    assert standing_of(ranking, "a").quality == pytest.approx(0.75)  # (0.7 - 0.1) / (0.9 - 0.1)
    assert standing_of(ranking, "b").quality == pytest.approx(-0.125)


def test_a_metric_on_which_the_ceiling_is_no_better_than_noise_gives_no_quality(campaign):
    made = campaign().reference("random", "floor").reference("roi", "ceiling")
    for name, value in {"random": 0.5, "roi": 0.5, "a": 0.7}.items():
        made.add(name, "iou", value)
    assert standing_of(only(made), "a").quality is None


def full(campaign, **more):
    made = campaign(**more)
    for name, value in {"a": 0.9, "b": 0.5, "c": 0.1}.items():
        made.add(name, "iou", value).add(name, "energy", value)
    return made


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"status": "failed", "reason": "ValueError: no"}, "energy: failed (ValueError: no)"),
        ({"status": "unsupported", "reason": "no attention"}, "energy: unsupported (no attention)"),
        ({"count": 10}, "energy has seen 10 of 40 images only"),
        ({"metric_version": 0}, "energy version 0; the newest is 1"),
        ({"task_version": 0}, "task version 0; the newest is 1"),
        ({"explainer_version": 2}, "its cells come from versions 1 and 2"),
    ],
)
def test_a_row_that_is_not_full_is_not_ranked_and_says_why(campaign, more, reason):
    ranking = only(full(campaign).add("odd", "iou", 1.0).add("odd", "energy", 1.0, **more))
    assert order_of(ranking) == ["a", "b", "c"]
    assert reason_of(ranking, "odd") == reason


def test_a_metric_that_was_not_run_for_a_row_leaves_the_row_out(campaign):
    ranking = only(full(campaign).add("odd", "iou", 1.0))
    assert reason_of(ranking, "odd") == "energy was not run"


def test_a_metric_that_few_rows_have_leaves_the_metric_out(campaign):
    ranking = only(full(campaign).add("a", "new", 0.2))
    assert order_of(ranking) == ["a", "b", "c"]
    assert "new is left out: only 1 of 3 explainers have it" in ranking.notes


def test_a_row_without_values_for_most_images_is_not_ranked(campaign):
    ranking = only(full(campaign).add("odd", "iou", 1.0).add("odd", "energy", [None] * 30 + [1.0] * 10))
    assert reason_of(ranking, "odd") == "energy has a value for 10 of 40 images only"


def test_explainers_are_compared_on_images_for_which_all_have_a_value(campaign):
    # On the films that both have, b is better; a's mean over all of its own would be higher.
    made = campaign().add("a", "iou", [1.0] * 10 + [0.2] * 30).add("b", "iou", [None] * 10 + [0.3] * 30)
    assert order_of(only(made)) == ["b", "a"]


def test_a_metric_without_a_common_image_is_left_out(campaign):
    half, other = [None] * 20 + [0.5] * 20, [0.5] * 20 + [None] * 20
    made = campaign().add("a", "iou", 0.9).add("b", "iou", 0.1).add("a", "energy", half).add("b", "energy", other)
    ranking = only(made)
    assert "energy is left out: no image has a value from every explainer" in ranking.notes
    assert ranking.metrics == {"localisation": ("iou",)}


def test_metrics_that_fail_their_audit_or_claim_nothing_take_no_part(campaign):
    made = full(campaign).metric("marker", claims_quality=False)
    for name in "abc":
        made.add(name, "marker", 0.5)
    made.audit = {"phantom": {"energy": {"verdict": "fail", "reason": "blind"}}}
    ranking = only(made)
    assert ranking.metrics == {"localisation": ("iou",)}
    assert "energy is left out: it failed the audit (blind)" in ranking.notes


@pytest.mark.parametrize(("higher", "value", "passes"), [(True, 0.4, False), (True, 0.5, True), (False, 0.6, False)])
def test_who_fails_a_sanity_gate_is_not_ranked_however_good_elsewhere(campaign, higher, value, passes):
    made = full(campaign).metric("randomisation", "sanity", gate=0.5, higher_is_better=higher)
    made.add("a", "randomisation", value)
    ranking = only(made)
    assert ("a" in order_of(ranking)) is passes
    if not passes:
        (gated,) = [one for one in ranking.unranked if one.gated]
        assert gated.reason == f"fails the sanity check randomisation: {value:.3f} is worse than 0.500"


def test_a_gate_that_fails_its_audit_shuts_nobody_out(campaign):
    made = full(campaign).metric("randomisation", "sanity", gate=0.5).add("a", "randomisation", 0.1)
    made.audit = {"phantom": {"randomisation": {"verdict": "fail", "reason": "blind"}}}
    assert "a" in order_of(only(made))


def noisy(campaign, gaps, seed=0, **more):
    made, rng = campaign(**more), np.random.default_rng(seed)
    shared = rng.random(len(made.ids))
    for name, gap in gaps.items():
        made.add(name, "iou", shared + gap + 0.3 * rng.normal(size=len(made.ids)))
    return made


def test_what_differs_much_is_told_apart_and_what_differs_little_is_tied(campaign):
    ranking = only(noisy(campaign, {"best": 2.0, "good": 1.0, "same": 1.0, "bad": 0.0}, patients=40))
    groups = {one.explainer: one.tied for one in ranking.standings}
    assert groups["best"] == 1
    assert groups["good"] == groups["same"] == 2
    assert groups["bad"] == 3
    intervals = {one.explainer: (one.low, one.high) for one in ranking.standings}
    assert intervals == {"best": (1, 1), "good": (2, 3), "same": (2, 3), "bad": (4, 4)}


def test_one_patient_tells_nobody_apart(campaign):
    ranking = only(full(campaign, patients=1))
    assert {(one.low, one.high, one.tied) for one in ranking.standings} == {(None, None, 1)}
    assert any("one patient" in note for note in ranking.notes)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shuffler=st.randoms(use_true_random=False), seed=st.integers(0, 5))
def test_neither_the_order_of_cells_nor_of_images_changes_a_ranking(campaign, shuffler, seed):
    made = noisy(campaign, {"a": 0.1, "b": 0.1, "c": 0.05, "d": 0.0}, seed, patients=6)
    first = made.scores[0]
    made.scores += [replace(first, labels={**first.labels, "explainer": f"twin-{name}"}) for name in "ab"]
    expected = rankings_of(made.results())
    shuffled = [shuffled_images(one, shuffler) for one in made.scores]
    shuffler.shuffle(shuffled)
    assert close(rankings_of(replace(made.results(), scores=tuple(shuffled))), expected)


def shuffled_images(result, shuffler):
    at = list(range(len(result.ids)))
    shuffler.shuffle(at)
    columns = {name: tuple(getattr(result, name)[i] for i in at) for name in ("ids", "patients", "values", "failed")}
    return replace(result, **columns)


def close(one, other):
    """The same in every place, interval, tie and bar."""
    first, second = one.each[0], other.each[0]
    return (
        first.standings == second.standings and first.critical == second.critical and first.pairwise == second.pairwise
    )


def test_folds_of_one_model_are_ranked_together(campaign):
    made = campaign()
    for fold in "01":
        made.add("a", "iou", 0.9 if fold == "0" else 0.2, fold=fold).add("b", "iou", 0.5, fold=fold)
    ranking = only(made)
    assert [(one.explainer, one.mean_rank) for one in ranking.standings] == [("a", 1.0), ("b", 2.0)]
    made.add("c", "iou", 1.0, fold="0")
    assert reason_of(only(made), "c") == "iou was not run on 1 folds"


def boards(campaign, models="mno"):
    made = campaign()
    for model in models:
        for name, value in {"a": 0.9, "b": 0.5, "c": 0.1}.items():
            made.add(name, "iou", value, model=model)
    return made


def test_over_all_is_the_mean_over_boards(campaign):
    made = campaign()
    for model, values in {"m": (0.9, 0.5, 0.1), "n": (0.5, 0.9, 0.1), "o": (0.9, 0.5, 0.1)}.items():
        for name, value in zip("abc", values, strict=True):
            made.add(name, "iou", value, model=model)
    overall = rankings_of(made.results()).overall
    assert [(one.explainer, one.mean_rank) for one in overall.standings] == [
        ("a", pytest.approx(4 / 3)),
        ("b", pytest.approx(5 / 3)),
        ("c", 3.0),
    ]
    assert (overall.critical.blocks, overall.critical.unit, overall.patients) == (3, "boards", 3)


def test_who_is_not_ranked_on_every_board_is_not_ranked_over_all(campaign):
    made = boards(campaign).add("odd", "iou", 1.0, model="m").add("odd", "iou", 1.0, model="n")
    overall = rankings_of(made.results()).overall
    assert order_of(overall) == ["a", "b", "c"]
    assert reason_of(overall, "odd") == "not ranked on o on phantom"
    assert overall.standings[0].mean_rank == 1.0  # ranked among those that are everywhere


def test_a_limited_board_is_never_ranked_with_full_ones(campaign):
    made = boards(campaign)
    for name, value in {"a": 0.1, "b": 0.5, "c": 0.9}.items():
        made.add(name, "iou", value, model="short", count=10)
    rankings = rankings_of(made.results())
    short = next(one for one in rankings.each if one.labels["model"] == "short")
    assert (short.limited, order_of(short)) == (True, ["c", "b", "a"])
    assert rankings.overall.standings[0].mean_rank == 1.0
    assert "short on phantom is left out: a limited run" in rankings.overall.notes


def test_other_targets_are_no_blocks_of_one_ranking(campaign):
    made = boards(campaign)
    for name, value in {"a": 0.1, "b": 0.5, "c": 0.9}.items():
        made.add(name, "iou", value, target="true")
    rankings = rankings_of(made.results())
    assert rankings.overall.patients == 3
    assert "m1 on phantom is left out: another target or precision" in rankings.overall.notes


def test_one_board_has_no_ranking_over_all(campaign):
    assert rankings_of(boards(campaign, "m").results()).overall is None


def test_nothing_to_rank_is_said_rather_than_raised(campaign):
    made = campaign().add("a", "iou", 0.5, status="failed", reason="no").metric("x", claims_quality=False)
    assert only(made).standings == ()
    made = campaign().metric("x", claims_quality=False).add("a", "x", 0.5)
    assert "no metric is left to rank by" in only(made).notes
    assert rankings_of(campaign().results()).each == ()


def test_the_interval_of_a_place_holds_the_true_place_about_as_often_as_it_says(campaign):
    held = 0
    for seed in range(60):
        ranking = only(noisy(campaign, {"x": 0.2, "y": 0.1, "z": 0.0}, seed, patients=20))
        truth = {"x": 1, "y": 2, "z": 3}
        held += sum(one.low <= truth[one.explainer] <= one.high for one in ranking.standings)
    assert held / 180 >= 0.92


def ranked_million():
    """CPU seconds, the peak of memory in MB, and how many were ranked."""
    made, rng = Campaign(patients=500), np.random.default_rng(0)
    for metric in range(10):
        for model in range(5):
            for explainer in range(20):
                made.add(f"e{explainer}", f"m{metric}", rng.random(1000), model=f"n{model}")
    results = made.results()
    assert sum(len(result.values) for result in results.scores) == 1_000_000
    started = time.process_time()
    rankings = rankings_of(results)
    seconds = time.process_time() - started
    # Not the ru_maxrss of getrusage, which starts with what the process that started this one held.
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return seconds, int(peak[1]) / 1024, len(rankings.overall.standings)


@pytest.mark.slow
def test_a_million_scores_are_ranked_in_fifteen_seconds_and_one_and_a_half_gigabytes():
    alone = get_context("spawn")  # the peak of this process is that of all tests before
    with ProcessPoolExecutor(1, mp_context=alone) as pool:
        seconds, megabytes, ranked = pool.submit(ranked_million).result()
    print(f"{seconds:.1f} CPU s, {megabytes:.0f} MB with the results themselves")
    assert ranked == 20
    assert seconds < 15
    assert megabytes < 1536
