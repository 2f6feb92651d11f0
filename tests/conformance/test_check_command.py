"""`xaibench check`: which plugin is meant, what is said of it, and how it ends."""

import json
from pathlib import Path

import pytest

from xaibench.__main__ import call
from xaibench.testing import checks_of

HERE = Path(__file__).parent
SOUND = f"{HERE / 'bad_explainers.py'}:Sound"
FLAT = f"{HERE / 'bad_explainers.py'}:IsFlat"
QUICK = ["--skip", "elsewhere"]


@pytest.fixture
def check(capfd):
    def run(*arguments):
        code = call(["check", *arguments])
        said = capfd.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def answers(check):
    def run(*arguments):
        code, out, _ = check(*arguments, "--json")
        return code, json.loads(out)

    return run


def statuses(answer):
    return {one["name"]: one["status"] for one in answer["checks"]}


def test_a_sound_plugin_ends_with_0_and_every_check_has_a_line(check):
    code, out, _ = check(SOUND, *QUICK)
    assert code == 0
    for name in checks_of("explainers").keys() - {"elsewhere"}:
        assert f" {name} " in out
    assert out.splitlines()[0] == f"explainer {SOUND}"
    assert "-> the card does not say additive" in out
    assert "failed" not in out.splitlines()[-1]


def test_a_bad_plugin_ends_with_1_and_is_told_why(check):
    code, out, _ = check(FLAT, *QUICK)
    assert code == 1
    assert "failed    contrast" in out
    assert "-> the map of image 0 is flat: every value is 0; it would count as failed" in out
    assert "-> not tried, for `contrast` is not kept" in out
    assert ", 1 failed, " in out.splitlines()[-1]


def test_json_holds_every_check_with_its_promise(answers):
    code, (answer,) = answers(FLAT, *QUICK)
    assert (code, answer["ok"], answer["kind"], answer["reference"]) == (1, False, "explainer", FLAT)
    assert answer["ran"] == sum(status != "skipped" for status in statuses(answer).values())
    assert all(one["promise"] and one["seconds"] >= 0 for one in answer["checks"])
    assert statuses(answer)["contrast"] == "failed"


def test_what_a_plugin_prints_does_not_spoil_the_answer(answers):
    code, (answer,) = answers(f"{HERE / 'bad_explainers.py'}:Prints", *QUICK)
    assert code == 1
    assert statuses(answer)["quiet"] == "failed"


def test_an_expected_failure_is_no_failure(answers):
    code, (answer,) = answers(FLAT, *QUICK, "--expect-fail", "contrast")
    assert (code, answer["ok"], statuses(answer)["contrast"]) == (0, True, "expected")


def test_an_unexpected_pass_is_told(check):
    code, out, _ = check(SOUND, *QUICK, "--expect-fail", "finite")
    assert code == 1
    assert "surprise  finite" in out
    assert "take it off the list" in out


def test_a_plugin_declares_its_own_exceptions(tmp_path, answers):
    source = (HERE / "bad_explainers.py").read_text()
    mine = tmp_path / "mine.py"
    mine.write_text(source + '\n\nclass Mine(IsFlat):\n    expect_fail = {"contrast": "it is meant to be flat"}\n')
    code, (answer,) = answers(f"{mine}:Mine", *QUICK)
    assert code == 0
    (contrast,) = (one for one in answer["checks"] if one["name"] == "contrast")
    assert contrast["status"] == "expected"
    assert contrast["reason"].startswith("it is meant to be flat")


def test_where_nothing_could_be_tried_it_fails(check):
    code, out, _ = check(SOUND, "--only", "adds-up")
    assert code == 1
    assert out.splitlines()[-1] == "0 checks ran: nothing is known of this plugin"


def test_only_tries_what_is_asked_for(answers):
    code, (answer,) = answers(SOUND, "--only", "shape", "--only", "finite")
    assert code == 0
    assert statuses(answer) == {"shape": "passed", "finite": "passed"}


@pytest.mark.parametrize("option", ["--only", "--skip", "--expect-fail"])
def test_a_check_that_does_not_exist_is_refused(check, option):
    code, _, err = check(SOUND, option, "finit")
    assert code == 2
    assert "there is no check 'finit' of explainers; did you mean finite?" in err


def test_installed_plugins_are_checked_by_name_and_with_parameters(answers):
    code, found = answers("saliency", "smoothgrad(samples=4)", "iou(threshold=0.3)", "phantom-tiny", "--only", "card")
    assert code == 0
    assert [answer["kind"] for answer in found] == ["explainer", "explainer", "metric", "task"]


def test_one_bad_plugin_of_several_is_enough_to_fail(answers):
    code, found = answers("saliency", FLAT, *QUICK)
    assert code == 1
    assert [answer["ok"] for answer in found] == [True, False]


@pytest.mark.parametrize("kind", ["metric", "model", "task"])
def test_the_kind_is_told_by_the_method_it_has(answers, kind):
    code, (answer,) = answers(f"{HERE / f'bad_{kind}s.py'}:Sound", "--only", "works")
    assert (code, answer["kind"], statuses(answer)) == (0, kind, {"works": "passed"})


def test_a_function_that_makes_a_plugin_is_checked(tmp_path, answers):
    mine = tmp_path / "mine.py"
    mine.write_text((HERE / "bad_explainers.py").read_text() + "\n\ndef make(): return Sound()\n")
    code, (answer,) = answers(f"{mine}:make", "--only", "works")
    assert (code, answer["kind"]) == (0, "explainer")


def test_what_has_none_of_the_methods_is_refused(tmp_path, check):
    mine = tmp_path / "mine.py"
    mine.write_text("class Mine:\n    pass\n")
    code, _, err = check(f"{mine}:Mine")
    assert code == 2
    assert "has none of the methods `explain` (explainer), `build` (model), `score` (metric), `entries` (task)" in err


def test_with_the_kind_said_a_missing_method_is_a_failed_check(tmp_path, check):
    mine = tmp_path / "mine.py"
    mine.write_text("class Mine:\n    card = None\n")
    code, out, _ = check(f"{mine}:Mine", "--kind", "explainer")
    assert code == 1
    assert "failed    card" in out
    assert "has no `card`; see xaibench.contracts.ExplainerCard" in out


def test_a_parameter_that_must_be_given_is_asked_for(tmp_path, check):
    mine = tmp_path / "mine.py"
    source = (HERE / "bad_explainers.py").read_text()
    mine.write_text(
        source + "\n\nclass Mine(Sound):\n    def __init__(self, steps: int):\n        self.steps = steps\n"
    )
    code, _, err = check(f"{mine}:Mine")
    assert code == 2
    assert "needs a value for steps" in err
    assert check(f"{mine}:Mine(steps=3)", "--only", "parameters", "--only", "works")[0] == 0


def test_a_name_that_is_misspelt_is_told(check):
    code, _, err = check("salency")
    assert code == 2
    assert "did you mean saliency?" in err


def test_kinds_without_checks_are_refused(check):
    code, _, err = check("local", "--kind", "engine")
    assert code == 2
    assert "there are no checks for engines; there are for explainers, models, metrics, tasks" in err
