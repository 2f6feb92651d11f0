"""Tokens of a vision transformer as the places of the image that they came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xaibench.errors import Unsupported

if TYPE_CHECKING:
    import torch


def as_maps(name: str, output: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
    """Feature maps [B, C, h, w] of a layer's output: as it is, or tokens [B, N, C] laid out as patches."""
    if output.ndim == 4:
        return output
    skipped, rows, columns = token_grid(name, output.shape[1], size)
    patches = output[:, skipped:]
    return patches.transpose(1, 2).reshape(len(output), -1, rows, columns)


def token_grid(name: str, tokens: int, size: tuple[int, ...]) -> tuple[int, int, int]:
    """How many tokens come before the patches (a class token, or none), and the patches' rows and columns.

    Patches are taken to be square, so that their grid has the proportions of the image.
    """
    for skipped in (1, 0):
        rows = round(((tokens - skipped) * size[0] / size[1]) ** 0.5)
        columns = round(rows * size[1] / size[0])
        if rows * columns == tokens - skipped and rows > 0:
            return skipped, rows, columns
    raise Unsupported(
        f"{name} put out {tokens} tokens, which fill no grid of the proportions of an image of {size[0]} x {size[1]}, "
        "neither with a class token nor without."
    )
