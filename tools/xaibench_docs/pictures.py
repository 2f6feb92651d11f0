"""The pictures of "how a score is made", drawn when the documentation is built: a phantom film, and a map of it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from xaibench.normalise import normalise
from xaibench.registry import create

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xaibench.contracts import Floats, Mask

THRESHOLD = 0.5


@dataclass(frozen=True, eq=False)
class Example:
    """One film, where its lesion is, and a raw map that is neither very good nor very bad."""

    image: Floats
    mask: Mask
    raw: Floats


def example() -> Example:
    """A film of the phantom and a made-up map, which has all that a map can have: a near miss, and negative values."""
    task = create("tasks", "phantom(size=128)").plugin
    film = next(one for entry in task.entries("test", 0) if len((one := task.load(entry)).lesions) == 1)
    mask = np.logical_or.reduce(film.lesions)
    row, column = (int(places.mean()) for places in np.nonzero(mask))
    against = bell(mask.shape, mask.shape[0] - row, column, 14.0)
    raw = bell(mask.shape, row + 3, column - 4, 9.0) - 0.6 * against
    return Example(film.image[0], mask, raw.astype(np.float32))


def bell(shape: tuple[int, ...], row: float, column: float, width: float) -> Floats:
    """A bell round one place."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    drawn: Floats = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * width**2)).astype(np.float32)
    return drawn


def drawn() -> Iterator[tuple[str, bytes]]:
    """Name and content of every picture."""
    yield "pictures/score-map.png", _png(_maps(example()))
    yield "pictures/score-overlap.png", _png(_overlap(example()))


def _maps(one: Example) -> Figure:
    """From the film to the normalised map."""
    clipped, largest = np.maximum(one.raw, 0), float(np.abs(one.raw).max())
    figure, panels = _panels(["1 the film", "2 the raw map", "3 clipped at 0", "4 stretched to 0 ... 1"])
    panels[0].imshow(one.image, cmap="gray", vmin=0, vmax=1)
    shown = [
        panels[1].imshow(one.raw, cmap="RdBu_r", vmin=-largest, vmax=largest),
        panels[2].imshow(clipped, cmap="viridis", vmin=0, vmax=float(clipped.max())),
        panels[3].imshow(normalise(one.raw[None])[0], cmap="viridis", vmin=0, vmax=1),
    ]
    for panel, image in zip(panels[1:], shown, strict=True):
        figure.colorbar(image, ax=panel, shrink=0.75)
    return figure


def _overlap(one: Example) -> Figure:
    """From the normalised map to the score."""
    highlighted = normalise(one.raw[None])[0] >= THRESHOLD
    figure, panels = _panels(["5 at or above 0.5", "6 the lesion", "7 both together"])
    panels[0].imshow(highlighted, cmap="gray")
    panels[1].imshow(one.mask, cmap="gray")
    panels[2].imshow(_colours(highlighted, one.mask))
    panels[2].set_xlabel("green: in both; orange: in one of them")
    return figure


def _colours(highlighted: Mask, mask: Mask) -> Floats:
    picture = np.zeros((*mask.shape, 3), dtype=np.float32)
    picture[highlighted ^ mask] = (0.95, 0.6, 0.1)
    picture[highlighted & mask] = (0.2, 0.7, 0.3)
    return picture


def _panels(titles: list[str]) -> tuple[Figure, list[Any]]:
    figure = Figure(figsize=(3.2 * len(titles), 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(1, len(titles)))
    for panel, title in zip(panels, titles, strict=True):
        panel.set(title=title, xticks=[], yticks=[])
    return figure, panels


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100, facecolor="white")
    return file.getvalue()
