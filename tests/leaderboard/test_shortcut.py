import pytest

from xaibench.contracts import Results
from xaibench_leaderboard import wording
from xaibench_leaderboard.shortcut import shortcuts_of


def report_of(scores, predictions=()):
    (report,) = shortcuts_of(Results(None, tuple(predictions), tuple(scores), {}, {}))
    return report


def verdicts(report):
    return {witness.row.explainer: witness.verdict for witness in report.methods}


def test_only_boards_whose_images_carry_the_marker_have_a_report(results, result):
    (report,) = shortcuts_of(results)
    assert report.board.labels["task"] == "phantom-shortcut"
    without = [result("gradcam", "energy-marker", ()), result("gradcam", "energy", 0.5)]
    assert shortcuts_of(Results(None, (), tuple(without), {}, {})) == ()


def test_an_explainer_reveals_the_marker_if_it_stands_clear_of_every_floor(results):
    # On the marker: gradcam 0.55 [0.55, 0.55]; saliency 0.25 [0.2, 0.3]; lime 0.05 [0, 0.1].
    # The floors: random 0.02 [0.02, 0.02]; edges 0.3 [0.2, 0.4].
    (report,) = shortcuts_of(results)
    assert verdicts(report) == {"gradcam": "yes", "saliency": "unclear", "lime": "no"}
    assert report.revealing == ("gradcam",)
    assert "edges" in next(witness.reason for witness in report.methods if witness.verdict == "unclear")


@pytest.mark.parametrize(
    ("own", "verdict", "why"),
    [
        ((0.11, 0.31, 0.51, 0.71), "yes", "more than every floor"),  # by a hair, on every film
        ((0.09, 0.29, 0.49, 0.69), "no", "less than edges"),
        ((0.09, 0.31, 0.49, 0.71), "unclear", "not clearly more than edges"),
        ((0.02, 0.02, 0.02, 0.02), "no", "less than edges"),
    ],
)
def test_an_explainer_and_a_floor_are_compared_film_by_film(result, own, verdict, why):
    """Their means differ by a hair, and their intervals are wide: markers are larger on some films than on others."""
    values = {"cam": own, "edges": (0.1, 0.3, 0.5, 0.7), "random": (0.02, 0.02, 0.02, 0.02)}
    scores = [
        result(name, metric, tuple(one for one in each for _ in "ab"))  # both films of a patient
        for name, each in values.items()
        for metric in ("energy-marker", "energy")
    ]
    (witness,) = report_of(scores).methods
    assert witness.verdict == verdict
    assert witness.reason == why


def test_references_are_shown_and_not_judged(results):
    (report,) = shortcuts_of(results)
    assert [(witness.row.explainer, witness.verdict) for witness in report.references] == [
        ("roi", ""),
        ("edges", ""),
        ("random", ""),
    ]


def test_without_the_noise_row_nothing_is_claimed(result):
    scores = [result("gradcam", "energy-marker", 0.9), result("gradcam", "energy", 0.1)]
    scores += [result("edges", "energy-marker", 0.1), result("edges", "energy", 0.1)]
    assert verdicts(report_of(scores)) == {"gradcam": "unknown"}


def test_an_explainer_that_failed_is_unknown_and_not_innocent(result):
    scores = [result("gradcam", "energy-marker", status="failed", reason="boom"), result("gradcam", "energy", 0.1)]
    scores += [result("random", "energy-marker", 0.1), result("random", "energy", 0.1)]
    assert verdicts(report_of(scores)) == {"gradcam": "unknown"}


def test_the_fall_of_the_accuracy_stands_beside_it(results):
    (report,) = shortcuts_of(results)
    told = wording.drop(report)
    assert told.startswith("Balanced accuracy: 1.000 in training, 0.980 in validation, 0.333 [")
    assert told.endswith("It collapsed")


@pytest.mark.parametrize(("val", "collapsed"), [(1.0, False), (1.04, False), (1.06, True)])
def test_accuracy_has_collapsed_only_if_its_interval_lies_clearly_below_validation(result, prediction, val, collapsed):
    # The model is right throughout: its interval is [1, 1]. Values above 1 only serve to find the edge.
    scores = [result("random", "energy-marker", 0.1), result("random", "energy", 0.1)]
    made = prediction((0, 0, 1, 1, 2, 2), (0, 0, 1, 1, 2, 2), training={"val_balanced_accuracy": val})
    assert report_of(scores, [made]).board.accuracy.collapsed is collapsed


@pytest.mark.parametrize(
    ("share", "accuracies", "sees", "told"),
    [
        (0.9, {"val_balanced_accuracy": 1.0}, "", "more on the marker than any floor, and would have warned: gradcam"),
        (0.9, {}, "marker", "more on the marker than any floor, and would have warned: gradcam"),
        (0.9, {}, "lesions", "more on the marker than any floor: gradcam"),
        (0.05, {"val_balanced_accuracy": 1.0}, "", "than the floors: none would have warned"),
        (0.05, {}, "", "than the floors"),
    ],
)
def test_a_warning_is_spoken_of_only_where_there_was_something_to_warn_of(
    result, prediction, share, accuracies, sees, told
):
    scores = [result("gradcam", "energy-marker", share), result("gradcam", "energy", 0.1)]
    scores += [result("random", "energy-marker", 0.1), result("random", "energy", 0.1)]
    made = prediction((0, 0, 1, 1), (1, 1, 0, 0), training=accuracies, sees=sees)
    assert wording.warned(report_of(scores, [made])).endswith(told)
