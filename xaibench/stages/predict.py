"""What a model says about every test image: the accuracy beside each explanation, and the class that is explained."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from xaibench.batching import Batcher
from xaibench.clock import now
from xaibench.workbench import gate_masks, stack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xaibench.contracts import Cell, Sample
    from xaibench.workbench import Workbench


def predict(cell: Cell, bench: Workbench) -> None:
    """Store the logits of all samples of the cell."""
    batcher = Batcher(bench.batch_size(cell))
    cold = True
    for span in bench.todo(cell):
        entries = bench.entries(cell, *span)
        samples = bench.samples(cell, entries)
        if cold:  # the first pass of this size is slower than all that follow
            _ = list(batcher.run(samples[: batcher.size], lambda some: _logits(cell, bench, some)))
            cold = False
        done = [rows for _, rows in batcher.run(samples, lambda some: _logits(cell, bench, some))]
        record = {
            "ids": [entry.id for entry in entries],
            "patients": [entry.patient for entry in entries],
            "truth": [entry.label for entry in entries],
            "logits": [row for rows, _ in done for row in rows],
            "seconds": [seconds / len(rows) for rows, seconds in done for _ in rows],
            "device": bench.setting.device,
            "environment": bench.setting.environment,
        }
        bench.store.commit(cell.key, span, record)


def _logits(cell: Cell, bench: Workbench, samples: Sequence[Sample]) -> tuple[list[list[float]], float]:
    """Logits of a batch, and the time of the bare pass."""
    classifier = bench.classifier(cell)
    images = torch.from_numpy(stack(samples)).to(classifier.device)
    with torch.inference_mode(), classifier.bind(gate_masks(samples, cell.cards["model"]["sees"])):
        started = now(classifier.device)
        logits = classifier.logits(images)
        seconds = now(classifier.device) - started
    rows: list[list[float]] = logits.float().cpu().tolist()
    for sample, row in zip(samples, rows, strict=True):
        if not all(map(math.isfinite, row)):
            msg = f"the model's logits for {sample.entry.id} are not finite: {row}"
            raise ValueError(msg)
    return rows, seconds
