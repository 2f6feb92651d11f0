"""`xaibench run --last`."""

from pathlib import Path

import pytest

from xaibench.cli.again import options_of, spelled
from xaibench.store import Store

TOYS = Path(__file__).parents[1] / "core" / "toy_plugins.py"
TASK, MODEL, EXPLAINER = f"{TOYS}:Blobs(count=8)", f"{TOYS}:Trained", f"{TOYS}:Noise"


@pytest.fixture
def first(xaibench):
    """A small run with options that are not the usual ones."""

    def run(*more, out="results"):
        common = ("--tasks", TASK, "--models", MODEL, "--explainers", EXPLAINER, "--metrics", "seconds", "--seed", "3")
        told = ("--limit", "4", "--no-references", "--no-audit", "--device", "cpu", "--progress", "none")
        return xaibench("run", *common, *told, "--out", out, *more)

    return run


def requests(out):
    """What every run into a folder asked for, without where that is."""
    return [{name: value for name, value in run["request"].items() if name != "out"} for run in Store(Path(out)).runs()]


def test_the_last_run_into_a_folder_is_run_again_with_everything_it_asked_for(first, xaibench):
    assert first()[0] == 0
    code, _, said = xaibench("run", "--last", "--out", "results", "--progress", "plain")
    asked = requests("results")
    assert code == 0
    assert len(asked) == 2
    assert asked[0] == asked[1]
    assert "cached" in said
    assert "again: xaibench run" in said
    assert "--seed 3" in said


def test_what_is_given_beside_it_wins(first, xaibench):
    first()
    assert xaibench("run", "--last", "--out", "results", "--limit", "6", "--progress", "none")[0] == 0
    before, after = requests("results")
    assert (before["terms"]["limit"], after["terms"]["limit"]) == (4, 6)
    before["terms"]["limit"] = 6
    assert before == after


def test_without_a_folder_it_is_the_last_run_of_all(first, xaibench, tmp_path, monkeypatch):
    first(out="one")
    first("--seed", "4", out="two")
    other = tmp_path / "elsewhere"
    other.mkdir()
    monkeypatch.chdir(other)
    code, _, said = xaibench("run", "--last", "--progress", "none")
    assert code == 0
    assert f"was started in {tmp_path}" in said
    assert len(requests(tmp_path / "one")) == 1
    assert [asked["terms"]["seed"] for asked in requests(tmp_path / "two")] == [4, 4]


def test_where_nothing_was_run_it_says_so(xaibench, tmp_path):
    code, _, said = xaibench("run", "--last")
    assert code == 2
    assert "nothing has been run yet" in said
    code, _, said = xaibench("run", "--last", "--out", tmp_path / "empty")
    assert code == 2
    assert "nothing was run into" in said


def test_a_request_becomes_the_options_it_was_made_of():
    request = {
        "models": "a,b(c=1)",
        "terms": {"target": "true", "seed": 2, "limit": None, "maps": "fp16"},
        "keep": "exact",
        "audit": False,
        "out": "somewhere",
    }
    told = options_of(request)
    assert told == {"models": "a,b(c=1)", "target": "true", "seed": 2, "limit": None, "maps": "fp16", "audit": False}
    assert spelled(told) == "xaibench run --models 'a,b(c=1)' --no-audit --target true --seed 2 --maps fp16"
