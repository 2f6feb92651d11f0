"""Gradients of each image's own logit with respect to its pixels, and averages of them over versions of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakSet

import torch

from xaibench.batching import Batcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import nn

    from xaibench.contracts import Batch, Classifier

    Item = tuple[int, int]  # image in the batch, version of it

# Images in one pass forward and backward, where versions of few images are asked for; fewer if memory runs out.
AT_ONCE = {"cuda": 64}
AT_ONCE_ELSEWHERE = 16

# Networks that take the rows of their feature maps for granted, with `view`: they want channels first.
_channels_first: WeakSet[nn.Module] = WeakSet()


def target_logits(classifier: Classifier, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Each image's own logit [B]."""
    return classifier.logits(images).gather(1, targets[:, None]).squeeze(1)


def target_gradients(classifier: Classifier, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Gradients [B, C, H, W]; the images stay as they are."""
    with torch.enable_grad():
        leaf, chosen = _leaf_and_logits(classifier, images.detach(), targets)
        if not chosen.requires_grad:  # logits that no pixel moves
            return poisoned(torch.zeros_like(images), chosen)
        (gradients,) = torch.autograd.grad(chosen.sum(), leaf)
    return poisoned(gradients, chosen)


def _leaf_and_logits(
    classifier: Classifier, images: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """With channels last in memory, passes forward and backward are a tenth to a fifth cheaper."""
    if classifier.network not in _channels_first:
        leaf = images.clone(memory_format=torch.channels_last).requires_grad_()
        try:
            return leaf, target_logits(classifier, leaf, targets)
        except RuntimeError as error:
            if "view size is not compatible" not in str(error):
                raise
            _channels_first.add(classifier.network)
    leaf = images.clone(memory_format=torch.contiguous_format).requires_grad_()
    return leaf, target_logits(classifier, leaf, targets)


def poisoned(values: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """NaN for every image whose logit is NaN or infinite: its gradient can look sound, and explains nothing."""
    sound = logits.detach().isfinite().view(-1, *[1] * (values.ndim - 1))
    return torch.where(sound, values, torch.nan)


def each_pass(
    classifier: Classifier, batch: Batch, versions: int, work: Callable[[list[Item]], torch.Tensor], share: int = 1
) -> Iterator[tuple[Item, torch.Tensor]]:
    """Give `work` all versions of all images, as many at once as fit; yield each item with its row of the answer.

    share: images that `work` passes through the network for each item.
    """
    items = [(image, version) for image in range(len(batch.images)) for version in range(versions)]
    least = AT_ONCE.get(classifier.device.type, AT_ONCE_ELSEWHERE)
    for some, rows in Batcher(max(1, max(len(batch.images), least) // share)).run(
        items, lambda chosen: work(list(chosen))
    ):
        yield from zip(some, rows, strict=True)


def version_gradients(
    classifier: Classifier, batch: Batch, versions: int, version: Callable[[int, int], torch.Tensor]
) -> Iterator[tuple[Item, torch.Tensor]]:
    """The gradient [C, H, W] of every version of every image."""

    def work(items: list[Item]) -> torch.Tensor:
        images = torch.stack([version(*item) for item in items])
        return target_gradients(classifier, images, batch.targets[images_of(items)])

    return each_pass(classifier, batch, versions, work)


def images_of(items: Sequence[Item]) -> list[int]:
    """Which image of the batch each item is a version of."""
    return [image for image, _ in items]
