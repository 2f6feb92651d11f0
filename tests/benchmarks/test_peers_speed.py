"""The same explanation by us and by a peer, each in a process of its own, in turn; the best round of each.

Run with `pytest tests/benchmarks/test_peers_speed.py --benchmark-only -s`. Peers run in fp32 with the allocator as they
find it, once as their users run them (the library's defaults) and once at the best of several batch settings; ours in
fp32 and in bf16. Ratios are of seconds per pass. The environment that `speed.py` names makes it larger or smaller.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = str(Path(__file__).with_name("speed.py"))
TURNS = int(os.environ.get("XAIBENCH_SPEED_TURNS", "2"))


def timed(count, *arguments):
    environment = {**os.environ, "XAIBENCH_SPEED_IMAGES": str(count)}
    done = subprocess.run([sys.executable, PROGRAM, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


ROWS = ["captum-occlusion", "grad-cam-scorecam", "grad-cam-gradcam", "grad-cam-gradcam++"]


@pytest.mark.benchmark(group="peers")
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@pytest.mark.parametrize("row", ROWS)
def test_against_the_peer(benchmark, speed, row, name):
    explainer, _, settings, count = speed.PEERS[row]
    runs = {
        "ours fp32": ("ours", explainer, name, "fp32"),
        "ours bf16": ("ours", explainer, name, "bf16"),
        **{f"peer at {setting}": ("peer", row, name, str(setting)) for setting in settings},
    }
    turns = benchmark.pedantic(
        lambda: [{what: timed(count, *run) for what, run in runs.items()} for _ in range(TURNS)], rounds=1
    )
    # Per pass: Score-CAM leaves out channels that are silent, a pass or two look at the layer or the whole image.
    passes = {what: turns[0][what]["forward"] for what in runs}
    seconds = {what: min(turn[what]["seconds"] for turn in turns) / passes[what] for what in runs}
    usual = seconds[f"peer at {settings[0]}"]
    tuned = min(value for what, value in seconds.items() if what.startswith("peer"))
    ratios = {
        "fp32_over_default": usual / seconds["ours fp32"],
        "fp32_over_best": tuned / seconds["ours fp32"],
        "bf16_over_best": tuned / seconds["ours bf16"],
    }
    benchmark.extra_info.update(ratios, seconds=seconds, passes=passes)
    print(f"\n{row} {name}:", *(f"{what} {value:.2f}x" for what, value in ratios.items()), passes, seconds, sep="; ")
    assert min(passes.values()) > 0.9 * max(passes.values())
