"""Squares cut out of a film and blown up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from xaibench.contracts import Floats, Mask


class Square:
    """A square of a film, moved inside it where it would stick out, to be resized to `size` pixels."""

    def __init__(self, middle: tuple[float, float], half: float, film: int, size: int) -> None:
        """Middle and half side are in pixels of the film."""
        self.rows, self.columns = (_weights(min(max(at, half), film - half), half, film, size) for at in middle)

    def image(self, pixels: Floats) -> Floats:
        """Resize bilinearly."""
        return (self.rows @ pixels @ self.columns.T).astype(np.float32)

    def mask(self, pixels: Mask) -> Mask:
        """Resize, keeping what is inside for more than half."""
        return self.image(pixels.astype(np.float32)) > 0.5


def middle_of(mask: Mask) -> tuple[float, float]:
    """Centre of mass, as row and column."""
    rows, columns = np.nonzero(mask)
    return float(rows.mean() + 0.5), float(columns.mean() + 0.5)


def _weights(middle: float, half: float, film: int, size: int) -> Floats:
    """Matrix [size, film] of linear interpolation along one side."""
    at = middle - half + (np.arange(size) + 0.5) * (2 * half / size) - 0.5
    weights = np.clip(1 - np.abs(at[:, None] - np.arange(film)[None, :]), 0, 1)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
