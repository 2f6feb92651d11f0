"""Variants: other maps of the same image, each an explain cell of its own, stored and shared by all who ask for it.

A variant differs from the plain map in one thing. All else is as it was: the image, the network, the class explained
and the explainer's seed, so that what differs between the two maps is due to that one thing alone.

    seed:N               the explainer's seed. Where nothing is drawn at random this is the plain map, not made again
    noise:KIND:RADIUS:N  the image: noise is added, then it is clipped to [0, 1]. KIND uniform (RADIUS: the largest
                         change) or normal (RADIUS: the standard deviation); N = 1, 2, ... are draws
    cascade:P            the network: of its layers, P percent are initialised anew, from the output down
    independent:P        the network: the last of these layers alone is
    retrained:N          the network: the same model, trained with the run's seed + N
    shuffled-labels      the network: the same model, trained on labels dealt out at random
    shifted              image and network: a constant is added to every pixel, and taken off again by the network
    target:least         the class explained: the least likely one
    target:random        the class explained: any other one
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from xaibench.errors import UsageError
from xaibench.seeds import derive

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xaibench.contracts import Entry, Floats, Sample, Split, Status, Task
    from xaibench.orders import Order

_RADIUS = r"(?P<radius>[0-9]+\.[0-9]+)"
_NUMBER = "(?P<number>[1-9][0-9]*)"
_PERCENT = "(?P<number>[1-9][0-9]?|100)"
LANGUAGE: Final[Mapping[str, str]] = {
    "seed": f"seed:{_NUMBER}",
    "noise": f"noise:(?P<way>uniform|normal):{_RADIUS}:{_NUMBER}",
    "cascade": f"cascade:{_PERCENT}",
    "independent": f"independent:{_PERCENT}",
    "retrained": f"retrained:{_NUMBER}",
    "shuffled-labels": "shuffled-labels",
    "shifted": "shifted",
    "target": "target:(?P<way>least|random)",
}
KNOWN = (
    "seed:N, noise:uniform:RADIUS:N, noise:normal:RADIUS:N, cascade:PERCENT, independent:PERCENT, retrained:N, "
    "shuffled-labels, shifted, target:least, target:random; as in seed:1, noise:uniform:0.02:1, cascade:100"
)
SHIFT = 0.25  # of `shifted`; a power of two, so that hardly a pixel is rounded


@dataclass(frozen=True)
class Variant:
    """One name, understood."""

    name: str = ""  # the plain map
    kind: str = ""
    way: str = ""
    radius: float = 0.0
    number: int = 0

    @property
    def trains(self) -> bool:
        """Whether it needs weights of its own."""
        return self.kind in ("retrained", "shuffled-labels")

    @property
    def spoils(self) -> bool:
        """Whether layers of the network are initialised anew."""
        return self.kind in ("cascade", "independent")

    @property
    def network(self) -> str:
        """Which network it is made with; those of one name share it."""
        own = self.trains or self.spoils or self.kind == "shifted"
        return self.name if own else ""

    @property
    def may_be_flat(self) -> bool:
        """Whether a map without contrast is an answer: that of a spoilt network, or for a class that is not there."""
        return self.spoils or self.kind in ("shuffled-labels", "target")


PLAIN = Variant()


def parse(name: str) -> Variant:
    """What a name stands for. What is not in the language is refused, and never taken for something else."""
    for kind, pattern in LANGUAGE.items():
        if found := re.fullmatch(pattern, name):
            parts: dict[str, Any] = found.groupdict()
            radius, number = float(parts.get("radius") or 0), int(parts.get("number") or 0)
            if name.startswith("noise:") and not (radius > 0 and parts["radius"] == spell(radius)):
                break
            return Variant(name, kind, parts.get("way") or "", radius, number)
    if not name:
        return PLAIN
    msg = f"there is no variant {name!r} of a map; there are {KNOWN}"
    raise UsageError(msg)


def spell(radius: float) -> str:
    """The one spelling of a radius: two names of one thing would be done twice."""
    return f"{radius:.12f}".rstrip("0") + ("0" if radius == int(radius) else "")


def noises(kind: str, radius: float, count: int) -> tuple[str, ...]:
    """The names of several draws of noise."""
    return tuple(f"noise:{kind}:{spell(radius)}:{number}" for number in range(1, count + 1))


def verdict(variant: Variant, model: Mapping[str, Any], classes: Sequence[str]) -> tuple[Status, str]:
    """Whether a model can be varied so, as far as its card and its task tell."""
    if variant.trains and not model["trained"]:
        return "unsupported", f"{model['name']} learns nothing that it could learn otherwise ({variant.name})"
    if variant.network and "gradients" not in model["provides"]:
        return "unsupported", f"the layers of {model['name']} cannot be reached ({variant.name})"
    if variant.kind == "target" and len(classes) < 2:
        return "unsupported", f"there is no other class to explain ({variant.name})"
    return "ok", ""


# ------------------------------------------------------------------------------------------------------ what is varied


def map_seed(variant: Variant, run: int, sample: str) -> int:
    """The seed of an explanation: that of the plain map, unless the seed is what differs."""
    return derive("explain", run, variant.name if variant.kind == "seed" else "", sample)


def image_of(variant: Variant, image: Floats, seed: int) -> Floats:
    """The image to explain; `seed` is the plain map's, so that metrics can draw the same noise again."""
    import numpy as np  # planning needs names alone

    if variant.kind == "shifted":
        return image + np.float32(SHIFT)
    if variant.kind != "noise":
        return image
    rng = np.random.default_rng(derive("noise", variant.name, seed))
    drawn = rng.uniform(-1, 1, image.shape) if variant.way == "uniform" else rng.standard_normal(image.shape)
    noisy: Floats = np.clip(image + variant.radius * drawn, 0, 1).astype(np.float32)
    return noisy


