"""How a network is trained: the numbers, apart from the code that follows them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from xaibench.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Supervised training with AdamW and one cycle of the learning rate."""

    name: str
    epochs: int
    batch_size: int
    learning_rate: float  # at its highest
    warm_up: float  # part of the steps in which the learning rate rises
    weight_decay: float  # of the weights; biases and norms have none
    label_smoothing: float
    mirror: bool  # left to right, half of the images of an epoch: breasts come in pairs


# For data drawn in memory and a CPU: the most that minutes give.
QUICK = Recipe(
    name="quick",
    epochs=7,
    batch_size=16,
    learning_rate=1e-3,
    warm_up=0.3,
    weight_decay=0.01,
    label_smoothing=0.0,
    mirror=True,
)


def checked(recipe: Recipe, *, epochs: int | None) -> Recipe:
    """The recipe with the number of epochs that a user asks for."""
    if epochs is None:
        return recipe
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
        raise UsageError(f"epochs={epochs!r} is not possible: give a whole number from 1, or leave it to the recipe")
    return replace(recipe, epochs=epochs)
