"""What the page is told, worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from xaibench_leaderboard.page import models
from xaibench_leaderboard.page.curves import mean_curve
from xaibench_leaderboard.page.packing import folded, rounded
from xaibench_leaderboard.page.provenance import Provenance, exact, provenance_of


def test_confusion_counts_images_by_true_and_predicted_class():
    assert models.confusion(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0]), 3) == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_roc_moves_equals_together():
    # Scores .9 (hit), .5 (hit and alarm, together), .1 (alarm): (0,0), (0,.5), (.5,1), (1,1); area .25 * ... = .875.
    found = models.roc(np.array([True, True, False, False]), np.array([0.9, 0.5, 0.5, 0.1]))
    assert found == {"points": [[0, 0], [0, 0.5], [0.5, 1], [1, 1]], "area": 0.875}


def test_roc_of_one_kind_of_image_is_none():
    assert models.roc(np.array([True, True]), np.array([0.1, 0.2])) is None


def test_the_area_under_the_roc_is_that_of_scikit_learn_also_when_points_are_left_out():
    rng = np.random.default_rng(0)
    truth = rng.random(2000) < 0.3
    score = np.round(rng.normal(truth * 1.0), 2)
    found = models.roc(truth, score)
    assert found["area"] == pytest.approx(roc_auc_score(truth, score), abs=1e-5)
    assert len(found["points"]) == models.POINTS


def test_reliability_and_calibration_error_by_hand():
    # Four images: sure .9 and right, .9 and wrong; .6 and right, .6 and right.
    shares = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    truth = np.array([0, 1, 0, 0])
    bins = models.reliability(truth, shares)
    assert [(one["sure"], one["right"], one["images"]) for one in bins] == [(0.6, 1, 2), (0.9, 0.5, 2)]
    assert models.calibration_error(truth, shares) == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)


def test_softmax_does_not_overflow():
    assert models.probabilities(np.array([[1000.0, 0.0], [0.0, 0.0]])).tolist() == [[1.0, 0.0], [0.5, 0.5]]


def test_a_mean_curve_leaves_out_images_and_places_without_value(result):
    one = result("a", "curved", (0.1, 0.2, 0.3))
    card = one.cards["metric"] | {"curve": (0.0, 1.0)}
    one = replace(one, cards={**one.cards, "metric": card}, curves=((0.0, None), None, (1.0, None)))
    assert mean_curve(one) == [0.5, None]
    assert mean_curve(replace(one, curves=(None, None, None))) is None


def test_equal_values_are_said_once_and_numbers_keep_six_digits():
    assert folded([0, 0, 0]) == {"all": 0, "times": 3}
    assert folded([0, 1]) == [0, 1]
    assert folded([5]) == [5]
    assert [rounded(value) for value in (None, 2.0, 0.123456789, 1e-9)] == [None, 2, 0.123457, 1e-9]


def test_the_exact_reference_binds_every_parameter():
    assert exact("lime(samples=50)", {"samples": 50, "segments": 9}) == "lime(samples=50, segments=9)"
    assert exact("saliency [absolute]", {}) == "saliency"
    assert exact("lime [absolute]", {"samples": 5}) == "lime(samples=5)"


@pytest.mark.parametrize(
    ("label", "shown", "command"),
    [
        ("net(checkpoint=runs/trained.pt)", "trained.pt", "net(checkpoint=runs/trained.pt, width=8)"),
        ("net", "file 0123456789ab", "net(width=8)"),
        ("net(what", "file 0123456789ab", "net(width=8)"),
    ],
)
def test_a_file_among_the_parameters_is_shown_by_its_name_and_given_as_it_was(label, shown, command):
    params = {"checkpoint": {"content": "0123456789abcdef"}, "width": 8}
    told = Provenance({("model", label): {"params": params}}).plugin("model", label)
    assert told["params"] == {"checkpoint": shown, "width": 8}
    assert told["exact"] == command


def test_a_folder_that_is_gone_leaves_labels_as_they_are(results):
    assert provenance_of(results).plugin("explainer", "gradcam") == {
        "exact": "gradcam",
        "params": {},
        "distribution": "",
    }
