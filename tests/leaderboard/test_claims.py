import json
import math
from dataclasses import replace

import pytest

from xaibench.contracts import Results
from xaibench_leaderboard.board import boards_of
from xaibench_leaderboard.claims import Claims, claims_of


@pytest.fixture
def claims(results, tmp_path):
    path = Claims().render(results, tmp_path)

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def row_of(claims, **wanted):
    (row,) = [row for row in claims["rows"] if wanted.items() <= row.items()]
    return row


def test_there_is_a_row_for_every_explainer_and_metric_of_every_board(claims, results):
    expected = sum(len(board.rows) * len(board.columns) for board in boards_of(results))
    assert len(claims["rows"]) == expected == 8 * 3 + 6 * 2


def test_a_row_says_all_about_its_number(claims):
    row = row_of(claims, task="phantom", explainer="gradcam", metric="iou")
    assert {name: row[name] for name in ("mean", "low", "high", "n", "patients")} == {
        "mean": 0.5,
        "low": 0.5,
        "high": 0.5,
        "n": 6,
        "patients": 4,
    }
    assert (row["images"], row["failed"], row["undefined"], row["coverage"]) == (8, 0, 2, 1.0)
    assert (row["metric_version"], row["higher_is_better"], row["audit"]) == (3, True, "fail")


@pytest.mark.parametrize(
    ("explainer", "metric", "status", "reason"),
    [
        ("lime(samples=50)", "energy", "failed", "ValueError: <no> segments"),
        ("rollout", "seconds", "unsupported", "resnet18 has no attention"),
        ("constant", "iou", "not run", "this explainer was never scored with this metric"),
    ],
)
def test_an_absent_number_is_null_with_a_reason(claims, explainer, metric, status, reason):
    row = row_of(claims, task="phantom", explainer=explainer, metric=metric)
    assert (row["mean"], row["low"], row["n"], row["status"], row["reason"]) == (None, None, None, status, reason)


def test_a_metric_that_applies_to_no_image_claims_null_with_that_reason(result):
    (row,) = claims_of(Results(None, (), (result("gradcam", "energy", ()),), {}, {}))["rows"]
    assert (row["mean"], row["status"], row["reason"]) == (None, "ok", "applies to no image")


def test_no_row_lacks_both_number_and_reason(claims):
    assert all((row["mean"] is None) == bool(row["reason"]) for row in claims["rows"])


def test_boards_tell_accuracy_and_whether_the_model_is_poor(result, prediction):
    truth = (0, 1, 2) * 10
    made = [result("gradcam", "energy", 0.1, model=model) for model in ("good", "poor")]
    answers = (prediction(truth, truth, model="good"), prediction(truth, (0,) * 30, model="poor"))
    good, poor = claims_of(Results(None, answers, tuple(made), {}, {}))["boards"]
    assert poor["balanced_accuracy"]["mean"] == pytest.approx(1 / 3)
    assert (good["poor_model"], poor["poor_model"], good["reason"]) == (False, True, "")


def test_a_model_that_cannot_be_judged_is_called_neither_good_nor_poor_and_why(claims):
    first, second = claims["boards"]
    assert first["balanced_accuracy"]["mean"] == pytest.approx(2.5 / 3)
    assert (first["poor_model"], second["poor_model"]) == (None, None)
    assert first["reason"].startswith("Too few images to judge the model: 8 here")
    assert "oracle, no diagnostician" in second["reason"]
    assert (second["count"], second["total"]) == (4, 8)


def test_the_shortcut_is_claimed_per_explainer(claims):
    told = {row["explainer"]: row["reveals_marker"] for row in claims["shortcuts"]}
    assert told == {"gradcam": "yes", "saliency": "unclear", "lime": "no", "roi": None, "edges": None, "random": None}
    assert all(row["accuracy_collapsed"] for row in claims["shortcuts"])


def test_what_is_not_a_number_is_refused_rather_than_written(results, tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        Claims().render(replace(results, environment={"load": math.nan}), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_same_results_make_the_same_claims(results):
    assert claims_of(results) == claims_of(results)
