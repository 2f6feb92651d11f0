"""--config files: their schema, the examples, and what a mistake is answered with."""

import json
import tomllib
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

from xaibench.cli.config import schema
from xaibench.cli.running import OPTIONS, run

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.toml"))


def test_the_schema_is_one_and_names_every_option_that_plans_share_with_runs(xaibench):
    code, printed, _ = xaibench("config", "schema")
    made = json.loads(printed)
    jsonschema.Draft202012Validator.check_schema(made)
    assert code == 0
    assert len(made["properties"]) == len(OPTIONS) - 2  # --config itself and --json
    assert made["additionalProperties"] is False


def test_the_schema_says_the_defaults_of_the_options():
    known = {str(option.name): option.default for option in run.params}
    told = {name: one["default"] for name, one in schema()["properties"].items() if "default" in one}
    assert told
    assert {name: str(value) for name, value in told.items()} == {name: str(known[name]) for name in told}


def test_there_is_an_example_for_every_use():
    assert {"default", "own-data", "cluster", "paper"} <= {path.stem for path in EXAMPLES}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_fits_the_schema_and_is_planned(path, xaibench, tmp_path):
    jsonschema.validate(tomllib.loads(path.read_text(encoding="utf-8")), schema())
    own_images(tmp_path / "my-images")
    assert xaibench("config", "check", path)[0] == 0
    code, printed, said = xaibench("plan", "--config", path, "--device", "cpu", "--json")
    assert code == 0, said
    states = {row["state"] for row in json.loads(printed)["cells"]} if printed.startswith("{") else states_of(printed)
    assert "missing" in states


def states_of(printed):
    return {row["state"] for row in json.loads(printed)}


def own_images(folder):
    """What `own-data` speaks of: images of two classes and a table."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    names = [f"{number}.png" for number in range(20)]
    for name in names:
        Image.fromarray(rng.integers(0, 255, (40, 40), dtype=np.uint8)).save(folder / name)
    rows = [f"{name},{'ab'[number % 2]}" for number, name in enumerate(names)]
    (folder / "index.csv").write_text("\n".join(["image,label", *rows]))


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("explainer = 'gradcam'", "explainer"),
        ("seed = -1", "-1"),
        ("precision = 'fp8'", "fp8"),
        ("audit = 'perhaps'", "perhaps"),
        ("limit = 0", "0"),
    ],
)
def test_what_the_schema_refuses_the_command_refuses_too(text, wrong, xaibench, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tomllib.loads(text), schema())
    code, _, said = xaibench("config", "check", file)
    assert code == 2
    assert wrong in said


def test_a_slip_in_a_name_is_answered_with_the_nearest(xaibench, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("batch-size = 4")
    code, _, said = xaibench("run", "--config", file)
    assert code == 2
    assert "did you mean batch_size?" in said


def test_what_is_no_toml_is_told_with_its_line(xaibench, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("seed = 1\nmodels = = 2")
    code, _, said = xaibench("config", "check", file)
    assert code == 2
    assert "mine.toml" in said
    assert "line 2" in said
