"""Training images are turned, mirrored and toned where they are: on the device, a whole batch at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from xaibench_models.recipes import Augmentation


def augmented(images: torch.Tensor, how: Augmentation, seed: int) -> torch.Tensor:
    """Every image changed by chance; the same seed, the same changes, on any device."""
    chance = torch.Generator().manual_seed(seed)
    images = _flipped(images, how, chance)
    if how.rotate:
        images = _rotated(images, how.rotate * (2 * _draw(images, chance) - 1))
    return _toned(images, how, chance)


def _draw(images: torch.Tensor, chance: torch.Generator) -> torch.Tensor:
    """A number in [0, 1) per image. Drawn on the CPU, whose generator is the same everywhere."""
    return torch.rand(len(images), generator=chance).to(images.device)


def _flipped(images: torch.Tensor, how: Augmentation, chance: torch.Generator) -> torch.Tensor:
    """Moves that take pixels as they are."""
    if how.mirror:
        images = torch.where(_draw(images, chance)[:, None, None, None] < 0.5, images.flip(3), images)
    if how.upend:
        images = torch.where(_draw(images, chance)[:, None, None, None] < 0.5, images.flip(2), images)
    if how.quarter_turns and images.shape[2] == images.shape[3]:
        turns = (4 * _draw(images, chance)).long()[:, None, None, None]
        for number in (1, 2, 3):
            images = torch.where(turns == number, images.rot90(number, (2, 3)), images)
    return images


def _rotated(images: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
    """About the centre, bilinear; what comes from outside is black."""
    angle, ratio = degrees * (math.pi / 180), images.shape[2] / images.shape[3]
    cosine, sine, none = angle.cos(), angle.sin(), torch.zeros_like(angle)
    rows = [torch.stack([cosine, -sine * ratio, none], 1), torch.stack([sine / ratio, cosine, none], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _toned(images: torch.Tensor, how: Augmentation, chance: torch.Generator) -> torch.Tensor:
    """Contrast about each image's own mean, then brightness; pixels stay in [0, 1]."""
    if how.contrast:
        factor = 1 + how.contrast * (2 * _draw(images, chance) - 1)[:, None, None, None]
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        images = mean + factor * (images - mean)
    if how.brightness:
        images = images + how.brightness * (2 * _draw(images, chance) - 1)[:, None, None, None]
    return images.clamp(0, 1) if how.contrast or how.brightness else images
