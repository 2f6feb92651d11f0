"""The figures of classifiers: by hand on a confusion that fits on a napkin, and against the libraries' own reports."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from imblearn.metrics import classification_report_imbalanced
from sklearn.metrics import classification_report, roc_auc_score

from xaibench.contracts import Prediction
from xaibench.errors import DataError
from xaibench_leaderboard.evaluate_command import evaluate as command
from xaibench_leaderboard.evaluation import evaluate, rivals
from xaibench_leaderboard.evaluation import summaries as summaries_of
from xaibench_leaderboard.evaluation_plots import reliability_files
from xaibench_leaderboard.evaluation_reading import Answers

CLASSES = ("normal", "benign", "malignant")


def prediction(truth, said, *, model="net", fold=0, sure=2.0, logits=None):
    if logits is None:
        logits = tuple(tuple(sure * (at == label) for at in range(3)) for label in said)
    return Prediction(
        key=f"{model}{fold}",
        labels={"task": "t", "fold": str(fold), "model": model, "precision": "fp32"},
        cards={},
        classes=CLASSES,
        ids=tuple(map(str, range(len(truth)))),
        patients=tuple(str(at // 2) for at in range(len(truth))),
        truth=tuple(truth),
        logits=logits,
        training={"seconds": 3.5},
        weights="w",
    )


def summaries(predictions, seeds=None):
    return summaries_of([Answers(one, 0 if seeds is None else seeds[at], ()) for at, one in enumerate(predictions)])


# Of five normals four are right, of three benign ones two, of two malignant ones one.
TRUTH = (0, 0, 0, 0, 0, 1, 1, 1, 2, 2)
SAID = (0, 0, 0, 0, 1, 1, 1, 0, 2, 1)


def test_figures_by_hand():
    found = evaluate(prediction(TRUTH, SAID))
    assert found.confusion == ((4, 1, 0), (1, 2, 0), (0, 1, 1))
    assert found.overall["accuracy"] == pytest.approx(0.7)
    assert found.overall["balanced_accuracy"] == pytest.approx((4 / 5 + 2 / 3 + 1 / 2) / 3)
    assert found.overall["macro_precision"] == pytest.approx((4 / 5 + 2 / 4 + 1) / 3)
    assert found.overall["majority"] == 0.5
    assert found.overall["g_mean"] == pytest.approx((4 / 5 * 2 / 3 * 1 / 2) ** (1 / 3))
    # Specificities: 4 of 5, 5 of 7, 8 of 8.
    recalls, specificities = (4 / 5, 2 / 3, 1 / 2), (4 / 5, 5 / 7, 1.0)
    iba = [(1 + 0.1 * (r - s)) * r * s for r, s in zip(recalls, specificities, strict=True)]
    assert found.overall["iba"] == pytest.approx((5 * iba[0] + 3 * iba[1] + 2 * iba[2]) / 10)
    assert [one["specificity"] for one in found.per_class.values()] == pytest.approx(specificities)
    sure = np.exp(2) / (np.exp(2) + 2)  # every answer is as sure as every other
    assert found.overall["calibration_error"] == pytest.approx(abs(sure - 0.7))
    assert found.training_seconds == 3.5
    assert found.accuracy.mean == pytest.approx(0.7)
    assert found.accuracy.patients == 5


@pytest.mark.parametrize("seed", range(5))
def test_figures_are_those_of_the_libraries_reports(seed):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, 60)
    logits = rng.normal(size=(60, 3)) + 1.5 * np.eye(3)[truth]
    found = evaluate(prediction(truth, None, logits=tuple(map(tuple, logits))))
    said = logits.argmax(1)
    report = classification_report(truth, said, target_names=CLASSES, output_dict=True)
    for name in CLASSES:
        for figure, theirs in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            assert found.per_class[name][figure] == pytest.approx(report[name][theirs])
    balanced = classification_report_imbalanced(truth, said, target_names=CLASSES, output_dict=True)
    assert found.overall["iba"] == pytest.approx(balanced["avg_iba"])
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert found.overall["macro_auc"] == pytest.approx(roc_auc_score(truth, shares, multi_class="ovr"))


def test_a_class_without_images_counts_in_no_mean_and_has_no_auc():
    found = evaluate(prediction((0, 0, 1, 1), (0, 0, 1, 0)))
    assert found.overall["balanced_accuracy"] == 0.75
    assert found.per_class["malignant"]["auc"] is None
    assert found.overall["macro_auc"] is not None


def test_folds_are_summed_up_by_mean_and_deviation():
    right, wrong = prediction(TRUTH, TRUTH, fold=0), prediction(TRUTH, SAID, fold=1)
    (summary,) = summaries([right, wrong])
    assert summary.mean["accuracy"] == pytest.approx(0.85)
    assert summary.sd["accuracy"] == pytest.approx(0.3 / 2**0.5)
    (alone,) = summaries([right])
    assert alone.sd["accuracy"] is None


def test_repeats_of_one_fold_are_summed_up_and_compared_like_folds():
    right, wrong = prediction(TRUTH, TRUTH), prediction(TRUTH, SAID)
    (summary,) = summaries([right, wrong], seeds=[0, 1])
    assert summary.sd["accuracy"] == pytest.approx(0.3 / 2**0.5)
    models = {"good": TRUTH, "fair": SAID, "poor": (1,) * 10}
    repeated = [prediction(TRUTH, said, model=name) for name, said in models.items() for _ in range(4)]
    assert rivals(summaries(repeated, seeds=[0, 1, 2, 3] * 3)).blocks == 4


def test_macro_figures_are_means_over_classes():
    found = evaluate(prediction(TRUTH, SAID)).overall
    assert found["macro_recall"] == found["balanced_accuracy"]
    assert found["macro_specificity"] == pytest.approx((4 / 5 + 5 / 7 + 1.0) / 3)


def test_where_all_images_are_of_one_class_nothing_is_said_of_the_others():
    found = evaluate(prediction((1, 1, 1), (1, 0, 1)))
    assert found.per_class["benign"]["specificity"] is None
    assert found.per_class["normal"]["specificity"] == pytest.approx(2 / 3)
    assert found.overall["macro_specificity"] is None
    assert found.overall["iba"] is None
    assert found.overall["balanced_accuracy"] == pytest.approx(2 / 3)


def test_costs_come_from_the_records_and_time_is_the_median():
    one = replace(prediction(TRUTH, SAID), training={"seconds": 3.5, "parameters": 7, "flops": 14})
    found = evaluate(one, 0, (0.001, 0.002, 0.9))
    assert (found.parameters, found.flops, found.training_seconds, found.milliseconds) == (7, 14, 3.5, 2.0)


def test_rivals_are_compared_over_the_folds_they_share():
    models = {"good": TRUTH, "fair": SAID, "poor": (1,) * 10}
    predictions = [prediction(TRUTH, said, model=name, fold=k) for name, said in models.items() for k in range(5)]
    test = rivals(summaries(predictions))
    assert test.explainers == ("good", "fair", "poor")
    assert test.mean_ranks == (1, 2, 3)
    assert test.blocks == 5
    assert test.statistic == pytest.approx(10.0)  # 12 N / k(k+1) (1 + 4 + 9 - k (k+1)^2 / 4), N = 5, k = 3
    assert rivals(summaries(predictions[:10])) is None  # two models


def test_the_command_trains_predicts_and_shows(tmp_path, monkeypatch):
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))
    out = str(tmp_path / "out")
    options = ["--models", "oracle-lesion", "--tasks", "phantom(size=64,train=12,val=6,test=12)", "--results", out]
    done = CliRunner().invoke(command, [*options, "--json"], catch_exceptions=False)
    (model,) = json.loads(done.stdout)["models"]
    assert model["model"] == "oracle-lesion"
    assert len(model["evaluations"][0]["confusion"]) == 3
    shown = CliRunner().invoke(command, ["--results", out], catch_exceptions=False).stdout
    assert "balanced accuracy" in shown
    assert "ms per image forward" in shown
    (drawn,) = (tmp_path / "out" / "evaluation").glob("reliability-*.png")
    assert drawn.read_bytes().startswith(b"\x89PNG")
    assert "predicted as" in shown


def test_every_repeat_is_kept_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))
    options = ["--models", "oracle-linear", "--tasks", "phantom(size=64,train=12,val=6,test=12)", "--repeats", "3"]
    done = CliRunner().invoke(command, [*options, "--results", str(tmp_path / "out"), "--json"], catch_exceptions=False)
    (model,) = json.loads(done.stdout)["models"]
    assert [one["seed"] for one in model["evaluations"]] == [0, 1, 2]
    assert model["sd"]["accuracy"] == 0.0  # its weights are given: every repeat says the same
    assert all(one["milliseconds"] > 0 for one in model["evaluations"])


def test_a_diagram_shows_each_fold_whatever_the_names(tmp_path):
    odd = "a$b_$\\frac{"
    found = summaries([prediction(TRUTH, SAID, model=odd, fold=0), prediction(TRUTH, TRUTH, model=odd, fold=1)])
    (file,) = reliability_files(found, tmp_path)
    assert file.parent == tmp_path
    assert file.read_bytes().startswith(b"\x89PNG")


def test_an_external_set_is_what_is_tested(tmp_path, monkeypatch):
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))
    small = "phantom(size=64,train=12,val=6,test=12)"
    options = [
        "--models",
        "oracle-lesion",
        "--tasks",
        small,
        "--external",
        "phantom-tiny(size=64,train=8,val=4,test=8)",
    ]
    done = CliRunner().invoke(command, [*options, "--results", str(tmp_path / "out"), "--json"], catch_exceptions=False)
    (model,) = json.loads(done.stdout)["models"]
    assert model["evaluations"][0]["images"] == 20
    assert model["task"].startswith("external(")


def test_a_folder_without_predictions_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match="not a results folder"):
        CliRunner().invoke(command, ["--results", str(tmp_path)], catch_exceptions=False)
