"""An explainer on trial: the images and toy networks it is tried on, and what it did there."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from xaibench.errors import UsageError
from xaibench.guard import Guard
from xaibench.isolation import isolated_randomness
from xaibench.testing.networks import AttentiveCNN, ToyCNN, ToyTransformer, classifier_of
from xaibench.testing.planted import EVERYTHING, batch_of, planted_samples
from xaibench.testing.trying import Trial
from xaibench.testing.verdicts import Broken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import nn

    from xaibench.classifier import TorchClassifier
    from xaibench.contracts import Batch, Floats, Precision
    from xaibench.testing.subjects import Subject

COUNT = 3
SHAPE = (3, 32, 32)
NETWORKS: tuple[type[nn.Module], ...] = (ToyCNN, ToyTransformer, AttentiveCNN)
CLOSE = 1e-4  # of the largest value: sums of floats in another order differ


class ExplainerTrial(Trial):
    """One explainer; every call is made as the harness makes it."""

    def __init__(self, subject: Subject, network: type[nn.Module] | None = None) -> None:
        super().__init__(subject)
        self.networks = (network,) if network else NETWORKS

    @property
    def needs(self) -> frozenset[Any]:
        """What the card asks for."""
        return frozenset(self.card["needs"])

    @cached_property
    def network(self) -> type[nn.Module]:
        """The first kind of toy network that the explainer does not refuse."""
        refusals = []
        for kind in self.networks:
            if "attention" in self.needs and kind is ToyCNN:
                continue
            try:
                self.call(self.batch(), self.classifier(kind=kind, everything=True), everything=True)
            except UsageError as error:
                refusals.append(f"{kind.__name__}: {error}")
                continue
            except Exception:  # it takes the network, and another check will say what is wrong
                return kind
            return kind
        raise Broken(f"it refuses every toy network, so nothing was tried: {'; '.join(refusals)}")

    def classifier(
        self,
        channels: int = SHAPE[0],
        *,
        kind: type[nn.Module] | None = None,
        everything: bool = False,
        precision: Precision = "fp32",
    ) -> TorchClassifier:
        """A toy network, frozen. Its CAM layer is named only if the card asks for it, or with `everything`."""
        chosen = kind or self.network
        with isolated_randomness(0):  # one of the author's own may draw its weights: the same ones every time
            network = chosen(channels)
        layer = "" if everything or "cam_layer" in self.needs else None
        return classifier_of(network, cam_layer=layer, precision=precision)

    def batch(self, shape: tuple[int, int, int] = SHAPE, count: int = COUNT) -> Batch:
        """Planted images with all evidence."""
        return batch_of(planted_samples(count, shape))

    def declared(self, batch: Batch) -> Batch:
        """The batch with the evidence that the card asks for."""
        missing = dict.fromkeys(EVERYTHING - self.needs)
        return replace(batch, **missing)  # type: ignore[arg-type]  # only names of optional fields

    def call(self, batch: Batch, classifier: TorchClassifier, *, everything: bool = False) -> Any:
        """One call, as the harness makes it; with `everything` whatever the card asks for."""
        given = batch if everything else self.declared(batch)
        with isolated_randomness(given.seeds[0]):
            return self.made.plugin.explain(classifier, given)

    def maps(self, batch: Batch | None = None, classifier: TorchClassifier | None = None) -> Floats:
        """Raw maps as the harness keeps them."""
        given = self.batch() if batch is None else batch
        return as_array(self.call(given, classifier or self.classifier(given.images.shape[1])))

    @cached_property
    def first(self) -> First:
        """The first call of all, watched."""
        return First(self)

    def evidence(self) -> dict[str, NDArray[Any]]:
        """What another process must find too."""
        return {"maps": self.maps()}


class First:
    """What came out of a call, and what was seen meanwhile."""

    def __init__(self, trial: ExplainerTrial) -> None:
        classifier, self.batch = trial.classifier(), trial.declared(trial.batch())
        self.copy = copied(self.batch)
        guard = Guard(classifier.network)
        trial.made  # noqa: B018  # made outside of what is watched
        with trial.watch():
            self.answer = trial.made.plugin.explain(classifier, self.batch)
        self.changes = guard.changes()
        self.forward, self.backward = classifier.counters.forward, classifier.counters.backward

    @property
    def maps(self) -> Floats:
        """The maps as an array."""
        return as_array(self.answer)


def as_array(maps: Any) -> Floats:
    """Maps as the harness keeps them: float32, in memory of their own."""
    plain = maps.detach().float().cpu().numpy() if isinstance(maps, torch.Tensor) else maps
    return np.array(plain, dtype=np.float32)


def copied(batch: Batch) -> Batch:
    """A batch that shares no memory with another."""
    return replace(
        batch,
        images=batch.images.clone(),
        targets=batch.targets.clone(),
        masks=None if batch.masks is None else batch.masks.copy(),
        prior=None if batch.prior is None else batch.prior.copy(),
    )


def close(found: Floats, expected: Floats) -> bool:
    """Whether maps agree but for the rounding of sums."""
    if found.shape != expected.shape:
        return False
    largest = np.abs(expected).max(axis=(-2, -1), keepdims=True)
    return bool((np.abs(found - expected) <= CLOSE * largest + 1e-12).all())


def rows_that_differ(found: Floats, expected: Floats) -> list[int]:
    """Which maps of a batch are others than expected."""
    return [row for row, pair in enumerate(zip(found, expected, strict=True)) if not close(*pair)]


def spoil(network: nn.Module) -> None:
    """Make every weight NaN, as in a training that diverged."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(torch.nan)


def named(rows: Sequence[int]) -> str:
    """Images by their place."""
    return ", ".join(f"image {row}" for row in rows)
