"""One film from its plan: breast, lesions, marker, noise; cropped and mirrored if asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from xaibench_tasks.phantom.crop import Square, middle_of
from xaibench_tasks.phantom.lesions import Wanted, draw_lesion
from xaibench_tasks.phantom.markers import SHAPES, draw_marker
from xaibench_tasks.phantom.outline import draw_breast
from xaibench_tasks.phantom.parenchyma import draw_tissue
from xaibench_tasks.phantom.patients import MALIGNANT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.random import Generator
    from numpy.typing import NDArray

    from xaibench.contracts import Floats, Mask
    from xaibench_tasks.phantom.markers import Shape
    from xaibench_tasks.phantom.outline import View
    from xaibench_tasks.phantom.patients import Patient

Scalar = TypeVar("Scalar", bound=np.generic)

BACKGROUND = 0.03
NOISE = 0.015  # standard deviation of the quantum noise at brightness 1


@dataclass(frozen=True)
class Plan:
    """What is to be on a film. A marker of None is left to chance; a crop is the half side to blow up."""

    patient: Patient
    view: View
    marker: Shape | None = None
    contrast: float = 1.0
    crop: float | None = None
    reach: float = 0.42  # the least, of the breast from the chest wall
    grain: float = NOISE


@dataclass(frozen=True, eq=False)
class Drawn:
    """A film with all that is known of it."""

    image: Floats
    lesions: tuple[Mask, ...]
    regions: Mapping[str, Mask]


def draw_film(rng: Generator, plan: Plan, size: int) -> Drawn:
    """Draw a film; a crop comes from a film twice as large."""
    full = size if plan.crop is None else 2 * size
    breast = draw_breast(rng, plan.view, full, plan.reach)
    image = draw_tissue(rng, breast, plan.patient.density)
    lesions: list[Mask] = []
    for area in plan.patient.areas:
        wanted = Wanted(plan.patient.kind, plan.patient.label == MALIGNANT, area, plan.contrast)
        taken = np.any(lesions, axis=0) if lesions else np.zeros_like(breast.mask)
        mask = draw_lesion(rng, image, breast, wanted, taken)
        if mask is not None:
            lesions.append(mask)
    image += BACKGROUND
    marker = _mark(rng, plan, image)
    image += plan.grain * np.sqrt(np.clip(image, 0.1, 1)) * rng.standard_normal(image.shape, dtype=np.float32)
    np.clip(image, 0, 1, out=image)
    regions = {} if marker is None else {"marker": marker}
    return _mirrored(_cropped(Drawn(image, tuple(lesions), regions), plan.crop, size), plan.patient.right)


def _mark(rng: Generator, plan: Plan, image: Floats) -> Mask | None:
    """Six films in ten carry a marker of any shape; a planned one is always there."""
    shape, shown = int(rng.integers(SHAPES)), bool(rng.random() < 0.6)
    if plan.marker is not None:
        return draw_marker(rng, image, plan.marker)
    return draw_marker(rng, image, shape) if shown else None


def _cropped(film: Drawn, half: float | None, size: int) -> Drawn:
    """Blow up the square round the lesion, or at the centre of a normal film."""
    if half is None:
        return film
    full = film.image.shape[0]
    middle = middle_of(film.lesions[0]) if film.lesions else (full / 2, full / 2)
    square = Square(middle, half * full, full, size)
    masks = (square.mask(lesion) for lesion in film.lesions)
    regions = {name: square.mask(region) for name, region in film.regions.items()}
    seen = {name: region for name, region in regions.items() if region.any()}
    return Drawn(square.image(film.image), tuple(mask for mask in masks if mask.any()), seen)


def _mirrored(film: Drawn, right: bool) -> Drawn:
    """Turn a film of the left breast into one of the right."""
    if not right:
        return film
    regions = {name: _flip(region) for name, region in film.regions.items()}
    return Drawn(_flip(film.image), tuple(_flip(lesion) for lesion in film.lesions), regions)


def _flip(pixels: NDArray[Scalar]) -> NDArray[Scalar]:
    return np.ascontiguousarray(pixels[:, ::-1])
