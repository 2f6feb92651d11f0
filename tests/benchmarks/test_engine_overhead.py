"""What engines cost and what they gain, as users start them.

Run with `pytest tests/benchmarks/test_engine_overhead.py --benchmark-only -s` on a machine that does nothing else. The
default run trains two networks, unless XAIBENCH_CACHE names a cache that has them.
"""

import json
import os
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
TOYS, FAULTY = TESTS / "core" / "toy_plugins.py", TESTS / "engines" / "faulty.py"
EXPLAINERS, METRICS = 100, 99
CELLS = 1 + EXPLAINERS + EXPLAINERS * METRICS  # 10,001
MANY = [
    "--models", f"{TOYS}:Learnless", "--tasks", f"{TOYS}:Blobs(count=1)", "--no-references", "--no-audit",
    "--explainers", ",".join(f"{FAULTY}:Faulty(seconds={number}e-9)" for number in range(EXPLAINERS)),
    "--metrics", ",".join(f"{FAULTY}:Nothing(number={number})" for number in range(METRICS)),
]  # fmt: skip
SMALL = [
    "--models", "resnet18(epochs=1)", "--tasks", "phantom(size=64, train=32, val=8, test=64)", "--device", "cpu",
    "--explainers", "smoothgrad,integrated-gradients,rise,occlusion,gradient-shap,scorecam",
    "--metrics", "deletion,iou", "--no-references", "--no-audit",
]  # fmt: skip
DEFAULT = ["--device", "cpu", "--no-audit"]  # the audit is not done by engines


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """Runs the command into a new folder, or the last one, and says how it ended and how long it took."""
    folder, numbers = tmp_path_factory.mktemp("speed"), count()
    cache = os.environ.get("XAIBENCH_CACHE", str(folder / "cache"))

    def run(options, engine, threads=None, again=False):
        number = next(numbers)
        out = folder / f"out{number - 1 if again else number}"
        limits = {"OMP_NUM_THREADS": str(threads)} if threads else {}
        surroundings = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        started = time.perf_counter()
        ended = subprocess.run(
            [sys.executable, "-m", "xaibench", "run", *options, "--engine", engine, "--json", "--out", str(out)],
            env={**surroundings, **limits, "XAIBENCH_CACHE": cache}, capture_output=True, check=False,
        )  # fmt: skip
        seconds = time.perf_counter() - started
        assert ended.stdout, ended.stderr
        return json.loads(ended.stdout), seconds

    return run


@pytest.mark.benchmark(group="cells that do nothing")
@pytest.mark.parametrize(
    ("engine", "allowed"), [("local", 5.0), ("processes(workers=2)", 15.0), ("ray(workers=2)", 15.0)]
)
def test_ten_thousand_cells_that_do_nothing_and_going_on_with_them(command, benchmark, engine, allowed):
    answer, seconds = benchmark.pedantic(command, (MANY, engine), rounds=1)
    assert answer["counts"] == {"ok": CELLS}
    benchmark.extra_info["ms_per_cell"] = per_cell = 1000 * seconds / CELLS
    again, resumed = command(MANY, engine, again=True)
    benchmark.extra_info["resume_seconds"] = resumed
    print(f"\n{engine}: {per_cell:.2f} ms per cell, the whole command counted; going on takes {resumed:.2f} s")
    assert all(cell["cached"] for cell in again["cells"])
    assert per_cell < allowed
    assert resumed < 5


@pytest.mark.timeout(1800)
@pytest.mark.benchmark(group="two processes against one")
@pytest.mark.parametrize(
    ("options", "threads", "least"), [(SMALL, 1, 1.6), (DEFAULT, None, 1.0)], ids=["small networks", "default run"]
)
def test_two_processes_gain_on_two_cores(command, benchmark, options, threads, least):
    """`local` is held to one thread for small networks, and may use all cores in the default run."""
    command([*options, "--limit", "1"], "local", threads)  # trains what is to be trained
    answer, alone = command(options, "local", threads)
    other, together = benchmark.pedantic(command, (options, "processes(workers=2)"), rounds=1)
    assert answer["counts"] == other["counts"]
    benchmark.extra_info["gain"] = alone / together
    print(f"\nlocal {alone:.1f} s, two processes {together:.1f} s: {alone / together:.2f} times as fast")
    assert alone / together >= least
