"""Pixels restored from those around them: every removed pixel is the weighted mean of its neighbours.

That is one sparse linear system per mask, symmetric and positive definite as long as one pixel is left. It is solved
by conjugate gradients; a cycle over ever coarser grids, on which whole regions are restored in one step, keeps the
rounds to less than a dozen however large the removed regions are. A coarse pixel is to be restored if any of those that
it stands for is, and is held by all kept pixels that they touch.

On a processor masks are restored one by one in compiled code (`xaibench.restoring`), elsewhere many together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xaibench.contracts import Floats, Mask

# A neighbour beside weighs 1/6, one across a corner 1/12: 12 times as much is (1, 2, 1) along rows times the same along
# columns, less the pixel's own 4.
TWELVE, OWN = 12, 4
TOLERANCE = 2e-4  # of the residual: pixels are then right to a few 0.0001, where the noise that is added is 0.01
ROUNDS = 200
DAMPING = 0.9  # of a Jacobi step: without any, a row of pixels by itself would not be smoothed
COARSEST = 8  # pixels along the longer side
SWEEPS = 3  # on the coarsest grid
TINY = 1e-30


class Restoration(NamedTuple):
    """An image [C, H, W], and masks [M, H, W] that each keep some of its pixels."""

    image: torch.Tensor
    kept: torch.Tensor
    noise: torch.Tensor | None = None  # [C, H, W] on top of what is restored, which then is clipped to [0, 1]


def harmonic(image: torch.Tensor, kept: torch.Tensor, tolerance: float = TOLERANCE) -> torch.Tensor:
    """The image [C, H, W] with the pixels that a mask [M, H, W] does not keep restored from the others: [M, C, H, W].

    If nothing is kept, nothing can be restored: the answer is the mean of each channel.
    """
    return restorations([Restoration(image, kept)], tolerance)[0]


@torch.no_grad()
def restorations(wanted: Sequence[Restoration], tolerance: float = TOLERANCE) -> list[torch.Tensor]:
    """Many of those, of images that are on one device."""
    for image, kept, _ in wanted:
        if kept.shape[1:] != image.shape[1:]:
            msg = (
                f"masks of {tuple(kept.shape[1:])} pixels for an image of {tuple(image.shape[1:])}: give the same size"
            )
            raise ValueError(msg)
    on_processor = all(one.image.device.type == "cpu" for one in wanted)
    found = one_by_one(wanted, tolerance) if on_processor else [together(one, tolerance) for one in wanted]
    return [_with_kept(*pair) for pair in zip(wanted, found, strict=True)]


def _with_kept(wanted: Restoration, found: torch.Tensor) -> torch.Tensor:
    """What is kept stays as it is: single precision, in which pixels are restored, could round it."""
    if wanted.image.dtype == torch.float32:
        return found
    kept = wanted.kept.to(found.device, torch.bool).unsqueeze(1)
    return torch.where(kept, wanted.image, found.to(wanted.image.dtype))


def one_by_one(wanted: Sequence[Restoration], tolerance: float = TOLERANCE) -> list[torch.Tensor]:
    """As `restorations`, on a processor."""
    # Here, since loading numba takes longer than most of what needs no restoring.
    from xaibench.restoring import Job, restored

    jobs = [
        Job(_single(image), _plain(kept), None if noise is None else _single(noise)) for image, kept, noise in wanted
    ]
    return [torch.from_numpy(filled) for filled in restored(jobs, tolerance, ROUNDS)]


def _plain(kept: torch.Tensor) -> Mask:
    return np.asarray(kept.to("cpu", torch.bool).contiguous())


def _single(image: torch.Tensor) -> Floats:
    return np.asarray(image.detach().float().contiguous())


def together(wanted: Restoration, tolerance: float = TOLERANCE) -> torch.Tensor:
    """One of them, on any device."""
    image, kept = wanted.image.float(), wanted.kept.to(wanted.image.device, torch.bool).unsqueeze(1)
    grey = len(image) > 1 and bool((image == image[:1]).all())  # a film with its one channel repeated
    restored = _restored(image[:1] if grey else image, kept, tolerance)
    if wanted.noise is not None:
        restored = (restored + wanted.noise).clamp(0, 1)
    return torch.where(kept, image, restored)


def _restored(image: torch.Tensor, kept: torch.Tensor, tolerance: float) -> torch.Tensor:
    unknown = 1 - kept.float()
    grid = _Grid(unknown, unknown * _neighbours(kept.float()))
    # Deviations from the mean, so that a flat image is restored exactly and at once.
    mean = image.mean(dim=(1, 2), keepdim=True)
    known = torch.where(kept, image - mean, 0)
    return _conjugate_gradients(grid, unknown * _neighbours(known), tolerance) + mean


def _neighbours(pixels: torch.Tensor) -> torch.Tensor:
    """Weighted sum of the eight neighbours of every pixel; beyond the border there is nothing."""
    padded = F.pad(pixels, (1, 1, 1, 1))
    rows = (padded[..., :-2, :] + padded[..., 2:, :]).add_(padded[..., 1:-1, :], alpha=2)
    total = (rows[..., :-2] + rows[..., 2:]).add_(rows[..., 1:-1], alpha=2)
    return total.sub_(pixels, alpha=OWN).div_(TWELVE)


def _dot(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return (one * other).sum(dim=(2, 3), keepdim=True)


class _Grid:
    """The unknown pixels [M, 1, H, W] and how much the known ones hold them; the same on a grid of half the size."""

    def __init__(self, unknown: torch.Tensor, held: torch.Tensor) -> None:
        self.unknown = unknown
        self.minus = -unknown
        self.weight = held + _neighbours(unknown)  # of the neighbours that exist
        self.step = unknown * (DAMPING / self.weight.clamp(min=TINY))
        H, W = unknown.shape[-2:]
        self.odd = (0, W % 2, 0, H % 2)
        # The depth depends on the size alone: on what is removed, neighbours in the batch would matter.
        self.coarse = _Grid(self._any(unknown), self._sums(held)) if max(H, W) > COARSEST else None

    def _any(self, pixels: torch.Tensor) -> torch.Tensor:
        return F.max_pool2d(F.pad(pixels, self.odd), 2)

    def _sums(self, pixels: torch.Tensor) -> torch.Tensor:
        return OWN * F.avg_pool2d(F.pad(pixels, self.odd), 2)

    def apply(self, pixels: torch.Tensor) -> torch.Tensor:
        """The matrix: what a pixel differs from its neighbours, weighed."""
        return _neighbours(pixels).addcmul_(self.weight, pixels, value=-1).mul_(self.minus)

    def cycle(self, residual: torch.Tensor) -> torch.Tensor:
        """A cheap guess at the solution: smooth, correct from the coarser grid, smooth again. It is symmetric."""
        guess = self.step * residual
        if self.coarse is None:
            for _ in range(SWEEPS):
                guess.addcmul_(self.step, residual - self.apply(guess))
            return guess
        correction = self.coarse.cycle(self._sums(residual - self.apply(guess)))
        fine = F.interpolate(correction, scale_factor=2)[..., : residual.shape[-2], : residual.shape[-1]]
        guess.addcmul_(self.unknown, fine)
        return guess.addcmul_(self.step, residual - self.apply(guess))


def _conjugate_gradients(grid: _Grid, known: torch.Tensor, tolerance: float) -> torch.Tensor:
    """Solve for every mask and channel; each stops when it is done, whatever the others do."""
    solution, residual = torch.zeros_like(known), known
    direction = grid.cycle(residual)
    power = _dot(residual, direction)
    goal = tolerance**2 * _dot(known, known)
    for _ in range(ROUNDS):
        active = _dot(residual, residual) > goal
        if not active.any():
            break
        moved = grid.apply(direction)
        length = torch.where(active, power / _dot(direction, moved).clamp(min=TINY), 0)
        solution.addcmul_(length, direction)
        residual = residual.addcmul(length, moved, value=-1)
        better = grid.cycle(residual)
        before, power = power, _dot(residual, better)
        direction = better.addcmul(power / before.clamp(min=TINY), direction)
    return solution
