"""Max-sensitivity and the randomisation test against Quantus: the same passes, the same explainer, in one run.

Run with `pytest tests/benchmarks/test_variants_speed.py --benchmark-only -s`. Both explain 8 images of 224 pixels by
their absolute gradient. What is timed of ours is a whole `run` that adds the metric to a finished one: planning, the
maps of all variants, storing them, reading and scoring them. The plain maps are there already, as Quantus is handed
its own; of the randomised networks Quantus explains the network as it was once more, which counts as one of its.
Both the clock's and the processor's seconds are told: on a machine that others use, the latter say more.
`XAIBENCH_SPEED_LAYERS`, `XAIBENCH_SPEED_DRAWS` and `XAIBENCH_SPEED_ROUNDS` make it larger or smaller.
"""

import os
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from xaibench.allocator import keep_memory
from xaibench.classifier import TorchClassifier
from xaibench.isolation import isolated_randomness
from xaibench.planning import Terms
from xaibench.progress import Silent
from xaibench.registry import create
from xaibench.runner import Request, run
from xaibench.selection import ordered

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its own dependencies
    import quantus

MODEL = f"{Path(__file__).with_name('untrained.py')}:ResNet18"
TASK = "phantom(size=224, train=8, val=8, test=16)"
IMAGES = 8
ROUNDS = int(os.environ.get("XAIBENCH_SPEED_ROUNDS", "3"))
LAYERS = int(os.environ.get("XAIBENCH_SPEED_LAYERS", "41"))  # a resnet18 has 41
DRAWS = int(os.environ.get("XAIBENCH_SPEED_DRAWS", "10"))


def request(folder, metrics):
    return Request(
        models=MODEL, explainers="saliency", tasks=TASK, metrics=metrics, terms=Terms(limit=IMAGES),
        references=False, audit=False, batch_size=IMAGES, out=folder,
    )  # fmt: skip


def adding(folder, metric):
    """Seconds of adding a metric to a run that has the plain maps: of the clock, and of the processor."""
    run(request(folder, "seconds"), Silent(), [])
    watch = stopwatch()
    summary = run(request(folder, metric), Silent(), [])
    assert summary.exit_code() == 0
    return watch()


def stopwatch():
    started = np.array([time.perf_counter(), time.process_time()])
    return lambda: np.array([time.perf_counter(), time.process_time()]) - started


def explain(model, inputs, targets, **_):
    """What our saliency does, of whatever network Quantus has at the time."""
    images = torch.as_tensor(np.asarray(inputs), dtype=torch.float32).requires_grad_()
    logits = model(images).gather(1, torch.as_tensor(np.asarray(targets))[:, None])
    (gradients,) = torch.autograd.grad(logits.sum(), images)
    return gradients.abs().amax(dim=1, keepdim=True).numpy()


@pytest.fixture(scope="module")
def given():
    """What Quantus is handed: the network, the images, their classes and plain maps."""
    keep_memory()
    task = create("tasks", TASK).plugin
    with isolated_randomness(0):
        network = create("models", MODEL).plugin.build(task)
    TorchClassifier(network, task.classes, None)  # frozen, as ours is
    images = np.stack([task.load(entry).image for entry in ordered(task, "test", 0)[:IMAGES]])
    with torch.inference_mode():
        targets = network(torch.from_numpy(images)).argmax(1).numpy()
    maps = explain(network, images, targets)
    return {
        "model": network, "x_batch": images, "y_batch": targets, "a_batch": maps, "explain_func": explain,
        "device": "cpu", "batch_size": IMAGES,
    }  # fmt: skip


def theirs(metric, given):
    """The same of Quantus."""
    watch = stopwatch()
    metric(**given)
    return watch()


def compare(benchmark, tmp_path, given, metric, twin, passes, twin_passes):
    """Turn about, so that whatever else runs here slows both."""
    ours, others = [], []
    for number in range(ROUNDS):
        ours.append(adding(tmp_path / str(number), metric))
        others.append(theirs(twin(), given))
    benchmark.pedantic(adding, args=(tmp_path / "last", metric), rounds=1)
    per_map, twin_per_map = np.min(ours, axis=0) / passes, np.min(others, axis=0) / twin_passes
    print(f"\n{metric}: {passes} maps of ours, {twin_passes} of Quantus")
    for row, clock in enumerate(("clock", "processor")):
        ratio = twin_per_map[row] / per_map[row]
        benchmark.extra_info[clock] = {"ours": per_map[row], "quantus": twin_per_map[row], "times_as_fast": ratio}
        seconds = f"{1000 * per_map[row]:.0f} ms per map, Quantus {1000 * twin_per_map[row]:.0f}"
        print(f"  by the {clock}: {seconds}; {ratio:.2f} times as fast")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))


@pytest.mark.benchmark(group="variants")
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore")
def test_max_sensitivity(tmp_path, benchmark, given):
    def twin():
        return quantus.MaxSensitivity(nr_samples=DRAWS, lower_bound=0.02, disable_warnings=True)

    metric, maps = f"max-sensitivity(draws={DRAWS}, radius=0.02)", DRAWS * IMAGES
    compare(benchmark, tmp_path, given, metric, twin, maps, maps)


@pytest.mark.benchmark(group="variants")
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore")
def test_randomised_networks(tmp_path, benchmark, given):
    """Quantus has no say in the number of layers: ours takes as many steps as asked for, both count what they made."""

    def twin():
        return quantus.MPRT(
            similarity_func=quantus.similarity_func.correlation_spearman,
            abs=False, normalise=False, skip_layers=LAYERS == 1, disable_warnings=True,
        )  # fmt: skip

    compare(
        benchmark, tmp_path, given, f"mprt(steps={LAYERS})", twin, LAYERS * IMAGES, (2 if LAYERS == 1 else 42) * IMAGES
    )
