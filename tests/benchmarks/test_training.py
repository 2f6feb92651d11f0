"""What the trainer loses to the bare network: images per second in training, against the same network on random data.

    pytest tests/benchmarks/test_training.py --benchmark-only -s

On a GPU where there is one, else on the CPU. XAIBENCH_BENCH_IMAGES (per epoch), _BATCH, _SIDE make it smaller.
"""

import os
import time

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from xaibench.contracts import Entry, Sample, Workshop
from xaibench.precision import has_fast_bf16
from xaibench.registry import create
from xaibench_models.recipes import find
from xaibench_models.trainer import train

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BATCH = int(os.environ.get("XAIBENCH_BENCH_BATCH", 128 if DEVICE == "cuda" else 16))
IMAGES = int(os.environ.get("XAIBENCH_BENCH_IMAGES", 64 * BATCH if DEVICE == "cuda" else 10 * BATCH))
SIDE = int(os.environ.get("XAIBENCH_BENCH_SIDE", 224))


class Noise:
    """Images that cost nothing to load."""

    card = type("Card", (), {"name": "noise"})
    shape, classes, folds = (1, SIDE, SIDE), ("a", "b", "c"), 1

    def entries(self, split, fold):
        return [Entry(f"{split}{at}", f"{split}{at}", at % 3) for at in range(IMAGES if split == "train" else BATCH)]

    def load(self, entry):
        return Sample(entry, np.full(self.shape, 0.1 * (entry.label + 1), np.float32))


def sync():
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def bare(network, precision, channels_last):
    """Seconds per image of forward, backward and step on random data that is there already."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = network.to(DEVICE, memory_format=layout).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
    images = torch.rand(BATCH, 1, SIDE, SIDE, device=DEVICE).to(memory_format=layout)
    labels = torch.arange(BATCH, device=DEVICE) % 3
    times = []
    for _ in range(max(4, IMAGES // BATCH)):
        sync()
        started = time.perf_counter()
        with torch.autocast(DEVICE, torch.bfloat16, enabled=precision == "bf16"):
            loss = F.cross_entropy(network(images).float(), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        sync()
        times.append((time.perf_counter() - started) / BATCH)
    return float(np.median(times[1:]))


@pytest.mark.parametrize("name", ["resnet50", "hmc"])
def test_training_against_the_bare_passes(benchmark, name, tmp_path):
    from dataclasses import replace

    def build():
        return create("models", name).plugin.build(Noise())

    recipe = replace(find("quick"), epochs=3, batch_size=BATCH)
    report = benchmark.pedantic(
        lambda: train(build(), Noise(), 0, Workshop(tmp_path, DEVICE, 0, lambda *_: None), recipe, name), rounds=1
    )
    ours = sorted(row["seconds"] for row in report["curve"])[0] / IMAGES  # the epoch that nothing disturbed
    native = "bf16" if has_fast_bf16(DEVICE) else "fp32"
    fast, plain = bare(build(), native, channels_last=True), bare(build(), "fp32", channels_last=False)
    benchmark.extra_info.update(
        device=DEVICE, precision=report["precision"], images_per_second=1 / ours, overhead=ours / fast,
        faster_than_plain_fp32=plain / ours,
    )  # fmt: skip
    print(
        f"\n{name} at {SIDE} px, batch {BATCH}, {DEVICE}: {1 / ours:.1f} images/s ({report['precision']}), "
        f"{ours / fast:.2f} x the bare passes ({native}, channels last), {plain / ours:.2f} x as fast as fp32 eager"
    )
