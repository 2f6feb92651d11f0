"""How much of each image its lesions cover travels with every score, so that boards can tell small lesions apart."""

import json
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from xaibench.__main__ import call
from xaibench.results import load_results

TOYS = Path(__file__).with_name("toy_plugins.py")


@pytest.fixture
def results(tmp_path):
    options = ["--models", f"{TOYS}:Trained", "--tasks", f"{TOYS}:Blobs(count=12)", "--explainers", f"{TOYS}:Noise"]
    options += ["--metrics", "iou,forward-samples", "--no-references", "--no-audit", "--out", str(tmp_path / "out")]
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        assert call(["run", *options]) == 0
    return {result.labels["metric"]: result for result in load_results(tmp_path / "out").scores}


def test_shares_are_those_of_the_lesions_and_0_on_normal_images(results):
    # A toy lesion is a square of 4 in 16 x 16 pixels; images whose id ends in 7, 8 or 9 have none.
    shares = dict(zip(results["forward-samples"].ids, results["forward-samples"].shares, strict=True))
    assert shares == {name: 0.0 if name[-1] in "789" else 16 / 256 for name in shares}
    assert len(shares) == 12


def test_shares_are_there_for_the_images_that_the_metric_applies_to(results):
    assert len(results["iou"].ids) == 9
    assert results["iou"].shares == (16 / 256,) * 9


def test_results_of_a_version_that_stored_none_can_still_be_read(results, tmp_path):
    for path in (tmp_path / "out").glob("cells/*/*/*/record.json"):
        record = json.loads(path.read_text())
        record.pop("lesion_share", None)
        path.write_text(json.dumps(record))
    old = {result.labels["metric"]: result for result in load_results(tmp_path / "out").scores}
    assert old["iou"].shares == ()
    assert old["iou"].values == results["iou"].values
