"""The audit is itself put to the test: metrics that are wrong in a known way must fail, sound ones must pass."""

import json
from pathlib import Path

import numpy as np
import pytest

from xaibench.__main__ import call
from xaibench.audit.auditing import audit_metric, probability_of_gain
from xaibench.audit.witness import DISPLACED, LADDER, Witness, displace
from xaibench.registry import create, select

BROKEN = Path(__file__).with_name("broken_metrics.py")


@pytest.fixture(scope="module")
def witness():
    return Witness(create("tasks", "phantom(size=64)").plugin, 24)


def verdict(name, witness):
    return audit_metric(create("metrics", f"{BROKEN}:{name}"), witness)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("IgnoresTheMap", "roi above roi-degraded"),
        ("RewardsArea", "above"),
        ("RewardsSmallness", "roi above displaced"),
        ("DependsOnNeighbours", "beside loud neighbours"),
        ("BreaksTiesByPosition", "ties: differs"),
        ("DependsOnTheDay", "again"),
        ("LeavesItsRange", "range of roi: from"),
        ("ForgivesFailure", "failed maps score worst"),
        ("Raises", "KeyError: 'lesion'"),
        ("Backwards", "roi above roi-degraded"),
    ],
)
def test_a_broken_metric_fails_for_its_own_reason(witness, name, reason):
    found = verdict(name, witness)
    assert found["verdict"] == "fail"
    failed = [f"{check['name']}: {check['detail']}" for check in found["checks"] if not check["passed"]]
    assert any(reason in text for text in [*failed, found["reason"]])


@pytest.mark.parametrize("name", ["Sound", "SoundLoss"])
def test_a_sound_metric_passes(witness, name):
    found = verdict(name, witness)
    assert (found["verdict"], found["reason"]) == ("pass", "")
    assert len(found["checks"]) > 30


def test_every_metric_that_is_on_by_default_passes_if_it_claims_quality_and_is_descriptive_if_not(witness):
    for loaded in select("metrics", "default"):
        found = audit_metric(loaded, witness)
        assert found["verdict"] in ("pass", "descriptive", "not audited"), f"{loaded.name}: {found['reason']}"
        assert (found["verdict"] == "pass") == bool(loaded.card["claims_quality"])


def test_displaced_truth_keeps_its_shape_and_leaves_its_place():
    masks = np.zeros((1, 12, 12), dtype=bool)
    masks[0, 1:4, 1:4] = True
    moved = displace(masks.astype(np.float32), masks)
    assert moved.sum() == 9
    assert (moved * masks).sum() == 0


def test_the_ladder_is_what_it_says(witness):
    overlap = [(witness.maps(rung) * witness.masks).sum() / witness.maps(rung).sum() for rung in LADDER]
    assert overlap == sorted(overlap, reverse=True)
    assert overlap[0] == 1
    assert (witness.maps(DISPLACED) * witness.masks).sum() < 0.2 * witness.masks.sum()


def test_the_probability_of_gain_resamples_patients_and_not_images():
    # Two patients, one better by 1 and one worse by 1: drawn again, 1/4 both better, 1/2 even, 1/4 both worse.
    gain = np.array([1.0] * 50 + [-1.0] * 50)
    assert probability_of_gain(gain, ["a"] * 50 + ["b"] * 50) == pytest.approx(0.25, abs=0.03)
    assert probability_of_gain(np.zeros(10), list("abcdefghij")) == 0
    assert probability_of_gain(np.ones(10), list("abcdefghij")) == 1
    assert probability_of_gain(np.full(10, np.nan), list("abcdefghij")) == 0


def test_the_command_says_which_metric_fails_and_exits_1(tmp_path, capsys):
    options = ["--tasks", "phantom(size=64)", "--out", str(tmp_path / "out"), "--json"]
    assert call(["audit", "--metrics", f"iou,{BROKEN}:RewardsArea", *options]) == 1
    rows = {Path(row["metric"]).name: row["verdict"] for row in json.loads(capsys.readouterr().out)}
    assert rows == {"iou": "pass", "broken_metrics.py:RewardsArea": "fail"}
    assert call(["audit", "--metrics", "iou", *options]) == 0
    assert len(list((tmp_path / "out" / "audits").glob("*.json"))) == 2


def test_a_task_without_lesions_is_not_audited_and_says_why(tmp_path, capsys):
    toys = Path(__file__).with_name("toy_plugins.py")
    assert call(["audit", "--metrics", "iou", "--tasks", f"{toys}:Plain", "--out", str(tmp_path), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["verdict"] == "not audited"
    assert "has 0 test images with a lesion mask" in row["reason"]
