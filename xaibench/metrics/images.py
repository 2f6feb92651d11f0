"""One image at a time: what is undefined for one image is NaN there, whatever lies beside it in the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from xaibench.contracts import Case, Floats, Mask, Scores


def each_map(measure: Callable[[Floats], float], maps: Floats) -> Scores:
    """The measure of every map; undefined where a map is not finite."""
    return np.array([measure(one) if np.isfinite(one).all() else np.nan for one in maps], dtype=np.float64)


def each_with_lesion(measure: Callable[[Floats, Mask], float], case: Case) -> Scores:
    """The measure of every map against its lesions; undefined where there are none, or the map is not finite."""
    return each_in(measure, case.maps, case.masks)


def each_in(measure: Callable[[Floats, Mask], float], maps: Floats, regions: Mask) -> Scores:
    """The same against any region."""
    values = [measure(*row) if is_defined(*row) else np.nan for row in zip(maps, regions, strict=True)]
    return np.array(values, dtype=np.float64)


def is_defined(heatmap: Floats, region: Mask) -> bool:
    """Whether there is a map, and a place to hold it against."""
    return bool(np.isfinite(heatmap).all() and region.any())
