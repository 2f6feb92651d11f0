"""What surrogates over superpixels share: segments, the network's answers to coalitions of them, and a painted map."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import torch

from xaibench.contracts import Masking
from xaibench.errors import Unsupported, UsageError
from xaibench.infills import Infill
from xaibench.seeds import derive
from xaibench.segmentation import check, segment, segment_masks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from xaibench.contracts import Batch, Classifier, Floats
    from xaibench.segmentation import Labels, Segmentation
    from xaibench_adapters.coalitions import Switches

    Doubles: TypeAlias = NDArray[np.float64]

Output: TypeAlias = Literal["logit", "probability"]
SEGMENT_MEAN = "segment-mean"
ROUNDING = 1e-6  # answers that differ by less, relative to the largest, are the same answer

# One image as surrogates see it: number in the batch, and the segment of each pixel.
View: TypeAlias = "tuple[int, Labels]"


@dataclass(kw_only=True, eq=False)
class Superpixels:
    """Parameters of every explainer over superpixels.

    Args:
        segmentation: how the image is cut: slic, quickshift, felzenszwalb or grid.
        segments: how many segments slic and grid aim at.
        compactness: of slic: the higher, the squarer.
        iterations: of slic, at most.
        sigma: by how many pixels slic smooths the image first.
        infill: what is seen where a segment is off: its mean colour (segment-mean), or an infill of the core.
        output: what is explained: the class's logit or its probability.
    """

    segmentation: Segmentation = "slic"
    segments: int = 100
    compactness: float = 10.0
    iterations: int = 10
    sigma: float = 1.0
    infill: str = SEGMENT_MEAN
    output: Output = "logit"

    def __post_init__(self) -> None:
        check(self.segmentation, self.segments, self.compactness, self.iterations, self.sigma)
        if self.infill != SEGMENT_MEAN:
            Infill(self.infill)
        if self.output not in ("logit", "probability"):
            raise UsageError(f"output is {self.output!r}; give logit or probability.")

    def labels(self, image: torch.Tensor, seed: int) -> Labels:
        """The segment of each pixel [H, W]."""
        pixels = image.detach().float().cpu().numpy()
        return segment(
            pixels,
            self.segmentation,
            self.segments,
            self.compactness,
            self.iterations,
            self.sigma,
            derive(seed, "segments"),
        )

    def answers(
        self, classifier: Classifier, batch: Batch, asked: Iterable[tuple[int, Labels, Switches]]
    ) -> Iterator[Doubles]:
        """The output [M] of each image's own class for its coalitions [M, S]: NaN if the network gave any.

        Batches are filled across images. Answers that differ by no more than rounding are made the same.
        """
        questions = list(asked)
        rows = classifier.masked_many(
            itertools.chain.from_iterable(self._maskings(classifier, batch, *question) for question in questions)
        )
        for number, labels, coalitions in questions:
            values = self._output(_gathered(rows, len(coalitions)), int(batch.targets[number]))
            nothing = self.hides_nothing(batch.images[number], labels, derive(batch.seeds[number], "infill"))
            yield np.full_like(values, values[0]) if nothing else values

    def hides_nothing(self, image: torch.Tensor, labels: Labels, seed: int) -> bool:
        """Whether the image is what would replace it, as a constant one is: then whatever it is fitted to is noise."""
        if self.infill != SEGMENT_MEAN and Infill(self.infill).needs_mask:
            return False
        return bool((self.hidden(image, labels, seed) - image).abs().max() <= ROUNDING)

    def hidden(self, image: torch.Tensor, labels: Labels, seed: int) -> torch.Tensor:
        """What is seen where every segment is off [C, H, W]; not for infills that depend on the mask."""
        if self.infill != SEGMENT_MEAN:
            return Infill(self.infill).of(image, seed)
        return segment_means(image, labels)

    def _maskings(
        self, classifier: Classifier, batch: Batch, number: int, labels: Labels, coalitions: Switches
    ) -> Iterator[Masking]:
        image, seed = batch.images[number], derive(batch.seeds[number], "infill")
        masks = segment_masks(labels, coalitions, classifier.device)
        if self.infill == SEGMENT_MEAN:
            return iter([Masking(image, masks, segment_means(image, labels))])
        return Infill(self.infill).maskings(image, masks, seed)

    def _output(self, logits: torch.Tensor, target: int) -> Doubles:
        values = logits.double().cpu()
        if np.ptp(values.numpy(), axis=0).max() <= ROUNDING * float(values.abs().max()):
            values = values[:1].expand_as(values)
        return chosen_output(values, target, self.output).numpy()


def chosen_output(logits: torch.Tensor, target: int, output: Output) -> torch.Tensor:
    """Logit or probability [M] of one class."""
    if output == "logit":
        return logits[:, target]
    if logits.shape[1] == 1:
        raise Unsupported("The probability of the only class is always 1; explain its logit instead: output=logit.")
    return logits.softmax(dim=1)[:, target]


def refuse_imputation(who: str, infill: str) -> None:
    """Libraries want one picture of what is hidden, whatever is hidden."""
    if infill != SEGMENT_MEAN and Infill(infill).needs_mask:
        raise UsageError(f"{who}: infill {infill!r} depends on what is hidden, and the library cannot do that.")


def segment_means(image: torch.Tensor, labels: Labels) -> torch.Tensor:
    """Each pixel [C, H, W] becomes the mean of its segment."""
    places = torch.from_numpy(labels.astype(np.int64)).to(image.device).flatten()
    flat = image.flatten(1).double()
    sums = torch.zeros(len(image), int(labels.max()) + 1, dtype=flat.dtype, device=image.device)
    means = sums.index_add(1, places, flat) / torch.bincount(places)
    return means[:, places].reshape(image.shape).to(image.dtype)


def painted(values: Doubles, labels: Labels) -> Floats:
    """Each pixel [H, W] gets the value of its segment."""
    return values.astype(np.float32)[labels]


def stacked(maps: Iterable[Floats], batch: Batch) -> torch.Tensor:
    """Heatmaps [B, H, W] from one map per image."""
    shape = (len(batch.images), *batch.images.shape[2:])
    return torch.from_numpy(np.array(list(maps), dtype=np.float32).reshape(shape))


def _gathered(rows: Iterator[torch.Tensor], count: int) -> torch.Tensor:
    """The next logits, of as many maskings as it takes: an infill may need one for each mask."""
    parts = [next(rows)]
    while sum(map(len, parts)) < count:
        parts.append(next(rows))
    return torch.cat(parts)
