"""From the raw maps of explainers to maps in [0, 1]: the only place where heatmaps are normalised.

Each map is normalised by itself. To divide by the extremes of a batch, as some toolkits do, would make the score of
an image depend on the images it happened to be computed with.

A map is flat if its largest value equals its smallest one, exactly: however faint a contrast is, it is stretched to
[0, 1], and no tolerance decides what counts as contrast. Equal values stay equal, and order is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xaibench.contracts import Floats

    Doubles: TypeAlias = NDArray[np.float64]

SignPolicy: TypeAlias = Literal["positive", "absolute"]


def normalise(raw: Floats, sign: SignPolicy = "positive") -> Floats:
    """Maps [B, H, W]: negative values clipped at 0 or taken absolute, then stretched to [0, 1] per map.

    Meant for maps in which `invalid` finds nothing; a flat map becomes zeros.
    """
    maps = _signed_away(raw, sign)
    lowest = maps.min(axis=(1, 2), keepdims=True)
    contrast = maps.max(axis=(1, 2), keepdims=True) - lowest
    stretched: Floats = ((maps - lowest) / np.where(contrast > 0, contrast, 1)).astype(np.float32)
    return stretched


def invalid(raw: Floats, sign: SignPolicy | None = None, shape: tuple[int, ...] | None = None) -> list[str]:
    """Why a map cannot be scored, per map; "" for a sound one.

    Without `sign` the maps are judged as they came; with it a map that the sign policy leaves flat is unsound too.
    `shape` is the shape [B, H, W] that the maps should have.
    """
    if shape is not None and raw.shape != shape:
        return [f"the maps have shape {raw.shape} instead of {shape}"] * shape[0]
    return [_flaw(one, sign) for one in raw]


def _flaw(raw: Floats, sign: SignPolicy | None) -> str:
    if not np.isfinite(raw).all():
        return f"{np.count_nonzero(~np.isfinite(raw))} of {raw.size} values are NaN or infinite"
    if raw.min() == raw.max():
        return f"flat: every value is {raw.flat[0]:g}"
    if sign is not None and np.ptp(_signed_away(raw, sign)) == 0:
        return "flat: no value is above 0" if sign == "positive" else "flat: every absolute value is the same"
    return ""


def _signed_away(raw: Floats, sign: SignPolicy) -> Doubles:
    """In float64, so that what follows is rounded only once, at the end."""
    doubles = raw.astype(np.float64)
    return np.abs(doubles) if sign == "absolute" else np.maximum(doubles, 0)
