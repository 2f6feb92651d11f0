"""Learning curves as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def draw(curve: Sequence[Mapping[str, Any]], title: str, file: Path) -> None:
    """Loss and balanced accuracy over epochs, in training and on held-out images. No global state, no display."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    losses, accuracies = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in curve]
    for axes, name, what in ((losses, "loss", "loss"), (accuracies, "balanced_accuracy", "balanced accuracy")):
        for split, style in (("train", "--"), ("val", "-")):
            axes.plot(epochs, [row[f"{split}_{name}"] for row in curve], style, label=split)
        axes.set(xlabel="epoch", ylabel=what)
        axes.legend(frameon=False)
    accuracies.set_ylim(0, 1)
    figure.suptitle(title, fontsize="medium")
    figure.savefig(file, dpi=120)
