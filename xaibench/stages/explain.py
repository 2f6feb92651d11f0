"""Heatmaps: explained in batches, checked, timed, counted and stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from xaibench import variants
from xaibench.batching import Batcher
from xaibench.clock import now
from xaibench.contracts import Batch
from xaibench.isolation import isolated_randomness
from xaibench.selection import target_of
from xaibench.workbench import gate_masks, union

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xaibench.classifier import TorchClassifier
    from xaibench.contracts import Cell, Explainer, Floats, Sample
    from xaibench.mapfiles import Coding
    from xaibench.workbench import Workbench


@dataclass(frozen=True)
class Assignment:
    """A sample with the picture of it and the class to explain, and the seed to do it with."""

    sample: Sample
    image: Floats
    target: int
    seed: int


@dataclass
class Work:
    """What one shard has gathered so far."""

    maps: list[Floats] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    forward: list[float] = field(default_factory=list)
    backward: list[float] = field(default_factory=list)
    peak_bytes: list[int | None] = field(default_factory=list)


@dataclass(frozen=True)
class Made:
    """What one call of the explainer gave and took."""

    maps: Floats
    seconds: float
    forward: int
    backward: int
    peak_bytes: int | None


def explain(cell: Cell, bench: Workbench) -> None:
    """Make and store the maps of all samples of the cell."""
    explainer: Explainer = bench.plugin("explainers", cell.references["explainer"]).plugin
    batcher = Batcher(bench.batch_size(cell))
    cold = not cell.identity["variant"]  # what variants cost is told nowhere
    for span in bench.todo(cell):
        assignments = _assign(cell, bench, span)
        guard, work = bench.guard(cell), Work()
        if cold:  # the first call pays for imports, kernels and copies: one image goes ahead, unmeasured
            _explain_batch(cell, bench, explainer, assignments[:1])
            cold = False
        for batch, done in batcher.run(assignments, lambda some: _explain_batch(cell, bench, explainer, some)):
            _gather(work, batch, done)
        if changed := guard.changes():
            bench.forget_classifiers()
            msg = f"{cell.labels['explainer']} changed the model: {changed}"
            raise RuntimeError(msg)
        record = _record(assignments, work, bench, batcher.size)
        bench.store.commit(cell.key, span, record, np.stack(work.maps), _coding(cell, bench))


def _coding(cell: Cell, bench: Workbench) -> Coding:
    """Rounding is part of the key; packing loses nothing, and is not."""
    if cell.identity.get("maps") == "fp16":
        return "fp16"
    return "packed" if bench.setting.maps == "packed" else "exact"


def _assign(cell: Cell, bench: Workbench, span: tuple[int, int]) -> list[Assignment]:
    """Give every sample of the span its class and its own seed."""
    samples = bench.samples(cell, bench.entries(cell, *span))
    shard = bench.store.shard(cell.inputs["prediction"], *span)
    if shard is None:
        cause = (bench.store.troubles(cell.inputs["prediction"]) or {}).get("reason", "they were never made")
        msg = f"no predictions to explain: {cause}"
        raise RuntimeError(msg)
    classes = bench.task(cell).classes
    return [
        _assignment(cell, classes, sample, logits)
        for sample, logits in zip(samples, shard.column("logits"), strict=True)
    ]


def _assignment(cell: Cell, classes: Sequence[str], sample: Sample, logits: Sequence[float]) -> Assignment:
    variant, run = variants.parse(cell.identity["variant"]), cell.identity["seed"]
    plain_seed = variants.map_seed(variants.PLAIN, run, sample.entry.id)
    target = target_of(cell.identity["target"], classes, sample.entry.label, int(np.argmax(logits)))
    return Assignment(
        sample,
        variants.image_of(variant, sample.image, plain_seed),
        variants.target_of(variant, target, logits, plain_seed),
        variants.map_seed(variant, run, sample.entry.id),
    )


def _explain_batch(cell: Cell, bench: Workbench, explainer: Explainer, assignments: Sequence[Assignment]) -> Made:
    """One call of the explainer."""
    classifier = bench.classifier(cell)
    samples = [assignment.sample for assignment in assignments]
    batch = _batch(cell, bench, classifier, assignments)
    before = (classifier.counters.forward, classifier.counters.backward)
    with (
        isolated_randomness(batch.seeds[0]),
        classifier.bind(gate_masks(samples, cell.cards["model"]["sees"])),
    ):
        lying = _bytes_at_start(classifier.device)
        started = now(classifier.device)
        maps = explainer.explain(classifier, batch)
        seconds = now(classifier.device) - started
        peak = None if lying is None else torch.cuda.max_memory_allocated(classifier.device) - lying
    plain = maps.detach().float().cpu().numpy() if isinstance(maps, torch.Tensor) else maps
    array = np.array(plain, dtype=np.float32)  # a copy: the explainer may use its buffer again
    _check_shape(array, batch)
    passed = (classifier.counters.forward - before[0], classifier.counters.backward - before[1])
    return Made(array, seconds, *passed, peak)


def _batch(cell: Cell, bench: Workbench, classifier: TorchClassifier, assignments: Sequence[Assignment]) -> Batch:
    """The batch, with evidence only for the explainers whose card asks for it."""
    samples = [assignment.sample for assignment in assignments]
    needs = cell.cards["explainer"]["needs"]
    masks = np.stack([union(sample.lesions, sample.image.shape[1:]) for sample in samples])
    return Batch(
        images=torch.from_numpy(np.stack([assignment.image for assignment in assignments])).to(classifier.device),
        targets=torch.tensor([assignment.target for assignment in assignments], device=classifier.device),
        ids=tuple(sample.entry.id for sample in samples),
        seeds=tuple(assignment.seed for assignment in assignments),
        masks=masks if "masks" in needs else None,
        prior=bench.prior(cell.references["task"], cell.identity["fold"]) if "prior" in needs else None,
    )


def _check_shape(maps: Floats, batch: Batch) -> None:
    expected = (len(batch.ids), *batch.images.shape[2:])
    if maps.shape != expected:
        msg = f"the explainer returned maps of shape {maps.shape}; {expected} is [images, rows, columns]"
        raise ValueError(msg)


def _bytes_at_start(device: torch.device) -> int | None:
    """Device memory in use before a call; its peak is counted from here. A CPU does not tell."""
    if device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def _gather(work: Work, batch: Sequence[Assignment], made: Made) -> None:
    share = 1 / len(batch)
    work.maps.extend(made.maps)
    work.seconds.extend([made.seconds * share] * len(batch))
    work.forward.extend([made.forward * share] * len(batch))
    work.backward.extend([made.backward * share] * len(batch))
    work.peak_bytes.extend([made.peak_bytes] * len(batch))  # whole: a share of it would be enough for no image


def _record(assignments: Sequence[Assignment], work: Work, bench: Workbench, batch_size: int) -> dict[str, Any]:
    return {
        "ids": [assignment.sample.entry.id for assignment in assignments],
        "targets": [assignment.target for assignment in assignments],
        "seeds": [assignment.seed for assignment in assignments],
        "seconds": work.seconds,
        "forward": work.forward,
        "backward": work.backward,
        "peak_bytes": work.peak_bytes,
        "batch_size": batch_size,
        "device": bench.setting.device,
        "environment": bench.setting.environment,
    }
