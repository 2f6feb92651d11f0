"""How far the estimate of a run is from what it then takes, cell by cell.

    pytest tests/benchmarks/test_estimate.py --benchmark-only -s

XAIBENCH_BENCH_RUN holds the options of the run, as on the command line; without it, a small one on drawn images. The
default run, on a quiet machine; it takes as long as that run, so give it the time:

    XAIBENCH_BENCH_RUN=--no-audit pytest tests/benchmarks/test_estimate.py --benchmark-only -s
"""

import json
import os
import shlex
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from xaibench.store import Store

PLUGINS = Path(__file__).with_name("untrained.py")
SMALL = f"--models {PLUGINS}:ResNet18 --tasks phantom(size=64,train=12,val=6,test=40) --no-audit"
FACTOR, SHARE, WORST = 1.5, 0.8, 8


def call(verb, options):
    command = [sys.executable, "-m", "xaibench", verb, *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    assert done.returncode in (0, 1)  # a cell that fails has no time to compare, and stops nothing
    return json.loads(done.stdout)


def name(row):
    """Not the key: weights that are trained between the estimate and the run change it."""
    return json.dumps([row["kind"], row["labels"]], sort_keys=True)


def measured(folder):
    """Seconds by cell, from the records of the run, and of the trainings that it began with."""
    (run,) = Store(folder).runs()
    cells = {name(row): row["seconds"] for row in run["cells"] if row["status"] == "ok" and row.get("seconds")}
    return cells | {
        name({"kind": "train", "labels": subject["labels"]}): subject["training"]["preparation_seconds"]
        for subject in run["subjects"]
        if "preparation_seconds" in subject["training"]
    }


def inside(values):
    return float(np.mean((values < FACTOR) & (values > 1 / FACTOR)))


@pytest.mark.timeout(6 * 3600)
@pytest.mark.benchmark(group="estimate")
def test_the_estimate_against_what_the_run_takes(tmp_path, benchmark):
    options = [*shlex.split(os.environ.get("XAIBENCH_BENCH_RUN", SMALL)), "--out", str(tmp_path / "out"), "--json"]
    told = benchmark.pedantic(lambda: call("plan", [*options, "--estimate"]), rounds=1)
    call("run", [*options, "--progress", "none"])
    taken, ratios = measured(tmp_path / "out"), defaultdict(list)
    for row in told["cells"]:
        if row["seconds"] and (seconds := taken.get(name(row))):
            ratios[row["kind"]].append((row["seconds"] / seconds, seconds, row["labels"]))
    for kind, found in ratios.items():
        values = np.array([ratio for ratio, *_ in found])
        quartiles = np.quantile(values, [0.25, 0.5, 0.75]).round(2)
        print(f"\n{kind}: {len(values)} of them, {inside(values):.0%} within {FACTOR}, quartiles {quartiles}")
        for ratio, seconds, labels in sorted(found, key=lambda one: abs(np.log(one[0])))[-WORST:]:
            shown = " ".join(labels.get(what, "") for what in ("model", "explainer", "metric", "variant"))
            print(f"    {ratio:6.2f} of {seconds:8.3f} s  {shown}")
    every = np.array([ratio for kind, found in ratios.items() if kind != "train" for ratio, *_ in found])
    total = (told["seconds"], sum(taken.values()))
    benchmark.extra_info.update(share=inside(every), told=total[0], taken=total[1], cells=len(every))
    print(f"{len(every)} cells, {inside(every):.1%} within {FACTOR}; {total[0]:.0f} s told, {total[1]:.0f} s taken")
    assert len(every) > 0.95 * len([one for one in taken if '"train"' not in one]), "nearly all cells have an estimate"
    assert inside(every) >= SHARE
