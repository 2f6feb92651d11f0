"""How much the score falls where a window is covered."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import torch

from xaibench.contracts import ExplainerCard
from xaibench.errors import UsageError
from xaibench_adapters.masked_scores import (
    CHUNK,
    checked_infill,
    checked_output,
    masked_scores,
    with_infill,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xaibench.contracts import Batch, Classifier


def in_pixels(name: str, size: float, side: int) -> int:
    """A length given in pixels, or, if below 1, as a share of the image's shorter side."""
    if not size > 0:
        raise UsageError(f"{name} is {size!r}; give pixels (1 or more) or a share of the shorter side (below 1).")
    return max(1, round(size * side)) if size < 1 else min(side, round(size))


@dataclass(frozen=True, eq=False)
class Windows:
    """Square windows in regular steps over an image; the last of a row may reach over the border, and is cut there."""

    rows: torch.Tensor  # [R, H] True where a window is
    columns: torch.Tensor  # [C, W]

    @classmethod
    def over(cls, shape: Sequence[int], window: int, stride: int, device: torch.device) -> Windows:
        """Windows that cover an image of this height and width."""
        return cls(*(_spans(side, window, stride).to(device) for side in shape))

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    def masks(self) -> Iterator[torch.Tensor]:
        """1 outside the window [m, H, W], window by window."""
        for some in torch.split(torch.arange(len(self), device=self.rows.device), CHUNK):
            rows, columns = self.rows[some // len(self.columns)], self.columns[some % len(self.columns)]
            yield ~(rows[:, :, None] & columns[:, None, :])

    def spread(self, values: torch.Tensor) -> torch.Tensor:
        """At each pixel, the mean of the values [R * C] of the windows over it."""
        grid = values.reshape(len(self.rows), len(self.columns)).double()
        sums, covers = (self._painted(each) for each in (grid, torch.ones_like(grid)))
        return (sums / covers).float()

    def areas(self) -> torch.Tensor:
        """Pixels of each window [R * C]."""
        return (self.rows.sum(dim=1)[:, None] * self.columns.sum(dim=1)).flatten()

    def _painted(self, grid: torch.Tensor) -> torch.Tensor:
        return self.rows.double().T @ grid @ self.columns.double()


def _spans(side: int, window: int, stride: int) -> torch.Tensor:
    """Which of the pixels of a side each window covers."""
    count = 1 + max(0, math.ceil((side - window) / stride))
    starts, places = torch.arange(count)[:, None] * stride, torch.arange(side)
    return (places >= starts) & (places < starts + window)


class Occlusion:
    """Each pixel shows the mean fall of the score over the windows that cover it.

    window, stride: in pixels, or below 1 as a share of the image's shorter side.
    infill: what covers the window: black, mean (of each channel), blur, noise.
    output: what falls: the logit, or the probability.
    """

    card = ExplainerCard(
        name="occlusion",
        dear=True,
        summary="Fall of the score when a sliding window covers a part of the image",
        paper="Visualizing and Understanding Convolutional Networks (Zeiler and Fergus, 2014)",
        family="perturbation",
        sign="signed",
        profiles={
            "quick": {"window": 0.17, "stride": 0.085},  # 11 x 11 windows
            "standard": {"window": 1 / 7, "stride": 1 / 14},  # 32 and 16 pixels at 224: 13 x 13
            "paper": {"window": 0.22, "stride": 0.02, "output": "probability"},  # about 50 of 224 pixels
        },
    )

    def __init__(
        self, *, window: float = 1 / 7, stride: float = 1 / 14, infill: str = "mean", output: str = "logit"
    ) -> None:
        for name, size in (("window", window), ("stride", stride)):
            in_pixels(name, size, 2)
        if stride > window and (stride < 1) == (window < 1):
            raise UsageError(f"stride is {stride!r} and window {window!r}: pixels between windows would have no value.")
        self.window, self.stride = window, stride
        self.infill, self.output = checked_infill(infill), checked_output(output)
        self.card = with_infill(type(self).card, self.infill)

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        shape = batch.images.shape[2:]
        window, stride = (
            in_pixels(name, size, min(shape)) for name, size in (("window", self.window), ("stride", self.stride))
        )
        stride = min(stride, window)  # one may be a share and the other in pixels
        return torch.stack([*self._falls(classifier, batch, Windows.over(shape, window, stride, classifier.device))])

    def _falls(self, classifier: Classifier, batch: Batch, windows: Windows) -> Iterator[torch.Tensor]:
        nothing = torch.ones((1, *batch.images.shape[2:]), dtype=torch.bool, device=classifier.device)
        masks = lambda _index: chain((nothing,), windows.masks())  # noqa: E731
        for scores in masked_scores(classifier, batch, masks, self.infill, self.output):
            yield windows.spread(scores[0] - scores[1:])


class SlidingWindow:
    """Occlusion with windows of several sizes.

    Each fall is shared among the pixels of its window, and the sizes are averaged: a fall that belongs to a small
    place counts the more, and a large structure is not missed either.

    windows: sides joined by +, in pixels or below 1 as shares of the image's shorter side. The stride is half a side.
    infill, output: as for occlusion.
    """

    card = ExplainerCard(
        name="sliding-window",
        summary="Fall of the score per covered pixel, for sliding windows of several sizes",
        paper="Visualizing and Understanding Convolutional Networks (Zeiler and Fergus, 2014), at several scales",
        family="perturbation",
        sign="signed",
        default=False,
        profiles={
            "quick": {"windows": "0.5+0.35+0.21"},  # 9 + 25 + 81 windows
            "standard": {"windows": "0.4+0.2+0.1"},
            "paper": {"windows": "0.4+0.2+0.1+0.05"},
        },
    )

    def __init__(self, *, windows: str = "0.4+0.2+0.1", infill: str = "mean", output: str = "logit") -> None:
        self.windows = _sizes(windows)
        self.infill, self.output = checked_infill(infill), checked_output(output)
        self.card = with_infill(type(self).card, self.infill)

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        shape = batch.images.shape[2:]
        sides = [in_pixels("windows", size, min(shape)) for size in self.windows]
        scales = [Windows.over(shape, side, max(1, side // 2), classifier.device) for side in sides]
        nothing = torch.ones((1, *shape), dtype=torch.bool, device=classifier.device)
        masks = lambda _index: chain((nothing,), *(scale.masks() for scale in scales))  # noqa: E731
        scores = masked_scores(classifier, batch, masks, self.infill, self.output)
        return torch.stack([_mean_over(scales, one[0] - one[1:]) for one in scores])


def _mean_over(scales: Sequence[Windows], falls: torch.Tensor) -> torch.Tensor:
    parts = torch.split(falls, [len(scale) for scale in scales])
    maps = [scale.spread(part / scale.areas()) for scale, part in zip(scales, parts, strict=True)]
    return torch.stack(maps).mean(dim=0)


def _sizes(text: str) -> list[float]:
    try:
        sizes = [float(part) for part in str(text).split("+")]
    except ValueError:
        raise UsageError(f"windows is {text!r}; give sizes joined by +, as in 0.4+0.2+0.1 or 64+32.") from None
    for size in sizes:
        in_pixels("windows", size, 2)
    return sizes
