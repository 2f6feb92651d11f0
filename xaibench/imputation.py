"""Pixels restored from those around them: every removed pixel is the weighted mean of its neighbours.

That is one sparse linear system per mask, symmetric and positive definite as long as one pixel is left. It is solved
by conjugate gradients; a cycle over ever coarser grids, on which whole regions are restored in one step, keeps the
rounds to less than a dozen however large the removed regions are. A coarse pixel is to be restored if any of those that
it stands for is, and is held by all kept pixels that they touch.

On a processor masks are restored one by one in compiled code (`xaibench.restoring`), elsewhere many together.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

# A neighbour beside weighs 1/6, one across a corner 1/12: 12 times as much is (1, 2, 1) along rows times the same along
# columns, less the pixel's own 4.
TWELVE, OWN = 12, 4
TOLERANCE = 2e-4  # of the residual: pixels are then right to a few 0.0001, where the noise that is added is 0.01
ROUNDS = 200
DAMPING = 0.9  # of a Jacobi step: without any, a row of pixels by itself would not be smoothed
COARSEST = 8  # pixels along the longer side
SWEEPS = 3  # on the coarsest grid
TINY = 1e-30


@torch.no_grad()
def harmonic(image: torch.Tensor, kept: torch.Tensor, tolerance: float = TOLERANCE) -> torch.Tensor:
    """The image [C, H, W] with the pixels that a mask [M, H, W] does not keep restored from the others: [M, C, H, W].

    If nothing is kept, nothing can be restored: the answer is the mean of each channel.
    """
    kept = kept.to(image.device, torch.bool)
    if len(image) > 1 and bool((image == image[:1]).all()):  # a grey film with its one channel repeated
        return harmonic(image[:1], kept, tolerance).expand(-1, len(image), -1, -1)
    return (one_by_one if image.device.type == "cpu" else together)(image, kept, tolerance)


def one_by_one(image: torch.Tensor, kept: torch.Tensor, tolerance: float = TOLERANCE) -> torch.Tensor:
    """As `harmonic`, on a processor."""
    # Here, since loading numba takes longer than most of what needs no restoring.
    from xaibench.restoring import restored

    pixels = image.detach().float().contiguous().numpy()
    return torch.from_numpy(restored(pixels, kept.contiguous().numpy(), tolerance, ROUNDS)).to(image.dtype)


def together(image: torch.Tensor, kept: torch.Tensor, tolerance: float = TOLERANCE) -> torch.Tensor:
    """As `harmonic`, on any device."""
    kept = kept.unsqueeze(1)
    unknown = 1 - kept.float()
    grid = _Grid(unknown, unknown * _neighbours(kept.float()))
    # Deviations from the mean, so that a flat image is restored exactly and at once.
    mean = image.float().mean(dim=(1, 2), keepdim=True)
    known = torch.where(kept, image.float() - mean, 0)
    solved = _conjugate_gradients(grid, unknown * _neighbours(known), tolerance)
    return torch.where(kept, image, (solved + mean).to(image.dtype))


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
