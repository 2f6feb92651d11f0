"""The command as users give it, called in this process, with a folder and a cache of its own."""

from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from xaibench.__main__ import call
from xaibench.results import load_results

TOYS = Path(__file__).parents[1] / "core" / "toy_plugins.py"
BLOBS = f"{TOYS}:Blobs"

NETS = """
import torch
from torch import nn


class Small(nn.Module):
    def __init__(self, num_classes=2, channels=1, width: int = 4):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, stride=2, padding=1), nn.ReLU(),
        )
        self.head = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))


def build(num_classes):
    return Small(num_classes)


def told(classes, size, in_channels, cam_layer="mine"):
    net = Small(len(classes), in_channels)
    net.told = (classes, size, in_channels, cam_layer)
    return net


def counted(classes: int):
    return Small(classes)


def binary():
    return Small(1)


def many():
    return Small(5)


def colour():
    return Small(2, 3)


def scaled(factor: float = 2.0):
    net = Small(2)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(factor)
    return net


def probable():
    return nn.Sequential(Small(2), nn.Softmax(1))


def needy(depth, num_classes):
    return Small(num_classes)


def text():
    return "no network"


def breaks():
    return nn.Sequential(nn.Flatten(), nn.Linear(7, 2))


def brightness(images):
    return images.mean((1, 2, 3)).unsqueeze(1) * torch.tensor([1.0, 2.0])


net = Small(2)
"""


@dataclass
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder to work in, with `net.py`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "net.py").write_text(NETS)
    return tmp_path


@pytest.fixture
def xaibench(place):
    """Give a command."""

    def give(*arguments):
        with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
            code = call([str(argument) for argument in arguments])
        return Ended(code, out.getvalue(), err.getvalue())

    return give


@pytest.fixture
def bench(xaibench):
    """Run models and explainers on the toy task; returns how it ended and the results."""

    def run(models, explainers="gradcam", metrics="iou,deletion", out="out", limit=4, tasks=BLOBS, more=()):
        ended = xaibench(
            "run", "--models", models, "--explainers", explainers, "--metrics", metrics, "--tasks", tasks,
            "--limit", limit, "--out", out, "--no-references", "--no-audit", "--progress", "plain", *more,
        )  # fmt: skip
        return ended, (load_results(Path(out)) if Path(out, "xaibench.json").exists() else None)

    return run
