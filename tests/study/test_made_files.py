"""Studies of data that have to be fetched run from their plans on files made for the test, in the published form."""

import json
import re
from importlib import resources

import pytest
from click.testing import CliRunner

from tests.tasks.make import breakhis, cbis
from xaibench.cli.main import cli

PLANS = resources.files("xaibench_leaderboard") / "study" / "plans"
pytestmark = pytest.mark.timeout(600)  # trains ResNet50s, for an epoch of a few small pictures


def shrunk(name, folder, parts, keep, **task):
    """The plan as it is shipped, with another `quick`, and of several models only the one that is quickly trained."""
    text = (PLANS / f"{name}.toml").read_text(encoding="utf-8")
    given = ", ".join(f"{key} = {json.dumps(value)}" for key, value in task.items())
    quick = f'[quick]\nwhy = "a test"\nparts = {json.dumps(parts)}\ntask = {{ {given} }}\nlimit = 8\n'
    quick += 'model = { epochs = 1, weights = "none" }\n\n'
    text = re.sub(r"\[quick\]\n.*?(?=\[causes\])", lambda _: quick, text, flags=re.DOTALL)
    text = re.sub(rf'^models = \[.*?("[^"]*{keep}[^"]*").*?\]$', r"models = [\1]", text, flags=re.MULTILINE)
    plan = folder / f"{name}.toml"
    plan.write_text(text, encoding="utf-8")
    return plan


def reproduced(plan, folder, monkeypatch):
    """Run it as a user does; its tables by name, each as (row, figure, part) -> line."""
    monkeypatch.setenv("XAIBENCH_CACHE", str(folder / "cache"))
    command = ["reproduce", plan, "--quick", "--device", "cpu", "--out", folder / "out", "--json"]
    ran = CliRunner().invoke(cli, [str(word) for word in command], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout)
    assert all("Reduced for a test" in table["caption"] for table in told["tables"])
    return {
        table["name"]: {(row["row"], row["figure"], row["part"]): row for row in table["rows"]}
        for table in told["tables"]
    }


def test_transfer_learning_on_patches_runs_in_both_strategies_and_protocols(tmp_path, monkeypatch):
    cbis.write_classic(tmp_path / "cbis", cbis.SMALL)
    plan = shrunk("raut", tmp_path, ["S1", "S2, strict"], "resnet50",
                  path=str(tmp_path / "cbis"), size=32, patch=32, moved=2, tissue=0.0)  # fmt: skip
    tables = reproduced(plan, tmp_path, monkeypatch)
    gradual = tables["Table II, strategy 1"]["resnet50", "accuracy", "S1"]
    both = tables["Table II, strategy 2"]["resnet50", "accuracy", "S2, strict"]
    assert gradual["paper"] == 0.67
    for line in (gradual, both):
        assert line["trainings"] == 1
        assert 0 <= line["ours"]["mean"] <= 1
        assert line["ours"]["images"] > 4
    found = tables["Table IV, ResNet50, strategy 1"]
    assert found["gradcam", "ll-score", "S1"]["paper"] == 0.128
    for name in ("gradcam", "centre"):
        score, times_accuracy = (found[name, figure, "S1"]["ours"] for figure in ("ll-score", "ll-accuracy"))
        assert 0 <= times_accuracy["mean"] <= 1
        assert times_accuracy["images"] > 0
        assert score is None or times_accuracy["mean"] <= score["mean"]  # none if no patch was classified correctly


@pytest.mark.slow
def test_dynamic_thresholds_are_set_against_grad_cam_on_slides(tmp_path, monkeypatch):
    breakhis.make_pictures(tmp_path / "breakhis", magnifications=(40,))
    plan = shrunk("dala", tmp_path, ["40x"], "dala-resnet50", path=str(tmp_path / "breakhis"), size=32)
    tables = reproduced(plan, tmp_path, monkeypatch)
    assert tables["BreakHis 40x"]["dala-resnet50", "accuracy", "40x"]["paper"] == 0.985
    assert tables["BreakHis 40x"]["dala-resnet50", "g_mean", "40x"]["ours"] is not None
    sparse = {name: tables["DT Grad-CAM"][name, "sparseness", "40x"]["ours"] for name in ("gradcam", "dt-gradcam")}
    assert all(one and one["images"] > 0 for one in sparse.values())
    assert sparse["dt-gradcam"]["mean"] >= sparse["gradcam"]["mean"]  # what is below the threshold is taken away
