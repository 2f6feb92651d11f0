"""Floors and ceilings: rows without which no score can be read.

A floor knows nothing of the model; what it scores, any explainer gets for free. A ceiling knows the truth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional as F

from xaibench.contracts import ExplainerCard
from xaibench.errors import Unsupported, UsageError

if TYPE_CHECKING:
    from xaibench.contracts import Batch, Classifier, ExplainerNeed, Floats, Mask

Doubles: TypeAlias = NDArray[np.float64]


def _card(
    name: str,
    reference: Literal["floor", "ceiling"],
    summary: str,
    needs: tuple[ExplainerNeed, ...] = (),
    stochastic: bool = False,
) -> ExplainerCard:
    return ExplainerCard(
        name=name,
        version=2 if "masks" in needs else 1,  # 2: where there is no truth to draw, nothing is scored
        summary=summary,
        family="reference",
        reference=reference,
        needs=frozenset(needs),
        stochastic=stochastic,
        class_sensitive=False,
    )


# ------------------------------------------------------------------------------------------------------------ floors


class Random:
    """A new random number for every pixel."""

    card = _card("random", "floor", "Uniform noise, independent from pixel to pixel", stochastic=True)

    def explain(self, classifier: Classifier, batch: Batch) -> Floats:
        """Heatmaps [B, H, W]."""
        return np.stack([generator.random(_size(batch), dtype=np.float32) for generator in _generators(batch)])


class RandomBlurred:
    """Noise as smooth as a CAM: `sigma` is the width of its blobs, as a share of the image's shorter side."""

    card = _card("random-blurred", "floor", "Noise in blobs as large as those of a CAM", stochastic=True)

    def __init__(self, sigma: float = 0.05) -> None:
        self.sigma = _positive("random-blurred", "sigma", sigma)

    def explain(self, classifier: Classifier, batch: Batch) -> Floats:
        """Heatmaps [B, H, W]."""
        width = self.sigma * min(_size(batch))
        fields = [generator.random(_size(batch)) for generator in _generators(batch)]
        return np.stack([ndimage.gaussian_filter(field, width) for field in fields]).astype(np.float32)


class Constant:
    """The same value everywhere: not an explanation, and to be counted as failed wherever maps are counted."""

    card = _card("constant", "floor", "The same value everywhere: a map that must count as failed")

    def explain(self, classifier: Classifier, batch: Batch) -> Floats:
        """Heatmaps [B, H, W]."""
        return np.ones((len(batch.ids), *_size(batch)), dtype=np.float32)


class Centre:
    """A bell in the middle of the image; `sigma` is its width as a share of each side."""

    card = _card("centre", "floor", "A bell curve in the middle of the image")

    def __init__(self, sigma: float = 0.25) -> None:
        self.sigma = _positive("centre", "sigma", sigma)

    def explain(self, classifier: Classifier, batch: Batch) -> Floats:
        """Heatmaps [B, H, W]."""
        rows, columns = (self._profile(length) for length in _size(batch))
        return _for_all(np.outer(rows, columns), batch)

    def _profile(self, length: int) -> Doubles:
        offsets = (np.arange(length) + 0.5) / length - 0.5
        profile: Doubles = np.exp(-0.5 * (offsets / self.sigma) ** 2)
        return profile


class TissuePrior:
    """Where lesions were in the training images: the best that can be done without looking."""

    card = _card("tissue-prior", "floor", "The mean lesion mask of the training images", needs=("prior",))

    def explain(self, classifier: Classifier, batch: Batch) -> Floats:
        """Heatmaps [B, H, W]."""
        if batch.prior is None:
            raise UsageError("tissue-prior: the batch brings no prior, and this row is nothing else.")
        if not batch.prior.any():
            raise Unsupported("no lesion is drawn in a training image, or there are none: there is no prior to show")
        return _for_all(batch.prior, batch)


class Edges:
    """How steep the image is."""

    card = _card("edges", "floor", "Steepness of the image, by the Sobel filter")

    def explain(self, classifier: Classifier, batch: Batch) -> Floats:
        """Heatmaps [B, H, W]."""
        # One image at a time: scipy's filter smooths along every other axis, and would mix the images of a batch.
        slopes = [(ndimage.sobel(image, axis=0), ndimage.sobel(image, axis=1)) for image in _grey(batch)]
        return np.stack([np.hypot(down, across) for down, across in slopes]).astype(np.float32)


