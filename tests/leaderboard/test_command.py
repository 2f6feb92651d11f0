import json
import subprocess
import sys
import webbrowser

import pytest
from click.testing import CliRunner

from xaibench.errors import DataError, UsageError
from xaibench.store import Store
from xaibench_leaderboard.command import leaderboard


@pytest.fixture
def folder(tmp_path, results):
    """A results folder with the cells of the fixture, as a run leaves them."""
    store, rows = Store(tmp_path / "results").open(), []
    for one in results.scores:
        count = len(one.ids)
        if one.status == "ok":
            record = {"ids": list(one.ids), "patients": list(one.patients), "values": list(one.values)}
            flaws = ["flat" if failed else "" for failed in one.failed]
            store.commit(one.key, (0, count), {**record, "flaws": flaws, "applies": [True] * count})
            store.describe(one.key, {"cards": dict(one.cards)})
        row = {"key": one.key, "kind": "score", "labels": dict(one.labels), "cards": dict(one.cards)}
        rows.append(row | {"count": one.count, "total": one.total, "status": one.status, "reason": one.reason})
    store.save_run("20260101T000000-1", {"subjects": [], "cells": rows, "environment": "none"})
    return store.root


def invoke(*arguments):
    return CliRunner().invoke(leaderboard, [str(argument) for argument in arguments], catch_exceptions=False)


def test_the_table_is_printed_and_page_and_claims_are_written(folder):
    result = invoke("--results", folder)
    assert result.exit_code == 0
    assert "resnet18 on phantom" in result.stdout
    assert (folder / "leaderboard.html").exists()
    assert json.loads((folder / "results.json").read_text())["rows"]
    assert "leaderboard.html" in result.stderr


def test_the_folder_may_be_given_as_an_argument_too(folder):
    assert invoke(folder, "--json").stdout == invoke("--results", folder, "--json").stdout
    assert invoke(folder, "--results", folder, "--json").exit_code == 0


def test_two_folders_are_refused(folder, tmp_path):
    with pytest.raises(UsageError, match="are two results folders; give one of them"):
        invoke(folder, "--results", tmp_path / "other")


def test_the_folder_of_a_run_is_shown_if_none_is_named(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "xaibench-results").symlink_to(folder)
    assert json.loads(invoke("--json").stdout)["rows"]


def test_json_prints_claims_and_nothing_else(folder):
    result = invoke("--results", folder, "--json")
    assert json.loads(result.stdout)["rows"]
    assert not (folder / "leaderboard.html").exists()


def test_open_shows_the_page_in_a_browser(folder, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    invoke("--results", folder, "--open")
    assert opened == [(folder / "leaderboard.html").resolve().as_uri()]


def test_a_folder_without_scores_is_refused_with_what_to_do(tmp_path):
    Store(tmp_path).open()
    with pytest.raises(DataError, match=r"holds no scores yet; `xaibench run --out .*` makes some"):
        invoke("--results", tmp_path)


def test_what_is_no_results_folder_ends_in_exit_code_2_without_traceback(tmp_path):
    command = [sys.executable, "-m", "xaibench", "leaderboard", "--results", str(tmp_path / "nowhere")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "is not a results folder" in done.stderr
    assert "Traceback" not in done.stderr


HEAVY = (
    "import sys; import {module}; print(sorted({{'numpy', 'rich', 'jinja2', 'pandas', 'torch'}} & set(sys.modules)))"
)


@pytest.mark.parametrize(
    ("module", "brought"),
    [("xaibench_leaderboard.command", "[]"), ("xaibench_leaderboard.html", "['jinja2', 'numpy']")],
)
def test_help_waits_for_nothing_heavy(module, brought):
    done = subprocess.run(
        [sys.executable, "-c", HEAVY.format(module=module)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == brought


def test_weights_decide_what_the_ranking_rests_on(folder):
    answer = json.loads(invoke("--results", folder, "--json", "--weights", "localisation=2,cost=1").stdout)
    assert answer["rankings"][0]["weights"] == {"localisation": 2.0, "cost": 1.0}
    assert (
        "(weights: localisation 2, cost 1)" in invoke("--results", folder, "--weights", "localisation=2,cost=1").stdout
    )


@pytest.mark.parametrize(
    "weights",
    [
        "beauty=1",
        "cost",
        "cost=much",
        "cost=-1",
        "cost=nan",
        "localisation=0,faithfulness=0,stability=0,robustness=0,complexity=0",
    ],
)
def test_weights_that_cannot_be_are_refused_with_what_can(folder, weights):
    with pytest.raises(
        UsageError, match=r"families are localisation|0 or a positive number|nothing is left to rank by"
    ):
        invoke("--results", folder, "--weights", weights)
