"""Maps of known quality on a model whose evidence is known: what every metric is held against."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
import torch

from xaibench.classifier import TorchClassifier
from xaibench.contracts import Batch, Case
from xaibench.errors import DataError
from xaibench.isolation import isolated_randomness
from xaibench.normalise import normalise
from xaibench.registry import create
from xaibench.seeds import derive
from xaibench.selection import ordered
from xaibench.workbench import gate_masks, regions_of, stack, union

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xaibench.contracts import Floats, Mask, Sample, Task

MODEL = "oracle-lesion"
# From best to worst: the truth, the truth under more and more noise, noise alone. The levels are such that a metric
# which looks at one pixel only can still tell them apart.
LADDER = ("roi", "roi-degraded(noise=0.5)", "roi-degraded(noise=0.6)", "random")
DISPLACED = "displaced"  # the truth, in the wrong place


class Witness:
    """Images with lesions, a model that can see nothing else, and heatmaps whose order is known."""

    def __init__(self, task: Task, count: int) -> None:
        self.samples = _with_lesions(task, count)
        model = create("models", MODEL).plugin
        with isolated_randomness(derive("audit")):
            network = model.build(task)
        self.classifier = TorchClassifier(network, task.classes, model.cam_layer(task), needs_gate=True)
        self.gates = gate_masks(self.samples, model.card.sees)
        self.images = stack(self.samples)
        self.masks = np.stack([union(sample.lesions, self.images.shape[2:]) for sample in self.samples])

    @property
    def patients(self) -> list[str]:
        """Whose images these are."""
        return [sample.entry.patient for sample in self.samples]

    @functools.cached_property
    def logits(self) -> Floats:
        """What the model says."""
        with torch.inference_mode(), self.classifier.bind(self.gates):
            return np.asarray(self.classifier.logits(torch.from_numpy(self.images)).numpy(), dtype=np.float32)

    @property
    def predictions(self) -> list[int]:
        """The class it says."""
        found: list[int] = self.logits.argmax(axis=1).tolist()
        return found

    @functools.cache  # noqa: B019  # a witness lives as long as its audit
    def maps(self, rung: str, variant: str = "") -> Floats:
        """Raw maps [B, H, W] of one rung of the ladder."""
        if rung == DISPLACED:
            return displace(self.maps(LADDER[0], variant), self.masks)
        # The same noise on every rung: only its level differs.
        seeds = tuple(derive("audit", variant, sample.entry.id) for sample in self.samples)
        batch = Batch(
            images=torch.from_numpy(self.images),
            targets=torch.tensor(self.predictions),
            ids=tuple(sample.entry.id for sample in self.samples),
            seeds=seeds,
            masks=self.masks,
        )
        maps = create("explainers", rung).plugin.explain(self.classifier, batch)
        return np.asarray(maps, dtype=np.float32)

    def case(self, rung: str, variants: Sequence[str], needs_model: bool) -> Case:
        """The case of one rung, with variants of the same quality."""
        raw = self.maps(rung)
        count = len(self.samples)
        return Case(
            maps=normalise(raw),
            raw=raw,
            images=self.images,
            masks=self.masks,
            lesions=tuple(sample.lesions for sample in self.samples),
            regions=regions_of(self.samples),
            labels=np.array([sample.entry.label for sample in self.samples]),
            targets=np.array(self.predictions),
            predictions=np.array(self.predictions),
            logits=self.logits,
            seeds=tuple(derive("audit", sample.entry.id) for sample in self.samples),
            seconds=np.linspace(0.1, 0.2, count),
            forward=np.arange(1.0, count + 1),
            backward=np.arange(1.0, count + 1),
            peak_bytes=np.arange(1.0, count + 1),
            bare_seconds=np.full(count, 0.01),
            variants={name: normalise(self.maps(rung, name)) for name in variants},
            classifier=self.classifier if needs_model else None,
        )


def _with_lesions(task: Task, count: int) -> list[Sample]:
    samples: list[Sample] = []
    for entry in ordered(task, "test", 0):
        sample = task.load(entry)
        if any(mask.any() for mask in sample.lesions):
            samples.append(sample)
        if len(samples) == count:
            break
    if len(samples) < 2:
        msg = f"{task.card.name} has {len(samples)} test images with a lesion mask; an audit needs two or more"
        raise DataError(msg)
    return samples


def displace(maps: Floats, masks: Mask) -> Floats:
    """Every map moved, round the borders, to where it covers least of the lesions it is about."""
    rows, columns = masks.shape[1:]
    moves = [(row, column) for row in (0, rows // 3, rows // 2) for column in (0, columns // 3, columns // 2)][1:]
    moved = []
    for one, mask in zip(maps, masks, strict=True):
        best = min(moves, key=lambda move: int((np.roll(mask, move, axis=(0, 1)) & mask).sum()))
        moved.append(np.roll(one, best, axis=(0, 1)))
    return np.stack(moved)