class Intensity:
    """How bright the image is."""

    card = _card("intensity", "floor", "The image itself")

    def explain(self, classifier: Classifier, batch: Batch) -> Floats:
        """Heatmaps [B, H, W]."""
        return _grey(batch).astype(np.float32)


# ---------------------------------------------------------------------------------------------------------- ceilings


class Roi:
    """The lesions themselves; zero everywhere on a normal image."""

    card = _card("roi", "ceiling", "The lesion masks themselves", needs=("masks",))

    def explain(self, classifier: Classifier, batch: Batch) -> Floats:
        """Heatmaps [B, H, W]."""
        return _truth(self, batch).astype(np.float32)


class RoiGrid:
    """The lesions as a map of `grid` x `grid` cells can show them at best: the ceiling of a CAM."""

    card = _card("roi-grid", "ceiling", "The lesion masks, as coarse as a CAM", needs=("masks",))

    def __init__(self, grid: int = 8) -> None:
        if grid < 1:
            raise UsageError(f"roi-grid: grid is {grid}; give the number of cells along a side, 1 or more.")
        self.grid = grid

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        truth = torch.from_numpy(_truth(self, batch)).float().unsqueeze(1)
        cells = F.adaptive_avg_pool2d(truth, self.grid)
        return F.interpolate(cells, _size(batch), mode="bilinear", align_corners=False).squeeze(1)


class RoiDegraded:
    """The lesions under noise: `noise` 0 is the lesions alone, 1 is noise alone.

    The map is `(1 - noise) * mask + noise * bell-shaped noise`, raised to start at 0. For one seed the noise is the
    same at every level, so a noisier map is, up to its scale, a less noisy one with every lesion pixel lowered by one
    amount: its lesions cannot rank higher. At 0.5 lesions stand out from the noise by one standard deviation.
    """

    card = _card("roi-degraded", "ceiling", "The lesion masks under noise", needs=("masks",), stochastic=True)

    def __init__(self, noise: float = 0.25) -> None:
        if not 0 <= noise <= 1:
            raise UsageError(f"{self.card.name}: noise is {noise}; give a value from 0 (none) to 1 (nothing else).")
        self.noise = noise

    def explain(self, classifier: Classifier, batch: Batch) -> Floats:
        """Heatmaps [B, H, W]."""
        noise = np.stack([generator.standard_normal(_size(batch)) for generator in _generators(batch)])
        maps = (1 - self.noise) * _truth(self, batch) + self.noise * noise
        raised: Floats = (maps - maps.min(axis=(1, 2), keepdims=True)).astype(np.float32)
        return raised


class RoiDegradedMore(RoiDegraded):
    """The lesions under noise as strong as they are bright."""

    card = _card("roi-degraded-more", "ceiling", "The lesion masks under more noise", needs=("masks",), stochastic=True)

    def __init__(self, noise: float = 0.5) -> None:
        super().__init__(noise)


class RoiDegradedMost(RoiDegraded):
    """The lesions all but drowned in noise."""

    card = _card("roi-degraded-most", "ceiling", "The lesion masks under most noise", needs=("masks",), stochastic=True)

    def __init__(self, noise: float = 0.7) -> None:
        super().__init__(noise)


# ------------------------------------------------------------------------------------------------------------- parts


def _size(batch: Batch) -> tuple[int, int]:
    rows, columns = batch.images.shape[2:]
    return rows, columns


def _generators(batch: Batch) -> list[np.random.Generator]:
    """One per sample, from its own seed."""
    return [np.random.default_rng(seed) for seed in batch.seeds]


def _positive(explainer: str, parameter: str, value: float) -> float:
    if not value > 0:
        raise UsageError(f"{explainer}: {parameter} is {value}; give a share of the image's side above 0, as 0.1.")
    return value


def _for_all(one: Doubles | Floats, batch: Batch) -> Floats:
    return np.repeat(one[np.newaxis].astype(np.float32), len(batch.ids), axis=0)


def _grey(batch: Batch) -> Doubles:
    """The mean of the channels."""
    grey: Doubles = batch.images.detach().mean(dim=1, dtype=torch.float64).cpu().numpy()
    return grey


def _truth(explainer: Roi | RoiGrid | RoiDegraded, batch: Batch) -> Mask:
    if batch.masks is None:
        raise UsageError(f"{explainer.card.name}: the batch brings no masks, and this row is made of them.")
    return batch.masks
