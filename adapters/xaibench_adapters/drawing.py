"""What is drawn at random for a map, each thing from the sample's own seed and from nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from xaibench.errors import UsageError
from xaibench.seeds import derive

if TYPE_CHECKING:
    from xaibench.contracts import Batch

Baselines = Literal["shades", "noise", "black"]


def generator(batch: Batch, what: str, image: int, version: int) -> torch.Generator:
    """A source of its own for one version of one image, so that batches may be cut anywhere."""
    made = torch.Generator(batch.images.device)
    return made.manual_seed(derive(what, batch.seeds[image], version))


def noisy(batch: Batch, what: str, image: int, version: int, sd: float) -> torch.Tensor:
    """The image under bell-shaped noise; `sd` is a share of the image's own range, as in SmoothGrad's paper."""
    clean = batch.images[image]
    noise = torch.empty_like(clean).normal_(generator=generator(batch, what, image, version))
    return clean + noise * (sd * (clean.max() - clean.min()))


def baseline(batch: Batch, what: str, kind: Baselines, image: int, version: int, versions: int) -> torch.Tensor:
    """An image that shows nothing: one shade of grey, uniform noise, or black.

    Of shades every version draws from a stretch of its own, so that few already cover dark to bright.
    """
    clean = batch.images[image]
    if kind == "black":
        return torch.zeros_like(clean)
    source = generator(batch, what, image, version)
    if kind == "noise":
        return torch.rand(clean.shape, generator=source, device=clean.device)
    shade = (version + torch.rand((), generator=source, device=clean.device)) / versions
    return torch.zeros_like(clean) + shade


def checked_baselines(who: str, kind: Baselines) -> Baselines:
    """Refuse a kind that does not exist."""
    if kind not in ("shades", "noise", "black"):
        raise UsageError(f"{who}: baselines is {kind!r}; there are shades, noise and black.")
    return kind


def at_least(who: str, name: str, given: int, least: int = 1) -> int:
    """Refuse a number of passes that is too small."""
    if given < least:
        raise UsageError(f"{who}: {name} is {given}; give {least} or more.")
    return given


def not_negative(who: str, name: str, given: float) -> float:
    """Refuse a spread that cannot be."""
    if not 0 <= given < float("inf"):
        raise UsageError(f"{who}: {name} is {given}; give 0 or more, as a share of the image's range.")
    return given
