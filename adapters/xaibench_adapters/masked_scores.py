"""What the perturbing explainers share: one number per masked image, and checked parameters."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from xaibench.contracts import Batch, Masking
from xaibench.errors import UsageError
from xaibench.infills import PLAIN, Infill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import torch

    from xaibench.contracts import Classifier, ExplainerCard

OUTPUTS = ("logit", "probability")
CHUNK = 32  # masks drawn at once


def checked_output(output: str) -> str:
    """The name of an output, or an error that lists them."""
    if output not in OUTPUTS:
        raise UsageError(f"output is {output!r}; give one of: {', '.join(OUTPUTS)}.")
    return output


def checked_infill(name: str) -> Infill:
    """An infill that is the same for all masks of an image."""
    if name not in PLAIN:
        raise UsageError(f"infill is {name!r}; give one of: {', '.join(PLAIN)}.")
    return Infill(name)


def checked_count(name: str, value: int, least: int = 1) -> int:
    """A whole number that is large enough."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UsageError(f"{name} is {value!r}; give a whole number of at least {least}.")
    return value


def with_infill(card: ExplainerCard, infill: Infill) -> ExplainerCard:
    """The card of an explainer with this infill: noise is drawn from the seed."""
    return replace(card, stochastic=card.stochastic or infill.name == "noise")


def chosen(logits: torch.Tensor, target: torch.Tensor, output: str) -> torch.Tensor:
    """One number per row of logits [M, K]."""
    values = logits.softmax(dim=1) if output == "probability" else logits
    return values[:, target]


def masked_scores(
    classifier: Classifier, batch: Batch, masks: Callable[[int], Iterable[torch.Tensor]], infill: Infill, output: str
) -> Iterator[torch.Tensor]:
    """For each image of the batch, in order, the scores [M] of its target under its masks."""
    maskings = (
        Masking(image, masks(index), infill.of(image, seed))
        for index, (image, seed) in enumerate(zip(batch.images, batch.seeds, strict=True))
    )
    for target, logits in zip(batch.targets, classifier.masked_many(maskings), strict=True):
        yield chosen(logits, target, output)


def single(batch: Batch) -> Iterator[Batch]:
    """The images of a batch one at a time: what hangs on the last bit must not see the neighbours."""
    for index, (name, seed) in enumerate(zip(batch.ids, batch.seeds, strict=True)):
        place = slice(index, index + 1)
        yield Batch(images=batch.images[place], targets=batch.targets[place], ids=(name,), seeds=(seed,))
