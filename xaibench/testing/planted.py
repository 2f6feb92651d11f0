"""Images in which something was planted, so that where it lies is known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from xaibench.contracts import Batch, Case, Entry, Sample, TaskCard
from xaibench.normalise import normalise
from xaibench.seeds import derive
from xaibench.testing.networks import CLASSES
from xaibench.workbench import regions_of, stack, union

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xaibench.contracts import Classifier, ExplainerNeed, Floats, Mask, Split

SIDE = 7  # of a planted square
EVERYTHING: frozenset[ExplainerNeed] = frozenset({"masks", "prior"})


def planted(entry: Entry, shape: tuple[int, int, int] = (1, 32, 32)) -> Sample:
    """Dim noise with a bright square, the lesion, and a white corner, the region "marker".

    The square is the brighter the higher the label. An entry of label 0 has none.
    """
    rng = np.random.default_rng(derive("planted", entry.id))
    _, H, W = shape
    image = (rng.random(shape) * 0.4).astype(np.float32)
    lesion, marker = np.zeros((H, W), dtype=bool), np.zeros((H, W), dtype=bool)
    row, column = int(rng.integers(3, max(H - SIDE, 4))), int(rng.integers(3, max(W - SIDE, 4)))
    lesion[row : row + SIDE, column : column + SIDE] = entry.label > 0
    image[:, lesion] += np.float32(0.25 * entry.label)
    marker[:2, :3] = True
    image[:, marker] = 1
    return Sample(entry, image, (lesion,) if entry.label else (), {"marker": marker})


class PlantedTask:
    """A task of planted images; patients have two images each."""

    card = TaskCard(name="planted", summary="bright squares on noise", scenario="a square, the brighter the worse")
    folds = 1

    def __init__(
        self, channels: int = 1, height: int = 32, width: int = 32, classes: tuple[str, ...] = CLASSES, count: int = 12
    ) -> None:
        self.shape, self.classes, self.count = (channels, height, width), classes, count

    def fingerprint(self) -> str:
        """The drawing never changes."""
        return f"planted 1 {self.shape}"

    def entries(self, split: Split, fold: int) -> list[Entry]:
        """As many of each class."""
        return [
            Entry(f"{split}-{number:03d}", f"{split}-p{number // 2}", number % len(self.classes))
            for number in range(self.count)
        ]

    def load(self, entry: Entry) -> Sample:
        """Drawn anew each time."""
        return planted(entry, self.shape)


def planted_samples(count: int = 4, shape: tuple[int, int, int] = (1, 32, 32), normal: bool = False) -> list[Sample]:
    """Samples that have a lesion, or with `normal` none."""
    labels = [0 if normal else 1 + number % (len(CLASSES) - 1) for number in range(count)]
    return [planted(Entry(f"image-{n}", f"p{n}", label), shape) for n, label in enumerate(labels)]


def batch_of(samples: Sequence[Sample], evidence: frozenset[ExplainerNeed] = EVERYTHING) -> Batch:
    """What an explainer is given; of masks and prior only what it asks for."""
    masks = _unions(samples)
    return Batch(
        images=torch.from_numpy(stack(samples)),
        targets=torch.tensor([number % len(CLASSES) for number in range(len(samples))]),
        ids=tuple(sample.entry.id for sample in samples),
        seeds=tuple(derive("planted seed", sample.entry.id) for sample in samples),
        masks=masks if "masks" in evidence else None,
        prior=_prior(masks) if "prior" in evidence else None,
    )


def part_of(batch: Batch, rows: Sequence[int]) -> Batch:
    """Some images of a batch, in the given order."""
    index = list(rows)
    return replace(
        batch,
        images=batch.images[index],
        targets=batch.targets[index],
        ids=tuple(batch.ids[row] for row in index),
        seeds=tuple(batch.seeds[row] for row in index),
        masks=None if batch.masks is None else batch.masks[index],
    )


def _prior(masks: Mask) -> Floats:
    """Brightest in the middle, as where lesions usually are; the masks of three images are too few to tell."""
    rows, columns = (np.hanning(side + 2)[1:-1] for side in masks.shape[1:])
    return np.outer(rows, columns).astype(np.float32)


def case_of(
    samples: Sequence[Sample],
    raw: Floats,
    variants: Sequence[str] = (),
    classifier: Classifier | None = None,
) -> Case:
    """What a metric is given for raw maps [B, H, W], with variants of them that differ a little, and plain costs."""
    count, targets = len(samples), np.array([sample.entry.label for sample in samples], dtype=np.int64)
    logits = _logits(samples, classifier)
    return Case(
        maps=normalise(raw),
        raw=raw,
        images=stack(samples),
        masks=_unions(samples),
        lesions=tuple(sample.lesions for sample in samples),
        regions=regions_of(samples),
        labels=targets,
        targets=targets,
        predictions=logits.argmax(axis=1),
        logits=logits,
        seeds=tuple(derive("planted seed", sample.entry.id) for sample in samples),
        seconds=np.linspace(0.1, 0.2, count),
        forward=np.arange(1.0, count + 1),
        backward=np.arange(1.0, count + 1),
        peak_bytes=np.arange(1.0, count + 1),
        bare_seconds=np.full(count, 0.01),
        variants={name: normalise(raw + noise_maps(samples, name) / np.float32(4)) for name in variants},
        classifier=classifier,
    )


def noise_maps(samples: Sequence[Sample], name: str = "noise") -> Floats:
    """Maps of noise, each from the id of its sample."""
    seeds = [derive(name, sample.entry.id) for sample in samples]
    maps = [np.random.default_rng(seed).random(samples[0].image.shape[1:]) for seed in seeds]
    return np.stack(maps).astype(np.float32)


def lesion_maps(samples: Sequence[Sample]) -> Floats:
    """The lesions themselves."""
    return _unions(samples).astype(np.float32)


def _unions(samples: Sequence[Sample]) -> Mask:
    return np.stack([union(sample.lesions, sample.image.shape[1:]) for sample in samples])


def _logits(samples: Sequence[Sample], classifier: Classifier | None) -> Floats:
    if classifier is None:
        return np.tile(np.arange(3, dtype=np.float32), (len(samples), 1))
    with torch.no_grad():
        return np.asarray(classifier.logits(torch.from_numpy(stack(samples))).numpy(), dtype=np.float32)
