"""What is seen where pixels are taken away: the one place where explainers and metrics get their replacement from.

No infill is neutral. Black is tissue-free film, a mean is a grey patch, a blur still shows large things, noise is a
texture, and interpolation from what is left may restore what was taken away. So results name their infill.

- black: zeros.
- mean: the mean of each channel of the image.
- blur: the image through a Gaussian whose standard deviation is `BLUR` of the longer side.
- noise: the image's own pixels in random order: its exact histogram, and no structure.
- noisy-linear: every removed pixel is the weighted mean of its eight neighbours (weight 1/6 beside, 1/12 across a
  corner; at the border of the image, of those that exist), and a little noise on top, clipped to [0, 1]. It depends
  on which pixels are removed.

The same image and seed, the same infill. noisy-linear adds the same noise to a pixel whatever else is removed.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from xaibench.contracts import Masking
from xaibench.errors import UsageError
from xaibench.imputation import Restoration, restorations
from xaibench.seeds import derive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

BLUR = 0.05  # standard deviation of the blur, as a share of the longer side
REACH = 3.0  # standard deviations after which the blur's kernel ends
NOISE = 0.01  # standard deviation of the noise on imputed pixels
CHUNK = 16  # masks of an image that go on together
AHEAD = 64 * 224**2  # pixels that are imputed at once


def _black(image: torch.Tensor, seed: int) -> torch.Tensor:
    return torch.zeros_like(image)


def _mean(image: torch.Tensor, seed: int) -> torch.Tensor:
    return image.mean(dim=(1, 2), keepdim=True).expand_as(image).contiguous()


def _blur(image: torch.Tensor, seed: int) -> torch.Tensor:
    sigma = BLUR * max(image.shape[1:])
    reach = int(REACH * sigma + 0.5)
    offsets = torch.arange(-reach, reach + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    rows = F.conv2d(_padded(image.unsqueeze(1), reach, 0), kernel.view(1, 1, -1, 1))
    return F.conv2d(_padded(rows, 0, reach), kernel.view(1, 1, 1, -1)).squeeze(1)


def _padded(images: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """The borders go on as they are, so that they do not darken."""
    return F.pad(images, (columns, columns, rows, rows), mode="replicate")


def _noise(image: torch.Tensor, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(derive("noise", seed))
    order = torch.randperm(image.shape[1] * image.shape[2], generator=generator).to(image.device)
    return image.flatten(1)[:, order].view_as(image)


PLAIN: dict[str, Callable[[torch.Tensor, int], torch.Tensor]] = {
    "black": _black,
    "mean": _mean,
    "blur": _blur,
    "noise": _noise,
}
IMPUTED = ("noisy-linear",)
NAMES = (*PLAIN, *IMPUTED)


@dataclass(frozen=True)
class Infill:
    """One way to replace pixels. Ask `of` if it does not depend on the mask, `impute` if it does."""

    name: str

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise UsageError(f"infill is {self.name!r}; give one of: {', '.join(NAMES)}.")

    @property
    def needs_mask(self) -> bool:
        """Whether what is filled in depends on what is removed."""
        return self.name in IMPUTED

    def of(self, image: torch.Tensor, seed: int) -> torch.Tensor:
        """The replacement [C, H, W] of all pixels of an image."""
        if self.needs_mask:
            raise UsageError(
                f"infill {self.name!r} depends on the mask: it cannot replace pixels that it was not told."
            )
        return PLAIN[self.name](image, seed)

    def impute(self, image: torch.Tensor, masks: torch.Tensor, seed: int) -> torch.Tensor:
        """A replacement [M, C, H, W] for each of the masks [M, H, W]: 1 (or True) keeps a pixel, 0 removes it."""
        if not self.needs_mask:
            return self.of(image, seed).expand(len(masks), *image.shape)
        return restorations([Restoration(image, masks, _faint_noise(image, seed))])[0]

    def maskings(self, image: torch.Tensor, masks: Iterable[torch.Tensor], seed: int) -> Iterator[Masking]:
        """What to give to `Classifier.masked_many`; all its answers in a row are those to the masks."""
        return self.all_maskings([(image, masks, seed)])

    def all_maskings(self, images: Iterable[tuple[torch.Tensor, Iterable[torch.Tensor], int]]) -> Iterator[Masking]:
        """Those of many images, each with its masks and seed."""
        if not self.needs_mask:
            yield from (Masking(image, masks, self.of(image, seed)) for image, masks, seed in images)
            return
        for some in _gathered(_wanted(*one) for one in images):
            for one, filled in zip(some, restorations(some), strict=True):
                yield Masking(one.image, (one.kept,), filled)


def _faint_noise(image: torch.Tensor, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(derive("noisy-linear", seed))
    return NOISE * torch.randn(image.shape, generator=generator, dtype=torch.float32).to(image)


def _wanted(image: torch.Tensor, masks: Iterable[torch.Tensor], seed: int) -> Iterator[Restoration]:
    noise = _faint_noise(image, seed)
    for item in masks:
        for chunk in torch.split(item.reshape(-1, *item.shape[-2:]), CHUNK):
            yield Restoration(image, chunk, noise)


def _gathered(images: Iterable[Iterable[Restoration]]) -> Iterator[list[Restoration]]:
    """As many as keep all cores busy until they are restored, whatever images they belong to."""
    some: list[Restoration] = []
    pixels = 0
    for one in itertools.chain.from_iterable(images):
        some.append(one)
        pixels += (len(one.kept) + 1) * one.image.numel()  # the image itself is held, too
        if pixels >= AHEAD:
            yield some
            some, pixels = [], 0
    if some:
        yield some


def infill(name: str, image: torch.Tensor, seed: int, mask: torch.Tensor | None = None) -> torch.Tensor:
    """The replacement [C, H, W] of an image; `mask` [H, W] (1 keeps, 0 removes) only for those that depend on it."""
    found = Infill(name)
    return found.of(image, seed) if mask is None else found.impute(image, mask.unsqueeze(0), seed)[0]
