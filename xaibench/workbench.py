"""What a worker has at hand: tasks, samples, classifiers, priors; each made once and kept while there is room."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from xaibench.caching import cache_root
from xaibench.classifier import TorchClassifier
from xaibench.errors import Damaged
from xaibench.guard import Guard
from xaibench.identity import key_of, task_identity
from xaibench.networks import Unshifted, forgetful, from_the_output, inside
from xaibench.orders import Order
from xaibench.registry import Loaded, create
from xaibench.selection import ordered
from xaibench.store import Store
from xaibench.variants import Variant, order_of, parse
from xaibench.weights import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from torch import nn

    from xaibench.contracts import Cell, Entry, Floats, Mask, Sample, Task
    from xaibench.places import Location
    from xaibench.store import Shard

SAMPLE_BYTES = 128 * 2**20  # decoded samples kept in memory


@dataclass(frozen=True)
class Setting:
    """Where and how work is done here. Recorded, but part of no key."""

    out: Location
    device: str
    batch_size: int
    environment: str  # digest of the environment record
    maps: str = "exact"  # how they are stored; see `xaibench.mapfiles`


class Workbench:
    """The things that cells share in one process."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.store = Store(setting.out)
        self.device = torch.device(setting.device)
        # Not `functools.cache`, which would keep the workbench, and all that it holds, for the life of the process.
        self._plugins: dict[tuple[str, str], Loaded] = {}
        self._entries: dict[tuple[str, int], list[Entry]] = {}
        self._priors: dict[tuple[str, int], Floats] = {}
        self._samples: dict[str, Sample] = {}
        self._kept_of = ""  # the task of these
        self._sample_bytes = 0
        self._least: dict[tuple[str, int], dict[tuple[Any, ...], float]] = {}
        self._classifiers: OrderedDict[str, TorchClassifier] = OrderedDict()
        self._guards: dict[str, Guard] = {}
        # By model and weights, for other code may have the same weights: the network, and its layers in order.
        self._originals: dict[tuple[str, str], tuple[nn.Module, list[str]]] = {}

    def plugin(self, group: str, reference: str) -> Loaded:
        """A plugin, made once."""
        if (group, reference) not in self._plugins:
            self._plugins[group, reference] = create(group, reference)
        return self._plugins[group, reference]

    def task(self, cell: Cell) -> Task:
        """The task of a cell."""
        task: Task = self.plugin("tasks", cell.references["task"]).plugin
        return task

    def entries(self, cell: Cell, start: int, stop: int) -> list[Entry]:
        """The samples of a shard."""
        key = (cell.references["task"], cell.identity["fold"])
        if key not in self._entries:
            self._entries[key] = ordered(self.task(cell), "test", cell.identity["fold"])
        return self._entries[key][start:stop]

    def todo(self, cell: Cell) -> list[tuple[int, int]]:
        """The spans of a cell that are still to be done here."""
        return self.store.missing(cell.key, cell.count, cell.part)

    def set_aside_damaged(self, shards: Iterable[Shard]) -> None:
        """Let shards whose maps are not what was written be missing, so that the next run makes them again."""
        for shard in shards:
            try:
                _ = shard.has_maps and shard.maps()
            except Damaged:
                self.store.set_aside(shard.name)

    def least_seconds(self, key: str, count: int) -> dict[tuple[Any, ...], float]:
        """The least time per sample of a cell of predictions, by environment and device: from parts, one at a time."""
        if (key, count) not in self._least:
            found: dict[tuple[Any, ...], float] = {}
            for shard in self.store.each_shard(key, count):
                place = tuple(shard.record.get(name) for name in ("environment", "device"))
                if "seconds" in shard.record:  # older ones have none
                    found[place] = min([*shard.column("seconds"), found.get(place, math.inf)])
            self._least = {(key, count): found}
        return self._least[key, count]

    def samples(self, cell: Cell, entries: Sequence[Entry]) -> list[Sample]:
        """Decoded samples, from memory where they still are."""
        return [self._sample(cell, entry) for entry in entries]

    def _sample(self, cell: Cell, entry: Entry) -> Sample:
        """Cells go through a task in one order, again and again: what came first is kept, the rest is made each time.

        The least recently used would be gone just before it is asked for again.
        """
        task = cell.references["task"]
        if task != self._kept_of:
            self._kept_of, self._sample_bytes = task, 0
            self._samples.clear()
        if (sample := self._samples.get(entry.id)) is None:
            sample = _sealed(self.task(cell).load(entry))
            if self._sample_bytes + _size(sample) <= SAMPLE_BYTES:
                self._samples[entry.id] = sample
                self._sample_bytes += _size(sample)
        return sample

    def classifier(self, cell: Cell) -> TorchClassifier:
        """The classifier of a cell. One model is kept at a time: cells come grouped by model."""
        key, variant = _network_key(cell), parse(cell.identity.get("variant", ""))
        if key not in self._classifiers:
            self.forget_classifiers()
            self._classifiers[key] = self._load_classifier(cell, variant)
        return self._classifiers[key]

    def guard(self, cell: Cell) -> Guard:
        """What tells whether the network of a cell has changed since it was loaded."""
        network, key = self.classifier(cell).network, _network_key(cell)
        if key not in self._guards:
            self._guards[key] = Guard(network)
        return self._guards[key]

    def _load_classifier(self, cell: Cell, variant: Variant) -> TorchClassifier:
        model = self.plugin("models", cell.references["model"])
        task = self.plugin("tasks", cell.references["task"])
        gated = "masks" in model.card["needs"]

        def probe(network: nn.Module) -> None:
            self._warm_up(TorchClassifier(network, task.plugin.classes, None, needs_gate=gated), task.plugin)

        classifier = TorchClassifier(
            self._network(cell, variant, Order(model, task, cell.identity["fold"], cell.identity["seed"]), probe),
            task.plugin.classes,
            inside(variant, model.plugin.cam_layer(task.plugin)),
            device=self.setting.device,
            precision=cell.identity["precision"],
            needs_gate=gated,
        )
        if not variant.spoils:  # of these there are many, and nobody measures them
            self._warm_up(classifier, task.plugin)
        return classifier

    def _network(self, cell: Cell, variant: Variant, order: Order, probe: Callable[[nn.Module], None]) -> nn.Module:
        """The network of a variant. Those that are spoilt are copies of one that is kept, for there are many."""
        file, digest = cell.references.get("weights"), cell.identity.get("own_weights", cell.identity["weights"])

        def loaded() -> nn.Module:
            return load(order_of(variant, order), digest, Path(file) if file else None)

        if not variant.spoils:
            return Unshifted(loaded()) if variant.kind == "shifted" else loaded()
        if (own := (order.model.reference, digest)) not in self._originals:
            self._originals.clear()
            network = loaded()
            self._originals[own] = (network, from_the_output(network, probe))
        original, layers = self._originals[own]
        return forgetful(original, layers, variant, cell.identity["seed"])

    def _warm_up(self, classifier: TorchClassifier, task: Task) -> None:
        """One pass that nobody measures: the first one pays for loading kernels. One image always fits."""
        blank = torch.zeros((1, *task.shape), device=classifier.device)
        with torch.inference_mode(), classifier.bind(np.ones((len(blank), *task.shape[1:]), dtype=bool)):
            classifier.logits(blank)

    def batch_size(self, cell: Cell) -> int:
        """Samples at once; a network whose gate depends on the sample is fed one at a time."""
        return 1 if "masks" in cell.cards["model"]["needs"] else self.setting.batch_size

    def forget_classifiers(self) -> None:
        """Drop networks that a plugin has changed; the next cell loads them afresh."""
        self._classifiers.clear()
        self._guards.clear()

    def prior(self, reference: str, fold: int) -> Floats:
        """Mean lesion mask of the training images; drawn once and kept in the user's cache."""
        if (reference, fold) not in self._priors:
            self._priors[reference, fold] = self._prior(reference, fold)
        return self._priors[reference, fold]

    def _prior(self, reference: str, fold: int) -> Floats:
        loaded = self.plugin("tasks", reference)
        path = cache_root() / "priors" / f"{key_of({**task_identity(loaded), 'fold': fold})}.npy"
        prior: Floats = np.load(path, allow_pickle=False) if path.exists() else _save_prior(path, loaded.plugin, fold)
        prior.setflags(write=False)
        return prior


