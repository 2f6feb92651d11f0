"""Gradients gathered on a way from an image that shows nothing to the image itself."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from xaibench.contracts import ExplainerCard
from xaibench.errors import UsageError
from xaibench_adapters.drawing import Baselines, at_least, baseline, checked_baselines, generator, noisy, not_negative
from xaibench_adapters.gradients import AT_ONCE_ELSEWHERE, version_gradients

if TYPE_CHECKING:
    from numpy import typing as npt

    from xaibench.contracts import Batch, Classifier


class IntegratedGradients:
    """Gradients averaged on the straight way from a blank image, times the pixel, added over channels.

    steps: places on the way (those of Gauss and Legendre); shade: the blank image's, from 0 (black) to 1.
    """

    card = ExplainerCard(
        name="integrated-gradients",
        version=2,
        summary="Gradients averaged on the straight way from a black image, times the pixel, added over channels",
        paper="Axiomatic Attribution for Deep Networks (Sundararajan et al., 2017)",
        family="gradient",
        sign="signed",
        additive=True,
        needs=frozenset({"gradients"}),
        dear=True,
        profiles={"quick": {"steps": 16}, "paper": {"steps": 300}},  # the paper advises 20 to 300
    )

    def __init__(self, steps: int = 50, shade: float = 0.0) -> None:
        self.steps, self.shade = at_least(self.card.name, "steps", steps), shade
        if shade:
            self.card = replace(self.card, additive=False)  # it adds up to the gain over another image

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        places, weights = np.polynomial.legendre.leggauss(self.steps)
        places, weights = (places + 1) / 2, weights / 2  # from [-1, 1] to [0, 1]
        way = batch.images - self.shade

        def version(image: int, step: int) -> torch.Tensor:
            return self.shade + way[image] * float(places[step])

        sums = torch.zeros_like(batch.images)
        for (image, step), gradient in version_gradients(classifier, batch, self.steps, version):
            sums[image].add_(gradient, alpha=float(weights[step]))
        return (sums * way).sum(dim=1)


class GradientShap:
    """Gradients at random places on the ways from random blank images, under noise, times the way.

    samples: gradients for each map; baselines: "shades" of grey, uniform "noise", or "black"; noise: standard
    deviation of what is added to the image, as a share of its range.
    """

    card = ExplainerCard(
        name="gradient-shap",
        summary="Gradients at random places on the ways from random blank images, times the way, averaged",
        paper="A Unified Approach to Interpreting Model Predictions (Lundberg and Lee, 2017)",
        family="gradient",
        sign="signed",
        stochastic=True,
        needs=frozenset({"gradients"}),
        default=False,
        profiles={"quick": {"samples": 16}},
    )

    def __init__(self, samples: int = 50, baselines: Baselines = "shades", noise: float = 0.05) -> None:
        self.samples = at_least(self.card.name, "samples", samples)
        self.baselines = checked_baselines(self.card.name, baselines)
        self.noise = not_negative(self.card.name, "noise", noise)

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""

        def ends(image: int, number: int) -> tuple[torch.Tensor, torch.Tensor]:
            start = baseline(batch, "gradient-shap", self.baselines, image, number, self.samples)
            return start, noisy(batch, "gradient-shap-noise", image, number, self.noise)

        def version(image: int, number: int) -> torch.Tensor:
            source = generator(batch, "gradient-shap-place", image, number)
            place = torch.rand((), generator=source, device=batch.images.device)
            start, end = ends(image, number)
            return torch.lerp(start, end, place)

        sums = torch.zeros_like(batch.images)
        for (image, number), gradient in version_gradients(classifier, batch, self.samples, version):
            start, end = ends(image, number)
            sums[image] += gradient * (end - start)
        return (sums / self.samples).sum(dim=1)


class BlurIG:
    """Gradients gathered while the image comes into focus: no blank image, and no new structure on the way.

    steps: places on the way; sigma: width of the blur at its start, as a share of the image's shorter side.
    """

    card = ExplainerCard(
        name="blur-ig",
        summary="Gradients gathered while a blurred image comes into focus, times the change, added over channels",
        paper="Attribution in Scale and Space (Xu et al., 2020)",
        family="gradient",
        sign="signed",
        needs=frozenset({"gradients"}),
        default=False,
        profiles={"quick": {"steps": 20}},
    )

    def __init__(self, steps: int = 50, sigma: float = 0.2) -> None:
        self.steps = at_least(self.card.name, "steps", steps)
        if not 0 < sigma < float("inf"):
            raise UsageError(f"{self.card.name}: sigma is {sigma}; give a share of the image's side above 0.")
        self.sigma = sigma

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        focus = Focus(batch.images, self.steps, self.sigma)

        def middle(image: int, step: int) -> torch.Tensor:
            return (focus.frame(image, step) + focus.frame(image, step + 1)) / 2

        sums = torch.zeros_like(batch.images)
        for (image, step), gradient in version_gradients(classifier, batch, self.steps, middle):
            sums[image] += gradient * (focus.frame(image, step + 1) - focus.frame(image, step))
        return sums.sum(dim=1)


class Focus:
    """Images on their way from blurred to sharp; beyond their edges they are black.

    To blur is to multiply by a matrix from either side, which is quicker than a wide filter, and needs no memory for
    frames that are not looked at.
    """

    def __init__(self, images: torch.Tensor, steps: int, sigma: float) -> None:
        self.images = images
        widths = sigma * min(images.shape[2:]) * np.linspace(1, 0, steps + 1) ** 2
        self.down, self.across = (_blurs(length, widths).to(images) for length in images.shape[2:])
        self.frame = lru_cache(maxsize=4 * AT_ONCE_ELSEWHERE)(self._frame)  # each is asked for four times, soon after

    def _frame(self, image: int, step: int) -> torch.Tensor:
        """The image [C, H, W] after so many steps: 0 is the most blurred, the last the image itself."""
        return self.down[step] @ self.images[image] @ self.across[step]


def _blurs(length: int, widths: npt.NDArray[np.float64]) -> torch.Tensor:
    """A symmetric matrix [length, length] for each width of a Gaussian."""
    places = np.arange(length)
    return torch.from_numpy(np.stack([_blur(places[:, None] - places, float(width)) for width in widths]))


def _blur(distances: npt.NDArray[np.int64], width: float) -> npt.NDArray[np.float64]:
    if width == 0:
        return np.eye(len(distances))
    reach = np.arange(-int(6 * width) - 1, int(6 * width) + 2)
    blur: npt.NDArray[np.float64] = _bell(distances, width) / _bell(reach, width).sum()
    return blur


def _bell(distances: npt.NDArray[np.int64], width: float) -> npt.NDArray[np.float64]:
    bell: npt.NDArray[np.float64] = np.exp(-0.5 * (distances / width) ** 2)
    return bell
