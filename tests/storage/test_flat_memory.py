"""The peak of a whole run, reports and all, does not grow with the number of images."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PLUGINS = Path(__file__).with_name("plenty_plugins.py")
ALLOWED = 200.0  # MiB that 20,000 images may take more than 1,000
MEASURED = (
    "import sys\n"
    "from pathlib import Path\n"
    "from xaibench.__main__ import call\n"
    "code = call(sys.argv[1:])\n"
    "told = dict(line.split(':', 1) for line in Path('/proc/self/status').read_text().splitlines())\n"
    "print('peak', int(told['VmHWM'].split()[0]) / 1024)\n"  # ru_maxrss starts with what the parent held
    "sys.exit(code)\n"
)


def peak(out, count):
    """Megabytes of a run over so many images of 64 x 64 pixels."""
    arguments = [
        "run", "--tasks", f"{PLUGINS}:Plenty(count={count})", "--models", f"{PLUGINS}:Grey",
        "--explainers", f"{PLUGINS}:Ramp,{PLUGINS}:Ramp(axis=1)", "--metrics", f"{PLUGINS}:MeanInside,iou",
        "--no-references", "--no-audit", "--maps", "packed", "--progress", "none", "--out", str(out),
    ]  # fmt: skip
    environment = {**os.environ, "XAIBENCH_CACHE": str(out.with_name("cache")), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", MEASURED, *arguments], env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    return float(ended.stdout.rpartition("peak ")[2])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_times_as_many_images_take_under_200_mib_more(tmp_path):
    few, many = peak(tmp_path / "few", 1_000), peak(tmp_path / "many", 20_000)
    print(f"1,000 images: {few:.0f} MiB; 20,000 images: {many:.0f} MiB; difference {many - few:.0f} MiB")
    assert len(list((tmp_path / "many").glob("cells/*/*/*/record.json"))) == 7 * 625
    assert many - few < ALLOWED
