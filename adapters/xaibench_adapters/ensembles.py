"""Explainers made of other explainers."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from xaibench.contracts import ExplainerCard
from xaibench.errors import UsageError
from xaibench.normalise import normalise
from xaibench.registry import create
from xaibench.seeds import derive
from xaibench_adapters.drawing import at_least, noisy, not_negative

if TYPE_CHECKING:
    from xaibench.contracts import Batch, Classifier, Explainer, Floats, Heatmaps
    from xaibench.registry import Loaded

# gradcam, gradcam++, rise(samples=500): a name may end in two plus signs, and parameters may hold anything.
PART = re.compile(r"\s*([^+()]+(?:\+\+)?(?:\([^()]*\))?)\s*")


class MeanOf:
    """The mean of several explainers' maps, each stretched to [0, 1] before. If one is flat or NaN, so is the mean.

    explainers: their names joined by +, with parameters where wanted: "gradcam+rise(samples=500)".
    profile: the profile that the parts are made with, where their own parameters are not given.
    """

    def __init__(self, explainers: str = "gradcam+integrated-gradients", profile: str = "") -> None:
        self.parts = [_part("mean-of", name, profile) for name in parts_of(explainers)]
        self.card = _card(
            self.parts,
            ExplainerCard(
                name="mean-of",
                version=2,
                summary="Mean of the maps of several explainers, each stretched to [0, 1]",
                paper="Evaluating and Aggregating Feature-based Model Explanations (Bhatt et al., 2020)",
                family="ensemble",
                default=False,
                profiles=PROFILES,
            ),
        )

    def explain(self, classifier: Classifier, batch: Batch) -> Floats:
        """Heatmaps [B, H, W]."""
        maps = np.stack([_unit(part.explain(classifier, batch)) for part in self.explainers()])
        all_show = (np.ptp(maps, axis=(2, 3), keepdims=True) != 0).all(axis=0)  # so does NaN, which stays
        mean: Floats = maps.mean(axis=0, dtype=np.float32) * all_show
        return mean

    def explainers(self) -> list[Explainer]:
        """The parts, made."""
        return [part.plugin for part in self.parts]


class Smooth:
    """The mean of an explainer's maps of noisy versions of the image. A failed map of one fails the mean.

    explainer: its name, with parameters where wanted; samples: noisy versions; sd: standard deviation of the noise,
    as a share of the image's range; profile: the profile that the explainer is made with.
    """

    def __init__(self, explainer: str = "saliency", samples: int = 16, sd: float = 0.1, profile: str = "") -> None:
        self.samples, self.sd = at_least("smooth", "samples", samples), not_negative("smooth", "sd", sd)
        self.part = _part("smooth", explainer, profile)
        self.card = _card(
            [self.part],
            ExplainerCard(
                name="smooth",
                summary="Mean of an explainer's maps over noisy versions of the image",
                paper="SmoothGrad: removing noise by adding noise (Smilkov et al., 2017)",
                family="ensemble",
                sign=self.part.card["sign"],
                stochastic=True,
                default=False,
                profiles={name: dict(more) for name, more in PROFILES.items()} | {"quick": QUICK},
            ),
        )

    def explain(self, classifier: Classifier, batch: Batch) -> Floats:
        """Heatmaps [B, H, W]."""
        maps = [_array(self.part.plugin.explain(classifier, self.version(batch, i))) for i in range(self.samples)]
        mean: Floats = np.stack(maps).mean(axis=0, dtype=np.float32)
        return mean

    def version(self, batch: Batch, number: int) -> Batch:
        """The batch under its `number`th noise, with seeds of its own."""
        images = [noisy(batch, "smooth", image, number, self.sd) for image in range(len(batch.images))]
        seeds = tuple(derive("smooth-part", seed, number) for seed in batch.seeds)
        return replace(batch, images=torch.stack(images), seeds=seeds)


PROFILES = {name: {"profile": name} for name in ("quick", "standard", "paper")}
QUICK = {"profile": "quick", "samples": 4}


def parts_of(text: str) -> list[str]:
    """The references in "a+b(c=1)+d++"."""
    parts, position = [], 0
    while found := PART.match(text, position):
        parts.append(found[1].strip())
        position = found.end() + 1
        if not text.startswith("+", found.end()):
            break
    if position != len(text) + 1 or not parts:
        raise UsageError(
            f"mean-of: {text!r} is no list of explainers; join their names by +, as in gradcam+rise(samples=500)"
        )
    return parts


def _part(who: str, text: str, profile: str) -> Loaded:
    made = create("explainers", text, profile)
    if made.card["reference"]:
        raise UsageError(f"{who}: {text} is a floor or a ceiling and explains nothing; name explainers.")
    return made


def _card(parts: list[Loaded], card: ExplainerCard) -> ExplainerCard:
    """What follows from the parts; whenever the numbers of one change, so do those of the whole."""
    cards = [part.card for part in parts]
    return replace(
        card,
        version=card.version + sum(part["version"] for part in cards) - len(cards),
        needs=frozenset().union(*(part["needs"] for part in cards)),
        stochastic=card.stochastic or any(part["stochastic"] for part in cards),
        class_sensitive=any(part["class_sensitive"] for part in cards),
    )


def _array(maps: Heatmaps) -> Floats:
    return maps.detach().float().cpu().numpy() if isinstance(maps, torch.Tensor) else maps.astype(np.float32)


def _unit(maps: Heatmaps) -> Floats:
    """Maps in [0, 1]; NaN stays NaN."""
    raw = _array(maps)
    sound = np.isfinite(raw).all(axis=(1, 2), keepdims=True)
    unit: Floats = np.where(sound, normalise(np.where(sound, raw, 0)), np.nan).astype(np.float32)
    return unit