def target_of(variant: Variant, target: int, logits: Sequence[float], seed: int) -> int:
    """The class to explain."""
    if variant.kind != "target":
        return target
    others = [index for index in range(len(logits)) if index != target]
    if variant.way == "least":
        return min(others, key=lambda index: (logits[index], index))
    return others[derive("target", seed) % len(others)]


# -------------------------------------------------------------------------------------------------- weights of its own


def order_of(variant: Variant, order: Order) -> Order:
    """The order for the weights of the network: that of the plain one, unless it is to be trained otherwise."""
    if variant.kind == "retrained":
        return replace(order, seed=order.seed + variant.number)
    if variant.kind == "shuffled-labels":
        return replace(order, task=replace(order.task, plugin=ShuffledLabels(order.task.plugin, order.seed)))
    return order


class ShuffledLabels:
    """A task whose labels are dealt out anew: nothing in its images tells them any more."""

    def __init__(self, task: Task, seed: int) -> None:
        self.card, self.classes, self.shape, self.folds = task.card, task.classes, task.shape, task.folds
        self._task = task
        self._seed = seed
        self._true: dict[str, Entry] = {}

    def fingerprint(self) -> str:
        """Other data, as far as weights are concerned."""
        return f"{self._task.fingerprint()} labels shuffled by {self._seed}"

    def entries(self, split: Split, fold: int) -> list[Entry]:
        """The split with its labels permuted, so that there are as many of each."""
        entries = sorted(self._task.entries(split, fold), key=lambda entry: entry.id)
        self._true |= {entry.id: entry for entry in entries}
        dealt = sorted(range(len(entries)), key=lambda row: derive("labels", self._seed, entries[row].id))
        return [replace(entry, label=entries[row].label) for entry, row in zip(entries, dealt, strict=True)]

    def load(self, entry: Entry) -> Sample:
        """The true image, which may be drawn by its label, under the label it was dealt."""
        return replace(self._task.load(self._true[entry.id]), entry=entry)


def depth(percent: int, layers: int) -> int:
    """How many layers a percentage stands for: at least one."""
    return math.ceil(percent * layers / 100)
