"""What the README promises: one command, and a board whose rows are in an order that makes sense."""

import json
import os
import subprocess
import sys
import time

import pytest

from xaibench.results import load_results

CEILINGS = ("roi", "roi-grid")
FLOORS = ("random", "centre", "constant")


def run(folder, *options):
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "xaibench", "run", "--out", str(folder / "out"), *options],
        env={**os.environ, "XAIBENCH_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
    )
    print(f"xaibench run {' '.join(options)}: {time.perf_counter() - started:.0f} s\n{done.stdout}\n{done.stderr}")
    assert done.returncode == 0
    return done


def means(results, metric):
    """Mean value by (model, explainer)."""
    return {
        (result.labels["model"], result.labels["explainer"]): sum(result.values) / len(result.values)
        for result in results.scores
        if result.labels["metric"] == metric and result.values
    }


def recall(prediction, of):
    rows = [row for row, label in enumerate(prediction.truth) if label == of]
    return sum(max(range(3), key=prediction.logits[row].__getitem__) == of for row in rows) / len(rows)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_default_run_ends_in_a_board_with_ceilings_above_floors_and_good_models(tmp_path):
    done = run(tmp_path)
    results = load_results(tmp_path / "out")
    assert {prediction.labels["model"] for prediction in results.predictions} == {"resnet50", "hmc"}
    for prediction in results.predictions:
        balanced = sum(recall(prediction, label) for label in range(3)) / 3
        assert balanced >= 0.85, f"{prediction.labels['model']} has learned too little: {balanced:.3f}"
    for metric in ("iou-matched", "energy", "pointing-game"):
        found = means(results, metric)
        for model in ("resnet50", "hmc"):
            floors = [found[model, name] for name in FLOORS]
            assert all(found[model, ceiling] > floor for ceiling in CEILINGS for floor in floors)
    assert all(verdict["verdict"] != "fail" for verdict in results.audit["phantom"].values())
    assert "gradcam" in done.stdout
    assert (tmp_path / "out" / "leaderboard.html").stat().st_size > 10_000
    json.loads((tmp_path / "out" / "results.json").read_text())

    again = run(tmp_path)
    assert "trained" not in again.stderr
    assert load_results(tmp_path / "out").scores == results.scores


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_model_that_took_the_shortcut_is_good_in_training_and_bad_in_testing(tmp_path):
    run(tmp_path, "--models", "resnet18", "--tasks", "phantom-shortcut", "--explainers", "gradcam", "--no-audit")
    (prediction,) = load_results(tmp_path / "out").predictions
    balanced = sum(recall(prediction, label) for label in range(3)) / 3
    assert prediction.training["train_balanced_accuracy"] > 0.9
    assert balanced < prediction.training["train_balanced_accuracy"] - 0.3
