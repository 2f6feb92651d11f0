"""Film markers: small bright shapes in a corner away from the breast, as technicians put them there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator

    from xaibench.contracts import Floats, Mask

Shape = int  # 0: a bar, 1: a frame, 2: a cross
SHAPES = 3
SIDE = 0.1  # of the film's width


def draw_marker(rng: Generator, image: Floats, shape: Shape) -> Mask:
    """Draw one into the image, in the upper or lower corner opposite the chest wall; return where it is."""
    size = image.shape[0]
    side = max(7, round(SIDE * size))
    margin = rng.integers(max(1, size // 50), max(2, size // 20), size=2, endpoint=True)
    row = margin[0] if rng.random() < 0.5 else size - side - margin[0]
    column = size - side - margin[1]
    ink = np.zeros(image.shape, bool)
    ink[row : row + side, column : column + side] = _DRAWINGS[shape](side)
    image[ink] = rng.uniform(0.85, 0.98)
    return ink


def _bar(side: int) -> Mask:
    ink = np.zeros((side, side), bool)
    ink[side // 3 : side - side // 3] = True
    return ink


def _frame(side: int) -> Mask:
    ink = np.ones((side, side), bool)
    stroke = max(1, side // 6)
    ink[stroke:-stroke, stroke:-stroke] = False
    return ink


def _cross(side: int) -> Mask:
    far = np.abs(np.arange(side) - (side - 1) / 2)
    stroke = max(0.75, side / 12)
    return np.asarray(np.abs(far[:, None] - far[None, :]) <= stroke)


_DRAWINGS: tuple[Callable[[int], Mask], ...] = (_bar, _frame, _cross)