def _network_key(cell: Cell) -> str:
    names = ("task", "model", "fold", "precision", "weights", "seed")
    network = parse(cell.identity.get("variant", "")).network
    return key_of({"network": network, **{name: cell.identity[name] for name in names}})


def _arrays(sample: Sample) -> list[Any]:
    return [sample.image, *sample.lesions, *sample.regions.values()]


def _sealed(sample: Sample) -> Sample:
    """Samples are shared by all plugins: one that writes into them fails, and harms no other."""
    for array in _arrays(sample):
        array.setflags(write=False)
    return sample


def _size(sample: Sample) -> int:
    return sum(array.nbytes for array in _arrays(sample))


def union(masks: Sequence[Mask], shape: tuple[int, ...]) -> Mask:
    """All lesions of an image in one mask."""
    found: Mask = np.logical_or.reduce([np.zeros(shape, dtype=bool), *masks])
    return found


def _draw_prior(task: Task, fold: int) -> Floats:
    total = np.zeros(task.shape[1:], dtype=np.float64)
    entries = task.entries("train", fold)
    for entry in entries:
        total += union(task.load(entry).lesions, total.shape)
    return (total / max(len(entries), 1)).astype(np.float32)


def _save_prior(path: Path, task: Task, fold: int) -> Floats:
    prior = _draw_prior(task, fold)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{np.random.default_rng().integers(2**63)}.npy")
    np.save(beside, prior, allow_pickle=False)
    beside.replace(path)
    return prior


def stack(samples: Sequence[Sample]) -> Floats:
    """Images [B, C, H, W]."""
    return np.stack([sample.image for sample in samples])


def gate_masks(samples: Sequence[Sample], sees: str) -> Mask:
    """What a network gated by evidence is allowed to see of each sample."""
    regions: list[Any] = [
        sample.lesions if sees == "lesions" else [sample.regions[sees]] if sees in sample.regions else []
        for sample in samples
    ]
    return np.stack([union(masks, sample.image.shape[1:]) for masks, sample in zip(regions, samples, strict=True)])


def regions_of(samples: Sequence[Sample]) -> dict[str, Mask]:
    """Every region that some sample of the batch has, [B, H, W]; an empty mask where a sample lacks it."""
    names = {name for sample in samples for name in sample.regions}
    empty = np.zeros(samples[0].image.shape[1:], dtype=bool)
    return {name: np.stack([sample.regions.get(name, empty) for sample in samples]) for name in sorted(names)}
