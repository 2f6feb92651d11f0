"""What the harness adds to the bare passes: both in one run, as a ratio.

Run with `pytest tests/benchmarks --benchmark-only -s`.
"""

import time

import pytest
import torch

from xaibench.allocator import keep_memory
from xaibench.progress import Silent
from xaibench.runner import Request, Terms, run

IMAGES, SIZE, BATCH = 64, 128, 8


def bare_seconds(classifier, images):
    """Forward and backward on the same images, in the same batches, and nothing else."""
    started = time.perf_counter()
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH].requires_grad_()
        torch.autograd.grad(classifier.logits(batch).max(dim=1).values.sum(), batch)
    return time.perf_counter() - started


def request(folder, metrics="iou"):
    return Request(
        models="resnet18(epochs=1)",
        explainers="saliency",
        tasks=f"phantom(size={SIZE}, train=32, val=8, test={IMAGES})",
        metrics=metrics,
        terms=Terms(),
        references=False,
        audit=False,
        batch_size=BATCH,
        out=folder,
    )


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))


@pytest.mark.benchmark(group="harness")
def test_explaining_through_the_harness_against_the_bare_passes(tmp_path, benchmark, cache):
    from xaibench.classifier import TorchClassifier
    from xaibench.registry import create

    keep_memory()
    folders = (tmp_path / f"out{number}" for number in range(100))
    run(request(next(folders), metrics="seconds"), Silent(), [])  # trains, and warms up
    task = create("tasks", f"phantom(size={SIZE})").plugin
    classifier = TorchClassifier(create("models", "resnet18").plugin.build(task), task.classes, None)
    images = torch.rand(IMAGES, 1, SIZE, SIZE)
    bare_seconds(classifier, images)
    benchmark.pedantic(lambda: run(request(next(folders)), Silent(), []), rounds=5)
    bare = min(bare_seconds(classifier, images) for _ in range(5))
    benchmark.extra_info["bare_seconds"] = bare
    benchmark.extra_info["whole_run_over_bare_passes"] = benchmark.stats.stats.min / bare
    print(f"\na whole run over the bare passes: {benchmark.stats.stats.min / bare:.2f}")


@pytest.mark.benchmark(group="harness")
def test_going_on_with_a_finished_run(tmp_path, benchmark, cache):
    folder = tmp_path / "out"
    run(request(folder), Silent(), [])
    benchmark.pedantic(lambda: run(request(folder), Silent(), []), rounds=5)
