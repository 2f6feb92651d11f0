"""Runs with other engines than `local`, and what is left of their processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from xaibench.references import split_list
from xaibench.results import load_results

TOYS = Path(__file__).parents[1] / "core" / "toy_plugins.py"
FAULTY = Path(__file__).with_name("faulty.py")


class Bench:
    """One results folder. All benches of a test share the weights, so that their cells have the same keys."""

    def __init__(self, folder, name):
        self.out = folder / name
        self.environment = {"XAIBENCH_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}

    def options(self, engine="local", explainers="Gradient", metrics="iou", more=()):
        chosen = ",".join(f"{FAULTY if name.startswith('Faulty') else TOYS}:{name}" for name in split_list(explainers))
        return [
            "run", "--models", f"{TOYS}:Trained", "--tasks", f"{TOYS}:Blobs", "--explainers", chosen,
            "--metrics", metrics, "--no-references", "--no-audit", "--out", str(self.out), "--engine", engine, *more,
        ]  # fmt: skip

    def start(self, *arguments, **choice):
        return subprocess.Popen(
            [sys.executable, "-m", "xaibench", *self.options(*arguments, **choice)],
            env={**os.environ, **self.environment}, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def answer(self, *arguments, more=(), **choice):
        """What the command prints with --json; the rest of it under `err`."""
        process = self.start(*arguments, **choice, more=["--json", *more])
        out, err = process.communicate(timeout=500)
        assert out, err
        return {**json.loads(out), "returncode": process.returncode, "err": err}

    def scores(self):
        found = load_results(self.out).scores
        return {tuple(one.labels.items()): (one.ids, one.values) for one in found if one.status == "ok"}

    def maps(self):
        return {path.relative_to(self.out): path.read_bytes() for path in self.out.glob("cells/*/*/*/maps.npy")}

    def shards(self):
        return {path: path.stat().st_mtime_ns for path in self.out.glob("cells/*/*/*/record.json")}

    def last_run(self):
        return json.loads(max((self.out / "runs").glob("*.json")).read_text())

    @staticmethod
    def endings(answer, kind="explain"):
        """Status and reason by what an explainer did."""
        return {
            cell["labels"]["explainer"].partition("how=")[2].partition(",")[0].rstrip(")"): (
                cell["status"],
                cell["reason"],
            )
            for cell in answer["cells"]
            if cell["kind"] == kind
        }

    @staticmethod
    def workers_of(driver):
        """The spawned processes of a running command."""
        numbers = Path(f"/proc/{driver}/task/{driver}/children").read_text().split()
        return [int(number) for number in numbers if b"spawn_main" in Path(f"/proc/{number}/cmdline").read_bytes()]

    @staticmethod
    def is_gone(number):
        """Whether a process has ended, or is a corpse that nobody has looked at."""
        try:
            return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except FileNotFoundError:
            return True

    @classmethod
    def gone_within(cls, seconds, numbers):
        numbers = list(numbers)
        deadline = time.monotonic() + seconds
        while not all(map(cls.is_gone, numbers)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return all(map(cls.is_gone, numbers))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Makes benches that share their weights within one module."""
    folder = tmp_path_factory.mktemp("engines")
    return lambda name: Bench(folder, name)
