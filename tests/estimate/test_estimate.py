"""What a run will cost, told before it is begun."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from xaibench.cli.main import cli
from xaibench.contracts import Entry, ModelCard, Sample, TaskCard
from xaibench.errors import UsageError
from xaibench.estimate import _Subject
from xaibench.estimate_cost import Cost
from xaibench.estimate_gpu import ARITHMETIC, BANDWIDTH, BATCH, LAUNCH, Gpu, Roofline, Traffic, gpu_named, traffic
from xaibench.estimate_probe import Probe, Trial
from xaibench.estimate_telling import duration
from xaibench.estimate_training import STEPS, held_out, training_seconds
from xaibench.store import Store

OPTIONS = (
    *("--models", "oracle-linear", "--tasks", "phantom-tiny", "--explainers", "saliency,gradcam"),
    *("--metrics", "iou,deletion,stability", "--no-references", "--limit", "6", "--device", "cpu"),
)


def call(*options):
    done = CliRunner().invoke(cli, [str(option) for option in options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def trial(**changed):
    plain = {"count": 32, "seconds": 3.3, "inside": 3.2, "forward": 1.0, "backward": 0.0, "peak": None, "base": None}
    return Trial(**{**plain, "batch": 8, "plain": True, **changed})


def test_an_explanation_takes_as_long_per_image_one_goes_ahead_and_each_shard_costs_the_rest():
    found = trial(seconds=3.5)  # 0.1 s per image, one ahead, and 0.2 s of rest for the one shard
    assert found.seconds_for(32) == pytest.approx(33 * 0.1 + 0.2)
    assert found.seconds_for(96) == pytest.approx(97 * 0.1 + 3 * 0.2)
    assert found.seconds_for(96, variant=True) == pytest.approx(96 * 0.1 + 3 * 0.2)


def test_what_one_slow_image_takes_beside_is_imports_and_counts_once():
    assert trial(count=1, seconds=9.0, inside=4.0).seconds_for(10) == pytest.approx(11 * 4.0)


def test_scores_grow_with_the_images():
    assert trial(seconds=3.2, inside=0.0).seconds_for(96) == pytest.approx(9.6)
    found = trial(seconds=3.2, inside=0.0, shard=1.6)  # 0.05 s for each of 32 images, and 1.6 s for the shard
    assert found.seconds_for(33) == pytest.approx(33 * 0.05 + 2 * 1.6)


def test_maps_that_show_something_are_told_from_flat_and_broken_ones():
    ramp, black, grey, broken = np.arange(4.0), np.zeros(4), np.full(4, 2.0), np.array([np.nan, 0, 1, 2])
    shard = SimpleNamespace(maps=lambda: np.stack([ramp, black, grey, broken]).reshape(4, 2, 2))
    store = SimpleNamespace(shards=lambda key, count: [shard])
    probe = SimpleNamespace(worker=SimpleNamespace(bench=SimpleNamespace(store=store)))
    assert Probe.shown(probe, SimpleNamespace(key="a", total=4), 4) == 0.25


@pytest.mark.parametrize(("seconds", "tried", "told"), [((0.2, 0.9, 0.4), 3, 0.4), ((5.0, 0.4, 0.4), 1, 5.0)])
def test_a_quick_metric_is_tried_on_several_explainers_and_the_middle_one_tells(seconds, tried, told):
    calls, remembered = [], []
    subject = SimpleNamespace(
        _tried=lambda cell, count: calls.append(cell) or trial(count=count, seconds=seconds[cell]),
        _most=lambda maker, cell: 32, _is_made=lambda maker, cell: True,
        _remember=lambda cell, found: remembered.append((cell, found.seconds)),
    )  # fmt: skip
    _Subject._try_on(subject, "abc", [0, 1, 2])
    assert len(calls) == tried
    assert remembered == [(0, told)]


def test_memory_for_gradients_grows_with_the_batch_that_for_masks_does_not():
    one = {"count": 1, "peak": 1100, "base": 1000}
    assert trial(**one, backward=1.0).peak_for(8) == 1000 + 8 * 100
    assert trial(**one).peak_for(8) == 1100
    assert trial(count=32, peak=1100, base=1000, backward=1.0).peak_for(8) == 1100
    assert trial().peak_for(8) is None


def test_the_passes_told_are_those_of_the_run_and_every_cell_has_its_time(tmp_path):
    out = tmp_path / "out"
    told = json.loads(call("plan", *OPTIONS, "--out", out, "--estimate", "--json"))
    assert told["unknown"] == 0
    assert all(row["seconds"] > 0 and row["how"].startswith("a trial") for row in told["cells"])
    planned = json.loads(call("plan", *OPTIONS, "--out", out, "--json"))
    assert [row["key"] for row in told["cells"]] == [row["key"] for row in planned if row["state"] == "missing"]
    call("run", *OPTIONS, "--out", out, "--no-audit", "--progress", "none", "--json")
    store = Store(out)
    explained = [row for row in told["cells"] if row["kind"] == "explain"]
    assert explained
    for row in explained:
        for name in ("forward", "backward"):
            counted = sum(sum(shard.column(name)) for shard in store.shards(row["key"], 6))
            assert row[name] == pytest.approx(counted), row["labels"]
    assert not (out / "cells").joinpath("trial").exists()
    assert "nothing is left to estimate" in call("plan", *OPTIONS, "--out", out, "--estimate")


def test_an_earlier_run_on_this_machine_is_believed_and_one_elsewhere_is_not(tmp_path):
    out = tmp_path / "out"
    call("run", *OPTIONS, "--out", out, "--no-audit", "--progress", "none", "--json")
    more = [option if option != "6" else "12" for option in OPTIONS]
    (file,) = (out / "runs").glob("*.json")
    run = json.loads(file.read_text())
    assert all(row["seconds"] > 0 for row in run["cells"] if row["status"] == "ok")
    for row in run["cells"]:
        row["seconds"] = 60.0
    file.write_text(json.dumps(run))
    told = json.loads(call("plan", *more, "--out", out, "--estimate", "--json"))
    assert {row["seconds"] for row in told["cells"]} == {120.0}  # twice the images
    assert {row["how"] for row in told["cells"]} == {"an earlier run"}
    (file,) = (out / "environments").glob("*.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), "machine": {"cpu": "another"}}))
    told = json.loads(call("plan", *more, "--out", out, "--estimate", "--json"))
    assert all(row["seconds"] < 60 for row in told["cells"])


def test_an_estimate_trains_nothing_and_keeps_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))
    small = ["--models", "cnn-elhouby", "--tasks", "phantom(size=64,train=64,val=16,test=6)", "--no-references"]
    options = [*small, "--explainers", "gradcam", "--metrics", "iou,mprt", "--device", "cpu", "--out", tmp_path / "out"]
    told = json.loads(call("plan", *options, "--estimate", "--json"))
    (training,) = [row for row in told["cells"] if row["kind"] == "train"]
    assert training["seconds"] > 0
    assert training["how"] == "its first steps"
    assert told["unknown"] == 0
    assert not list(tmp_path.glob("cache/weights/*/card.json"))
    assert not (tmp_path / "out").exists()


def test_for_a_named_gpu_the_source_of_its_figures_is_told(tmp_path):
    shown = call("plan", *OPTIONS, "--out", tmp_path / "out", "--estimate", "a100")
    assert "NVIDIA A100 data sheet" in shown
    assert "not measured" in shown
    told = json.loads(call("plan", *OPTIONS, "--out", tmp_path / "out", "--estimate", "a100", "--json"))
    assert told["where"] == "NVIDIA A100 SXM 80 GB"
    assert told["memory"] > 2**29
    with pytest.raises(UsageError, match="known are here"):
        gpu_named("gtx1")


class Slow:
    """Sleeps for every step of its training."""

    card = ModelCard(name="slow", summary="sleeps")
    steps = 200
    seconds = 0.02

    def __init__(self):
        self.done = 0

    def build(self, task):
        return nn.Linear(1, 1)

    def prepare(self, network, task, fold, workshop):
        import time

        for step in range(self.steps):
            time.sleep(self.seconds)
            self.done = step + 1
            workshop.progress("training", step + 1, self.steps)


class Task:
    card = TaskCard(name="t", summary="")
    classes, shape, folds = ("a", "b"), (1, 4, 4), 1

    def entries(self, split, fold):
        return [Entry(f"{split}{at}", "p", 0) for at in range({"train": 30, "val": 9, "test": 3}[split])]

    def load(self, entry):
        return Sample(entry, np.zeros(self.shape, np.float32))


def order_of(plugin):
    return SimpleNamespace(model=SimpleNamespace(plugin=plugin), task=SimpleNamespace(plugin=Task()), fold=0, seed=0)


def test_a_training_is_stopped_after_some_steps_and_told_in_full():
    slow = Slow()
    found = training_seconds(order_of(slow), "cpu")
    assert slow.done == STEPS
    bare = slow.steps * slow.seconds
    # A tenth more for held-out images: 9 of 30, each a third of a step. A busy machine sleeps longer.
    assert bare * 1.05 < found < bare * 2
    assert held_out(order_of(slow)) == 0.3


def test_a_training_that_tells_of_no_steps_is_not_known():
    silent = Slow()
    silent.steps = 0
    assert training_seconds(order_of(silent), "cpu") is None


CARD = Gpu("card", fp32=10.0, bf16=20.0, bandwidth=1.0, memory=8, source="made up")


def test_an_operation_is_as_slow_as_its_arithmetic_its_traffic_or_its_launch():
    arithmetic = Roofline(CARD, Traffic((10**12,), (0,), 0))
    assert arithmetic.each("fp32") == pytest.approx(0.1 / ARITHMETIC)
    assert arithmetic.each("bf16") == pytest.approx(0.05 / ARITHMETIC)
    assert Roofline(CARD, Traffic((1,), (10**12,), 0)).each("fp32") == pytest.approx(1 / BANDWIDTH)
    assert Roofline(CARD, Traffic((1, 1), (1, 1), 0)).each("fp32") == pytest.approx(2 * LAUNCH / BATCH)


def test_passes_are_as_fast_as_there_and_the_rest_as_slow_as_here():
    roofline = Roofline(CARD, Traffic((10**9,), (0,), 400))
    here = Cost(seconds=10.0, forward=20.0, backward=10.0, how="a trial")  # 40 passes of 0.2 s, and 2 s beside
    there = roofline.cell(here, 0.2, "fp32")
    assert there.seconds == pytest.approx(2.0 + 40 * roofline.each("fp32"))
    assert "card" in there.how
    unknown = Cost(how="not tried")
    assert roofline.cell(unknown, 0.2, "fp32") == unknown


def test_traffic_of_one_layer_by_hand():
    """4 pixels by 3 classes: 4 * 3 multiplications and additions; input, weights, bias and output are moved."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    classifier = SimpleNamespace(network=network, device=torch.device("cpu"), bind=lambda masks: torch.no_grad())
    sample = Sample(Entry("a", "p", 0), np.ones((1, 2, 2), np.float32))
    bench = SimpleNamespace(classifier=lambda _: classifier, entries=lambda *_: [], samples=lambda *_: [sample])
    found = traffic(bench, SimpleNamespace(cards={"model": {"sees": ""}}))
    assert sum(found.flops) == 2 * 4 * 3
    assert sum(found.bytes) == 4 * (4 + 12 + 3 + 3)
    assert found.weights == 4 * 15


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(None, "?"), (0.0123, "12 ms"), (5.04, "5.0 s"), (90, "1.5 min"), (5400, "1.5 h"), (2e5, "2.3 d")],
)
def test_durations_are_told_as_people_do(seconds, told):
    assert duration(seconds) == told
