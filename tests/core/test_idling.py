import os
import subprocess
import sys

import pytest
import torch

from xaibench.idling import sleep_soon

MEASURE = """
import time, torch
torch.rand(1000, 1000) @ torch.rand(1000, 1000)  # with all threads
torch.rand(1000, 1000).exp_()
begun = time.process_time()
time.sleep(0.2)
print(time.process_time() - begun)
"""
COMMAND = """
import sys
from xaibench.__main__ import main
sys.argv = ["xaibench", "--version"]
try:
    main()
except SystemExit:
    pass
"""


def burnt(before, **surroundings):
    """Seconds of processor time that a process takes while it sleeps."""
    kept = {name: value for name, value in os.environ.items() if name not in {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}}
    ran = subprocess.run(
        [sys.executable, "-c", before + MEASURE], env={**kept, "OMP_NUM_THREADS": "2", **surroundings},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(ran.stdout.split()[-1])


def most(before, wanted, **surroundings):
    """The most of several times: on a busy machine a process may sleep later than its threads have given up."""
    found = 0.0
    for _ in range(8):
        if found < wanted:
            found = max(found, burnt(before, **surroundings))
    return found


@pytest.mark.skipif(
    sys.platform != "linux" or "OpenMP" not in torch.__config__.parallel_info() or len(os.sched_getaffinity(0)) < 2,
    reason="only GNU's OpenMP knows how long to spin, and only where there is a core to spin on",
)
def test_the_command_lets_idle_threads_sleep_unless_the_user_says_otherwise():
    usual = most("", 0.003)
    assert burnt(COMMAND) < usual / 2
    assert most(COMMAND, 2 * usual, GOMP_SPINCOUNT="30000000") > usual


def test_what_the_user_has_set_stays(monkeypatch):
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    sleep_soon()
    assert os.environ["GOMP_SPINCOUNT"] == "7"
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    sleep_soon()
    assert "GOMP_SPINCOUNT" not in os.environ
