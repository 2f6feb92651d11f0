"""`xaibench train`, as users start it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from xaibench.errors import UsageError
from xaibench.orders import Order
from xaibench.registry import create
from xaibench_models.command import train
from xaibench_models.recipes import names

RECIPE = """
name = "mine"
epochs = 3
batch_size = 8
learning_rate = 0.01
model = "cnn-elhouby"
task = "{task}"
repeats = 2
"""
TASK = "phantom(size=64,train=24,val=12,test=12)"


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "mine.toml"
    file.write_text(RECIPE.format(task=TASK))
    return str(file)


def call(*options):
    return CliRunner().invoke(train, list(options), catch_exceptions=False)


def test_every_repeat_is_trained_once_and_leaves_a_report_and_a_curve(recipe, tmp_path):
    out = tmp_path / "out"
    first = json.loads(call("--recipe", recipe, "--epochs", "2", "--out", str(out), "--device", "cpu", "--json").stdout)
    assert [(row["fold"], row["seed"], row["report"]["epochs"]) for row in first] == [(0, 0, 2), (0, 1, 2)]
    assert first[0]["digest"] != first[1]["digest"]
    for row in first:
        folder = out / f"cnn-elhouby-phantom-fold0-seed{row['seed']}"
        assert json.loads((folder / "training.json").read_text()) == row
        assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")
    again = json.loads(call("--recipe", recipe, "--epochs", "2", "--out", str(out), "--device", "cpu", "--json").stdout)
    assert again == first  # nothing was trained again: even the seconds are the same


def test_the_harness_finds_the_weights(recipe, tmp_path):
    done = call("--recipe", recipe, "--epochs", "1", "--repeats", "1", "--device", "cpu", "--out", str(tmp_path / "o"))
    model = create("models", f"cnn-elhouby(recipe='{recipe}', epochs=1)")
    assert Order(model, create("tasks", TASK), 0, 0).find() is not None
    assert "to benchmark: xaibench run" in done.stdout


def test_an_edited_recipe_makes_other_weights(recipe):
    def key():
        return Order(create("models", f"cnn-elhouby(recipe='{recipe}')"), create("tasks", TASK), 0, 0).folder()

    before = key()
    file = Path(recipe)
    file.write_text(file.read_text() + "[freezing]\nratio = 0.5\n")
    assert key() != before


def test_recipes_are_listed_with_what_papers_leave_open():
    shown = call("--list").stdout
    assert all(f"{name}: " in shown for name in names())
    assert "the number of epochs is not stated" in shown
    assert {recipe["name"] for recipe in json.loads(call("--list", "--json").stdout)} == set(names())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "say which recipe"),
        (("--recipe", "balve"), "there is no recipe 'balve'; did you mean balve-cnn"),
        (("--recipe", "quick"), "names no model: say --model"),
        (("--recipe", "hmc-net", "--strict"), "has no strict protocol"),
        (("--recipe", "quick", "--model", "resnet18", "--task", TASK, "--fold", "1"), "has 1 fold"),
    ],
)
def test_mistakes_are_told(options, told):
    with pytest.raises(UsageError, match=told):
        call(*options)
