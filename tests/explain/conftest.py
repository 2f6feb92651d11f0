"""Films made by hand, and the command, called as the program calls it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xaibench.__main__ import call

TOYS = Path(__file__).with_name("toy_networks.py")
PICTURE = "picture(classes='left,right',size=32)"


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def film(tmp_path):
    """32 x 32, black but for a bright square of 8 x 8 in the right half: rows 4 to 12, columns 20 to 28."""
    pixels = np.zeros((32, 32), np.uint8)
    pixels[4:12, 20:28] = 255
    path = tmp_path / "film.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def explain(capsys):
    """Run `xaibench explain ... --json` with toys; returns exit code, answer and what was said on stderr."""

    def run(*arguments, explainers=("Brightness",), model="Halves", task=PICTURE):
        named = ",".join(name if name.islower() else f"{TOYS}:{name}" for name in explainers)
        told = ["--model", f"{TOYS}:{model}", "--task", task, "--explainers", named, "--progress", "plain"]
        code = call(["explain", *map(str, arguments), *told, "--device", "cpu", "--json"])
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out.startswith("{") else None, said.err

    return run
