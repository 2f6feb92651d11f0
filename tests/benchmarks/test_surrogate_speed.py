"""The surrogates by us and by their peers, each in a process of its own, in turn; the best round of each.

Run with `pytest tests/benchmarks/test_surrogate_speed.py --benchmark-only -s`. Peers run in fp32 with the allocator
as they find it, as their users run them (the first setting) and at the best of several batch settings; ours in fp32
and in bf16. The environment that `speed.py` and `surrogate_speed.py` name makes it larger or smaller. What ours add
to the bare passes is in `test_explainer_overhead.py`.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("surrogate_speed.py")
TURNS = int(os.environ.get("XAIBENCH_SPEED_TURNS", "2"))
ROWS = ["lime", "captum-lime", "captum-kernel-shap", "shap-kernel"]


@pytest.fixture(scope="module")
def peers():
    spec = importlib.util.spec_from_file_location("surrogate_speed", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PEERS


def timed(*arguments):
    done = subprocess.run([sys.executable, str(PROGRAM), *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.benchmark(group="surrogates")
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@pytest.mark.parametrize("row", ROWS)
def test_against_the_peer(benchmark, peers, row, name):
    explainer, _, settings, _ = peers[row]
    runs = {
        "ours fp32": ("ours", explainer, name, "fp32"),
        "ours bf16": ("ours", explainer, name, "bf16"),
        **{f"peer at {setting}": ("peer", row, name, str(setting)) for setting in settings},
    }
    turns = benchmark.pedantic(
        lambda: [{what: timed(*run) for what, run in runs.items()} for _ in range(TURNS)], rounds=1
    )
    seconds = {what: min(turn[what]["seconds"] for turn in turns) for what in runs}
    passes = {what: turns[0][what]["forward"] for what in runs}
    tuned = min(value for what, value in seconds.items() if what.startswith("peer"))
    ratios = {
        "fp32_over_default": seconds[f"peer at {settings[0]}"] / seconds["ours fp32"],
        "fp32_over_best": tuned / seconds["ours fp32"],
        "bf16_over_best": tuned / seconds["ours bf16"],
    }
    benchmark.extra_info.update(ratios, seconds=seconds, passes=passes)
    print(f"\n{row} {name}:", *(f"{what} {value:.2f}x" for what, value in ratios.items()), passes, seconds, sep="; ")
    # The same work, up to the ends and to coalitions that a peer drew twice.
    assert max(passes.values()) - min(passes.values()) <= 4
