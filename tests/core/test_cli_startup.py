"""What every user waits for: the verbs that only tell must not import what only computing needs."""

import os
import statistics
import subprocess
import sys
import time

import pytest

HEAVY = ("torch", "numpy", "pandas", "scipy", "captum")
SPY = f"""
import sys
from xaibench.__main__ import call
code = call(sys.argv[1:])
print("HEAVY:", *sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture
def imported(tmp_path):
    """Run a verb and return which heavy modules its process has imported."""

    def run(*arguments):
        command = [sys.executable, "-P", "-c", SPY, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("HEAVY:")]
        return line.split()[1:]

    return run


LIGHT = [
    ["--help"],
    ["--version"],
    ["list"],
    ["list", "--json"],
    ["list", "explainers"],
    ["env", "--json"],
    ["plugins", "--help"],
    ["info", "--help"],
    ["run", "--help"],
    ["plan", "--help"],
]


@pytest.mark.parametrize("arguments", LIGHT, ids=" ".join)
def test_telling_imports_nothing_heavy(imported, arguments):
    assert imported(*arguments) == []


@pytest.mark.parametrize("arguments", [["--help"], ["list", "--json"]], ids=" ".join)
def test_telling_of_strangers_who_import_heavy_things_imports_nothing_heavy(imported, installed, arguments):
    installed("good", "heavy", "raises")
    assert imported(*arguments) == []


def test_the_check_sees_a_command_that_imports_something_heavy(imported, installed):
    installed("heavy")
    assert imported("heavy") == ["numpy"]
    assert imported("heavy", "--help") == ["numpy"]


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--help"], ["list", "--json"]], ids=" ".join)
def test_telling_takes_at_most_three_times_as_long_as_importing_click(arguments, tmp_path):
    commands = {
        "click": [sys.executable, "-c", "import click"],
        "xaibench": [sys.executable, "-P", "-m", "xaibench", *arguments],
    }
    times = {name: [] for name in commands}
    for _ in range(15):
        for name, command in commands.items():
            before = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, cwd=tmp_path, env={**os.environ}, check=True)
            times[name].append(time.perf_counter() - before)
    medians = {name: statistics.median(values) for name, values in times.items()}
    assert medians["xaibench"] <= 3 * medians["click"], medians
