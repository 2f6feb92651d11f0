"""What the breast is made of: power-law texture, glandular tissue by density class, ligaments, vessels, islands.

Burgess, Jacobson and Judy ("Human observer detection experiments with mammograms and power-law noise", 2001) measured
power spectra of mammograms that fall as 1 / f^3: the texture here does by construction.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from xaibench_tasks.phantom.outline import grid

if TYPE_CHECKING:
    from numpy.random import Generator

    from xaibench.contracts import Floats
    from xaibench_tasks.phantom.outline import Breast

BETA = 3.0
DENSITIES = ("A", "B", "C", "D")  # almost entirely fatty ... extremely dense
GLANDULAR = (-1.5, -0.6, 0.2, 1.0)  # how far each density class moves the texture towards gland

FAT, GLAND, MUSCLE = 0.22, 0.18, 0.66  # brightness of fat, what gland adds to it, brightness of muscle


@lru_cache(maxsize=8)
def _amplitude(size: int, beta: float) -> Floats:
    """Amplitude per spatial frequency that gives a field of unit variance whose power falls as 1 / f^beta."""
    f = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None, :])
    f[0, 0] = np.inf
    amplitude = f ** (-beta / 2)
    amplitude *= size / np.sqrt((amplitude**2).sum())
    return np.asarray(amplitude, np.float32)


def power_law_fields(rng: Generator, size: int, beta: float = BETA) -> tuple[Floats, Floats]:
    """Two independent fields of mean 0 and expected variance 1: real and imaginary part of one transform."""
    white = rng.standard_normal((2, size, size), dtype=np.float32)
    spectrum = (white[0] + 1j * white[1]) * _amplitude(size, beta)
    field = np.fft.ifft2(spectrum) * size
    return field.real.astype(np.float32), field.imag.astype(np.float32)


def draw_tissue(rng: Generator, breast: Breast, density: int) -> Floats:
    """Brightness of a breast without lesions, noise and markers; 0 outside."""
    size = breast.mask.shape[0]
    texture, other = power_law_fields(rng, size)
    deep = np.clip(breast.depth / 0.12, 0, 1) - 1  # under the skin there is fat
    gland = expit(2.0 * (texture + GLANDULAR[density] + 1.5 * deep))
    tissue = FAT + GLAND * gland + 0.03 * texture + 0.03 * other * (0.5 + gland)
    tissue += 0.035 * np.exp(-((other / 0.07) ** 2))  # ligaments: the level line of a power-law field is a fine web
    tissue += _islands(rng, breast, texture) + _vessels(rng, size)
    tissue += breast.muscle * (MUSCLE + 0.04 * texture - tissue)
    return np.asarray(np.maximum(tissue, 0.1) * _thickness(breast.depth), np.float32)


def _thickness(depth: Floats) -> Floats:
    """A compressed breast is flat, and round at the rim; the skin itself is a fine bright line."""
    rim = 1 - np.clip(depth / 0.1, 0, 1)
    skin = 0.25 * np.exp(-(((depth - 0.008) / 0.008) ** 2)) * (depth > 0)
    return np.asarray(np.sqrt(1 - rim**2) + skin, np.float32)


def _islands(rng: Generator, breast: Breast, texture: Floats) -> Floats:
    """Dense tissue as bright as any lesion, but without its margin: brightness alone finds nothing."""
    size = breast.mask.shape[0]
    total = np.zeros((size, size), np.float32)
    places = np.flatnonzero(breast.room)
    for place in rng.choice(places, rng.integers(3, 8)):
        row, column = divmod(int(place), size)
        length, width = rng.uniform(0.06, 0.13), rng.uniform(0.04, 0.07)
        along, across = _turned(size, row, column, rng.uniform(0, np.pi))
        bump = np.exp(-((along / length) ** 2) - (across / width) ** 2)
        total += rng.uniform(0.15, 0.4) * bump
    return np.asarray(total * np.clip(0.8 + 0.35 * texture, 0.2, 1.4), np.float32)


def _turned(size: int, row: int, column: int, angle: float) -> tuple[Floats, Floats]:
    """Coordinates along and across a direction through a pixel, in film widths."""
    x, y = grid(size)[None, :] - column / size, grid(size)[:, None] - row / size
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return x * c + y * s, y * c - x * s


def _vessels(rng: Generator, size: int) -> Floats:
    """A few winding bright lines."""
    x, y = grid(size)[None, :], grid(size)[:, None]
    total = np.zeros((size, size), np.float32)
    for _ in range(rng.integers(1, 4)):
        start, slope, bend = rng.uniform(0.1, 0.9), rng.uniform(-0.7, 0.7), rng.uniform(0.01, 0.04)
        path = start + slope * x + bend * np.sin(rng.uniform(8, 16) * x + rng.uniform(0, 6))
        width = max(rng.uniform(0.005, 0.009), 0.7 / size)
        total += rng.uniform(0.04, 0.09) * np.exp(-(((y - path) / width) ** 2))
    return total
