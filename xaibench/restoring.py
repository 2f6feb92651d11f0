"""Pixels restored on the processor: what `imputation` solves for many masks at once, here one mask after the other.

A mask's grids fit into the processor's cache, which all grids of many masks do not: compiled and fused into few passes
over memory, the same method takes a tenth of the time. Numba compiles it at first use, once per installation.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import torch
from numba import njit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from xaibench.contracts import Floats, Mask

Function = TypeVar("Function", bound="Callable[..., object]")

BESIDE, ACROSS, NOTHING = np.float32(1 / 6), np.float32(1 / 12), np.float32(0)
TINY = np.float32(1e-30)
COARSEST = 8  # pixels along the longer side
SWEEPS = 3  # up and down the coarsest grid


class Job(NamedTuple):
    """An image [C, H, W], and masks [M, H, W] that each keep some of its pixels."""

    image: Floats
    kept: Mask
    noise: Floats | None  # [C, H, W] on top of what is restored, which then is clipped to [0, 1]


def restored(jobs: Sequence[Job], tolerance: float, rounds: int) -> list[Floats]:
    """For every job its image with the pixels restored that a mask does not keep: [M, C, H, W]."""
    filled = [np.empty((len(job.kept), *job.image.shape), np.float32) for job in jobs]
    todo = iter([one for job, places in zip(jobs, filled, strict=True) for one in _split(job, places)])

    def work() -> None:
        room = cache(space)
        for picture, kept, place in todo:  # the next one that no thread has: cores may be busy with other things
            _restore(room(*kept.shape), picture, kept, place, tolerance, rounds)

    helpers = min(torch.get_num_threads(), sum(map(len, filled))) - 1
    with ThreadPoolExecutor(max(helpers, 1)) as pool:
        others = [pool.submit(work) for _ in range(helpers)]
        work()  # here as well: the network's own threads may keep the other cores busy
        for other in others:
            other.result()
    return filled


class Picture(NamedTuple):
    """An image, and what becomes of its restored pixels."""

    pixels: Floats  # [C, H, W]
    mean: Floats  # [C]
    noise: Floats  # [C, H, W]
    lowest: np.float32
    highest: np.float32
    grey: bool  # all channels are alike, and restored at once


def _split(job: Job, filled: Floats) -> Iterator[tuple[Picture, Mask, Floats]]:
    """Mask by mask."""
    image, noise, limits = job.image, job.noise, (np.float32(0), np.float32(1))
    if noise is None:
        noise, limits = np.zeros_like(image), (np.float32(-np.inf), np.float32(np.inf))
    mean = image.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)
    picture = Picture(image, mean, noise, *limits, grey=bool((image == image[:1]).all()))
    for kept, place in zip(job.kept, filled, strict=True):
        yield picture, kept, place


# Sums may be taken in another order, for speed; it is the same one whenever a sum is taken.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "contract", "nsz"}}
INNER: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # nothing but kernels calls it


def kernel(function: Function) -> Function:
    """Compile, for other kernels alone: called from Python it would crash."""
    compiled: Function = njit(**OPTIONS, **INNER)(function)
    return compiled


def entrance(function: Function) -> Function:
    """Compile, with all that it calls, and keep that for the processes to come."""
    try:
        compiled: Function = njit(**OPTIONS, cache=True)(function)
    except RuntimeError:  # nowhere to keep it: neither this folder nor the user's own may be written
        compiled = njit(**OPTIONS)(function)
    return compiled


class Space(NamedTuple):
    """What one mask is restored in: a stack of grids, each half the size of the one before, with margins of zeros."""

    rows: NDArray[np.int64]  # of each grid
    columns: NDArray[np.int64]
    first: NDArray[np.int64]  # row of the stack at which a grid begins
    known: Floats  # [H, W] 1 where the pixel is kept
    unknown: Floats  # [stack, W] 1 where the pixel is to be found, or one of those that it stands for
    held: Floats  # [stack, W] weight of the known neighbours
    step: Floats  # [stack, W] 1 / weight of all neighbours; 0 where nothing is to be found
    residual: Floats  # [stack, W] what is asked of each grid
    guess: Floats  # [stack, W] its answer
    solution: Floats  # [H, W]
    direction: Floats  # [H, W]
    moved: Floats  # [H, W] the matrix times the direction
    row: Floats  # [W]


def space(height: int, width: int) -> Space:
    """Room for images of this size."""
    sizes = [(height, width)]
    while max(sizes[-1]) > COARSEST:
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    rows, columns = np.array(sizes).T.copy()
    plane = (height + 4, width + 4)  # one before the image; after it as many as make a coarse pixel, and one
    known, solution, direction, moved = np.zeros((4, *plane), np.float32)
    first = np.cumsum(np.concatenate([[0], rows + 4]))
    unknown, held, step, residual, guess = np.zeros((5, first[-1], plane[1]), np.float32)
    row = np.zeros(plane[1], np.float32)
    return Space(rows, columns, first, known, unknown, held, step, residual, guess, solution, direction, moved, row)


@kernel
def _grid(s: Space, stack: Floats, level: int) -> Floats:
    return stack[s.first[level] :]


@kernel
def _around(pixels: Floats, r: int, c: int) -> np.float32:
    """Weighted sum of the eight neighbours."""
    beside = pixels[r - 1, c] + pixels[r + 1, c] + pixels[r, c - 1] + pixels[r, c + 1]
    across = pixels[r - 1, c - 1] + pixels[r - 1, c + 1] + pixels[r + 1, c - 1] + pixels[r + 1, c + 1]
    total: np.float32 = BESIDE * beside + ACROSS * across
    return total


# ---------------------------------------------------------------------------------------------------------- the grids


@kernel
def _lay(s: Space, kept: Mask) -> None:
    """The grids of a mask [H, W]."""
    _mark(s.known, s.unknown, kept)
    _hold(s.held, s.known, s.unknown, s.rows[0], s.columns[0])
    for level in range(len(s.rows)):
        rows, columns = s.rows[level], s.columns[level]
        if level > 0:
            _coarsen(_grid(s, s.held, level), _grid(s, s.held, level - 1), np.inf, rows, columns)
            _coarsen(_grid(s, s.unknown, level), _grid(s, s.unknown, level - 1), 1, rows, columns)
        _weigh(_grid(s, s.step, level), _grid(s, s.unknown, level), _grid(s, s.held, level), rows, columns)


@kernel
def _mark(known: Floats, unknown: Floats, kept: Mask) -> None:
    for r in range(kept.shape[0]):
        for c in range(kept.shape[1]):
            known[r + 1, c + 1] = np.float32(kept[r, c])
            unknown[r + 1, c + 1] = np.float32(1) - np.float32(kept[r, c])


@kernel
def _hold(held: Floats, known: Floats, unknown: Floats, rows: int, columns: int) -> None:
    for r in range(1, rows + 1):
        for c in range(1, columns + 1):
            held[r, c] = unknown[r, c] * _around(known, r, c)


@kernel
def _coarsen(coarse: Floats, fine: Floats, most: float, rows: int, columns: int) -> None:
    """Sums of four, but not more than that."""
    for R in range(1, rows + 1):
        for C in range(1, columns + 1):
            r, c = 2 * R - 1, 2 * C - 1
            total = fine[r, c] + fine[r, c + 1] + fine[r + 1, c] + fine[r + 1, c + 1]
            coarse[R, C] = min(total, np.float32(most))


@kernel
def _weigh(step: Floats, unknown: Floats, held: Floats, rows: int, columns: int) -> None:
    for r in range(1, rows + 1):
        for c in range(1, columns + 1):
            step[r, c] = unknown[r, c] / max(held[r, c] + _around(unknown, r, c), TINY)


# ---------------------------------------------------------------------------------------------------------- the cycle


@kernel
def _cycle(s: Space) -> np.float32:
    """A guess at the solution for the residual, and the product of both; as a matrix it is symmetric."""
    last = len(s.rows) - 1
    for level in range(last):
        _down(s, level)
    power = _settle(s, last)
    for level in range(last - 1, -1, -1):
        power = _up(s, level)
    return power


@kernel
def _down(s: Space, level: int) -> None:
    """Smooth from nothing, row after row, and ask the coarser grid for what is left."""
    guess, residual, step, row = _grid(s, s.guess, level), _grid(s, s.residual, level), _grid(s, s.step, level), s.row
    coarse = _grid(s, s.residual, level + 1)
    _begin(guess, residual, step, 1, s.columns[level])
    for R in range(1, s.rows[level + 1] + 1):
        r = 2 * R - 1
        _begin(guess, residual, step, r + 1, s.columns[level])
        _begin(guess, residual, step, r + 2, s.columns[level])
        for c in range(1, s.columns[level] + 1):
            row[c] = _left(guess, step, r, c) + _left(guess, step, r + 1, c)
        row[s.columns[level] + 1] = 0  # an odd width ends in half a coarse pixel
        for C in range(1, s.columns[level + 1] + 1):
            coarse[R, C] = row[2 * C - 1] + row[2 * C]


@kernel
def _begin(guess: Floats, residual: Floats, step: Floats, r: int, columns: int) -> None:
    """The first guess of a row, of which only the row above is known."""
    for c in range(1, columns + 1):
        above = BESIDE * guess[r - 1, c] + ACROSS * (guess[r - 1, c - 1] + guess[r - 1, c + 1])
        guess[r, c] = step[r, c] * (residual[r, c] + above)


@kernel
def _left(guess: Floats, step: Floats, r: int, c: int) -> np.float32:
    """The residual of such a guess: all that was not known yet."""
    beside = guess[r, c - 1] + guess[r, c + 1] + guess[r + 1, c]
    across = guess[r + 1, c - 1] + guess[r + 1, c + 1]
    return BESIDE * beside + ACROSS * across if step[r, c] > 0 else NOTHING


@kernel
def _up(s: Space, level: int) -> np.float32:
    """Add the answer of the coarser grid, and smooth from the last row to the first."""
    guess, residual, step = _grid(s, s.guess, level), _grid(s, s.residual, level), _grid(s, s.step, level)
    coarse, row, columns, power = _grid(s, s.guess, level + 1), s.row, s.columns[level], NOTHING
    for R in range(s.rows[level + 1], 0, -1):
        _spread(row, coarse, R, s.columns[level + 1])
        _correct(guess, step, row, 2 * R, columns)
        _correct(guess, step, row, 2 * R - 1, columns)
        power += _smooth(guess, residual, step, row, 2 * R + 1, columns)
        power += _smooth(guess, residual, step, row, 2 * R, columns)
    return power + _smooth(guess, residual, step, row, 1, columns)


@kernel
def _spread(row: Floats, coarse: Floats, R: int, columns: int) -> None:
    for C in range(1, columns + 1):
        row[2 * C - 1] = coarse[R, C]
        row[2 * C] = coarse[R, C]


@kernel
def _correct(guess: Floats, step: Floats, row: Floats, r: int, columns: int) -> None:
    for c in range(1, columns + 1):
        guess[r, c] += row[c] if step[r, c] > 0 else NOTHING


@kernel
def _smooth(guess: Floats, residual: Floats, step: Floats, row: Floats, r: int, columns: int) -> np.float32:
    """Every pixel of a row becomes what its neighbours ask for; told is the product with the residual."""
    power = NOTHING
    for c in range(1, columns + 1):
        row[c] = step[r, c] * (residual[r, c] + _around(guess, r, c))
        power += row[c] * residual[r, c]
    for c in range(1, columns + 1):
        guess[r, c] = row[c]
    return power


@kernel
def _settle(s: Space, level: int) -> np.float32:
    """Nearly solve the coarsest grid: up and down as often as down and up."""
    guess, residual, step = _grid(s, s.guess, level), _grid(s, s.residual, level), _grid(s, s.step, level)
    rows, columns, power = s.rows[level], s.columns[level], NOTHING
    for r in range(1, rows + 1):
        for c in range(1, columns + 1):
            guess[r, c] = 0
    for sweep in range(2 * SWEEPS):
        power = NOTHING
        for r in range(1, rows + 1):
            power += _smooth(guess, residual, step, s.row, r if sweep < SWEEPS else rows + 1 - r, columns)
    return power


# -------------------------------------------------------------------------------------------------- conjugate gradients


@kernel
def _pose(s: Space) -> np.float32:
    """What the known pixels ask of the others; told is its square."""
    rows, columns, square = s.rows[0], s.columns[0], NOTHING
    for r in range(1, rows + 1):
        for c in range(1, columns + 1):
            s.residual[r, c] = s.unknown[r, c] * _around(s.solution, r, c)
            square += s.residual[r, c] ** 2
    return square


@kernel
def _turn(s: Space, share: np.float32) -> np.float32:
    """The next direction, from the guess and the last one; told is its product with what it moves."""
    direction, moved, step, product = s.direction, s.moved, s.step, NOTHING
    _mix(direction, s.guess, share, 1, s.columns[0])
    for r in range(1, s.rows[0] + 1):
        _mix(direction, s.guess, share, r + 1, s.columns[0])
        for c in range(1, s.columns[0] + 1):
            own = direction[r, c] / max(step[r, c], TINY)
            moved[r, c] = own - _around(direction, r, c) if step[r, c] > 0 else NOTHING
            product += direction[r, c] * moved[r, c]
    return product


@kernel
def _mix(direction: Floats, guess: Floats, share: np.float32, r: int, columns: int) -> None:
    for c in range(1, columns + 1):
        direction[r, c] = guess[r, c] + share * direction[r, c]


@kernel
def _advance(s: Space, length: np.float32) -> np.float32:
    """Go along the direction; told is the square of the residual."""
    residual, square = s.residual, NOTHING
    for r in range(1, s.rows[0] + 1):
        for c in range(1, s.columns[0] + 1):
            s.solution[r, c] += length * s.direction[r, c]
            residual[r, c] -= length * s.moved[r, c]
            square += residual[r, c] * residual[r, c]
    return square


@kernel
def _solve(s: Space, tolerance: float, rounds: int) -> None:
    """Restore the unknown pixels in `solution`."""
    left = _pose(s)
    goal = tolerance**2 * left
    before = TINY
    for number in range(rounds):
        if not left > goal:
            break
        power = _cycle(s)
        product = _turn(s, power / before if number > 0 else NOTHING)
        left = _advance(s, power / max(product, TINY))
        before = max(power, TINY)


@entrance
def _restore(s: Space, picture: Picture, kept: Mask, filled: Floats, tolerance: float, rounds: int) -> None:
    """Every channel by itself; as deviations from its mean, so that a flat image is restored at once."""
    _lay(s, kept)
    for channel in range(len(picture.pixels)):
        if channel == 0 or not picture.grey:
            _read(s, picture.pixels[channel], picture.mean[channel])
            _solve(s, tolerance, rounds)
        _write(s, picture, channel, filled[channel])


@kernel
def _read(s: Space, pixels: Floats, mean: np.float32) -> None:
    for r in range(s.rows[0]):
        for c in range(s.columns[0]):
            s.solution[r + 1, c + 1] = s.known[r + 1, c + 1] * (pixels[r, c] - mean)
            s.direction[r + 1, c + 1] = 0


@kernel
def _write(s: Space, picture: Picture, channel: int, filled: Floats) -> None:
    pixels, noise, mean = picture.pixels[channel], picture.noise[channel], picture.mean[channel]
    for r in range(s.rows[0]):
        for c in range(s.columns[0]):
            restored = s.solution[r + 1, c + 1] + mean + noise[r, c]
            clipped = min(max(restored, picture.lowest), picture.highest)
            filled[r, c] = pixels[r, c] if s.known[r + 1, c + 1] > 0 else clipped
