"""What a run stores of the cost of maps, and that measuring it changes neither maps nor counts."""

import json
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from xaibench.__main__ import call
from xaibench.results import load_results
from xaibench.store import Store

TOYS = Path(__file__).with_name("toy_plugins.py")
COUNT = 12


def run(folder, explainer, metrics="seconds,forward-samples,backward-samples,overhead,peak-bytes,iou"):
    options = ["--models", f"{TOYS}:Trained", "--tasks", f"{TOYS}:Blobs(count={COUNT})"]
    options += ["--explainers", f"{TOYS}:{explainer}", "--metrics", metrics, "--batch-size", "4"]
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        assert call(["run", *options, "--no-references", "--no-audit", "--out", str(folder)]) == 0
    return {result.labels["metric"]: result.values for result in load_results(folder).scores}


def test_one_image_goes_ahead_unmeasured_and_shows_in_no_count(tmp_path):
    trace = tmp_path / "explained"
    values = run(tmp_path / "out", f'Gradient(trace="{trace}")')
    explained = trace.read_text().split()
    assert len(explained) == COUNT + 1
    assert explained[0] == explained[1]
    assert values["forward-samples"] == values["backward-samples"] == (1.0,) * COUNT


def test_a_slow_first_call_does_not_count(tmp_path):
    toy = tmp_path / "slow_start.py"
    toy.write_text(
        "import time\n"
        "from xaibench.contracts import ExplainerCard\n"
        "class SlowStart:\n"
        "    card = ExplainerCard(name='slow-start', summary='sleeps once', family='reference')\n"
        "    started = False\n"
        "    def explain(self, classifier, batch):\n"
        "        time.sleep(0 if SlowStart.started else 2)\n"
        "        SlowStart.started = True\n"
        "        return batch.images[:, 0]\n"
    )
    options = ["--models", f"{TOYS}:Trained", "--tasks", f"{TOYS}:Blobs(count={COUNT})", "--metrics", "seconds"]
    options += ["--explainers", f"{toy}:SlowStart", "--no-references", "--no-audit", "--out", str(tmp_path / "out")]
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        assert call(["run", *options]) == 0
    (result,) = load_results(tmp_path / "out").scores
    assert sum(result.values) < 1, "the two seconds were paid by the image that went ahead"


def test_overhead_is_time_over_passes_of_the_fastest_bare_batch(tmp_path):
    values = run(tmp_path / "out", "Gradient(seconds=0.05)")
    (prediction,) = load_results(tmp_path / "out").predictions
    (shard,) = Store(tmp_path / "out").shards(prediction.key, COUNT)
    bare = min(shard.column("seconds"))
    assert bare > 0
    assert values["overhead"] == pytest.approx([seconds / (2 * bare) for seconds in values["seconds"]], rel=1e-9)
    assert min(values["overhead"]) > 1, "it slept"


def test_overhead_is_undefined_if_the_bare_pass_was_measured_elsewhere(tmp_path):
    run(tmp_path / "out", "Gradient", metrics="iou")
    for path in (tmp_path / "out").glob("cells/*/*/*/record.json"):
        record = json.loads(path.read_text())
        if "logits" in record:
            path.write_text(json.dumps(record | {"environment": "another machine"}))
    assert set(run(tmp_path / "out", "Gradient", metrics="overhead")["overhead"]) == {None}


def test_a_cpu_does_not_tell_its_peak(tmp_path):
    assert set(run(tmp_path / "out", "Noise")["peak-bytes"]) == {None}
    assert set(run(tmp_path / "out", "Noise")["overhead"]) == {None}, "noise takes no pass"
