"""`xaibench train`, as users start it."""

import json
from importlib import metadata
from pathlib import Path

import pytest
from click.testing import CliRunner

from xaibench.errors import UsageError
from xaibench.identity import key_of, task_identity
from xaibench.orders import Order
from xaibench.registry import create
from xaibench_models.command import beside_the_paper, given, train
from xaibench_models.command import orders as orders_of
from xaibench_models.recipes import find, names

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


def test_beside_the_weights_stands_what_they_were_learned_from_how_and_where(recipe, tmp_path):
    call("--recipe", recipe, "--epochs", "1", "--repeats", "1", "--device", "cpu", "--out", str(tmp_path / "o"))
    model, task = create("models", f"cnn-elhouby(recipe='{recipe}', epochs=1)"), create("tasks", TASK)
    folder = Order(model, task, 0, 0).folder()
    assert sorted(file.name for file in folder.iterdir()) == ["card.json", "weights.safetensors"]
    card = json.loads((folder / "card.json").read_text())
    assert card["report"]["recipe"]["name"] == "mine"
    assert card["report"]["val_balanced_accuracy"] == card["report"]["curve"][0]["val_balanced_accuracy"]
    assert card["data"]["fingerprint"] == task.plugin.fingerprint()
    assert (card["fold"], card["seed"], card["model"]["name"]) == (0, 0, "cnn-elhouby")
    assert card["environment"]["libraries"]["torch"] == metadata.version("torch")
    other = create("tasks", TASK.replace("test=12", "test=18"))
    assert key_of(task_identity(other)) != card["data"]["digest"] == key_of(task_identity(task))


def test_strict_and_data_change_the_task_and_nothing_else(recipe):
    file = Path(recipe)
    file.write_text(file.read_text() + f'strict = "{TASK.replace("test=12", "test=18")}"\n')
    plain = {"task": "", "model": "", "data": "", "fold": None, "repeats": None, "epochs": None, "seed": 5}
    orders = [next(orders_of(find(recipe), recipe, plain | {"strict": strict})) for strict in (False, True)]
    assert [len(order.task.plugin.entries("test", 0)) for order in orders] == [12, 18]
    assert orders[0].model.params == orders[1].model.params
    assert given("mias-roi(protocol='strict')", path="/films") == "mias-roi(path=/films, protocol=strict)"


def test_what_a_paper_says_of_a_network_stands_beside_what_it_is():
    recipe = find("hmc-net")
    told = beside_the_paper(recipe, "hmc", {"parameters": 33_106_695, "flops": 18_300_000_000})
    assert told[0] == "parameters: 33,106,695; Table 2 of the paper says 45,000,000, which is +35.9%"
    assert "18,300,000,000; Table 2 of the paper says 25,000,000,000, which is +36.6%" in told[1]
    assert beside_the_paper(find("quick"), "hmc", {"parameters": 1, "flops": 1}) == []


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
