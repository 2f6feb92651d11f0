import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = str(Path(__file__).with_name("peak_memory.py"))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux's /proc")
@pytest.mark.parametrize(
    ("explainer", "channels", "passes"),
    [
        ("scorecam", 2048, 2048),
        ("lime(samples=5000)", 8, 5000),
        ("rise(samples=20000)", 8, 20000),
        ("kernel-shap(samples=20000, segmentation='grid')", 8, 20000),
        ("kernel-shap(samples=8000, segmentation='grid')", 8, 7900),  # the largest smooth fit
    ],
)
def test_thousands_of_masks_at_224_pixels_stay_within_one_and_a_half_gigabytes(explainer, channels, passes):
    done = subprocess.run([sys.executable, PROGRAM, explainer, str(channels)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    added, forward = map(int, done.stdout.split())
    print(f"{explainer}: {added} MiB for {forward} passes")
    assert forward >= passes
    # As if for any number of masks: a batch, and not what 5000 leave behind. A smooth fit takes matrices of all pairs.
    assert added < (1500 if "8000" in explainer else 500)
