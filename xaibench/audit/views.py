"""The same case seen otherwise: a sound metric says the same of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xaibench.normalise import normalise

if TYPE_CHECKING:
    from collections.abc import Callable

    from xaibench.contracts import Case, Floats


def rescaled(case: Case) -> Case:
    """Raw maps in another unit and with an offset: what the harness hands on must not show it."""
    raw = case.raw * np.float32(3.0) + np.float32(0.5)
    return replace(case, raw=raw, maps=normalise(raw))


def flipped(case: Case) -> Case:
    """Image, masks and map, left to right and top to bottom. Ties that are broken by position show here."""
    return _with_pixels(case, lambda pixels: np.ascontiguousarray(pixels[..., ::-1, ::-1]))


def doubled(case: Case) -> Case:
    """Every pixel as four."""
    return _with_pixels(case, lambda pixels: pixels.repeat(2, axis=-1).repeat(2, axis=-2))


def quantised(case: Case) -> Case:
    """Maps with three levels: every pixel is tied with many others."""
    return replace(
        case,
        maps=_quantise(case.maps),
        raw=_quantise(case.maps),
        variants={name: _quantise(maps) for name, maps in case.variants.items()},
    )


def _quantise(maps: Floats) -> Floats:
    return (np.round(maps * 2) / 2).astype(np.float32)


def _with_pixels(case: Case, change: Callable[[Any], Any]) -> Case:
    """The case with all that has rows and columns changed alike."""
    return replace(
        case,
        maps=change(case.maps),
        raw=change(case.raw),
        images=change(case.images),
        masks=change(case.masks),
        lesions=tuple(tuple(change(mask) for mask in masks) for masks in case.lesions),
        regions={name: change(mask) for name, mask in case.regions.items()},
        variants={name: change(maps) for name, maps in case.variants.items()},
    )


def beside_loud_neighbours(case: Case) -> Case:
    """Only the first image is the same; the maps of all others are a thousand times as strong, and upside down."""
    raw = case.raw.copy()
    raw[1:] = 1000 * raw[1:, ::-1]
    maps = case.maps.copy()
    maps[1:] = maps[1:, ::-1]
    return replace(case, raw=raw, maps=maps)
