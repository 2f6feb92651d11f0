"""Several films on one sheet: a row for each, so that a folder can be looked through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_dilation

from xaibench.normalise import normalise
from xaibench_leaderboard.explaining.sheet import overlaid, shown, spread

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from xaibench.contracts import Floats
    from xaibench.explaining.maps import Explanation
    from xaibench.explaining.session import Explained
    from xaibench.normalise import SignPolicy
    from xaibench_leaderboard.explaining.report import Told

SIDE, CAPTION, HEAD, GAP = 256, 24, 64, 8
NARROWEST = 1000
PAPER, INK, WARNING, OUTLINE = (255, 255, 255), (20, 20, 20), (176, 0, 32), (0, 229, 255)


def draw_contact_sheet(told: Told, every: Sequence[Explained], file: Path) -> None:
    """A row per film: the film, then its maps in the order of the explainers."""
    columns, high = 1 + len(every[0].explanations), SIDE + CAPTION + GAP
    width = max(columns * (SIDE + GAP) + GAP, NARROWEST)
    sheet = Image.new("RGB", (width, HEAD + len(every) * high), PAPER)
    pen = ImageDraw.Draw(sheet)
    _head(pen, told, every[0])
    for row, explained in enumerate(every):
        top = HEAD + row * high
        pen.text((GAP, top + 2), _caption(told, explained), INK, ImageFont.load_default(15))
        for column, picture in enumerate(_row(explained, told.session.sign)):
            sheet.paste(picture, (GAP + column * (SIDE + GAP), top + CAPTION))
    sheet.save(file, "PNG")


def _head(pen: ImageDraw.ImageDraw, told: Told, first: Explained) -> None:
    warning = told.warnings()
    asked = told.session.policy.removeprefix("class:")
    title = warning[0] if warning else f"{told.subject.model.label}, maps for {asked}: {told.calibration_note()}"
    pen.text((GAP, 6), title, WARNING if warning else INK, ImageFont.load_default(16))
    for column, name in enumerate(["film", *(one.explainer for one in first.explanations)]):
        pen.text((GAP + column * (SIDE + GAP), 36), name[:32], INK, ImageFont.load_default(15))


def _caption(told: Told, explained: Explained) -> str:
    at = int(np.argmax(explained.probabilities))
    return f"{explained.name}: {told.subject.classifier.classes[at]} {100 * explained.probabilities[at]:.1f} %"


def _row(explained: Explained, sign: SignPolicy) -> list[Image.Image]:
    film = shown(explained.film.shown)
    grey = np.repeat(film[:, :, None], 3, axis=2)
    pictures = [grey, *(_over(film, one, sign) for one in explained.explanations)]
    return [_tile(_outlined(picture, explained)) for picture in pictures]


def _over(film: Floats, one: Explanation, sign: SignPolicy) -> Floats:
    if one.status == "ok" and one.raw is not None:
        return overlaid(film, spread(normalise(one.raw[None], sign)[0], film.shape))
    dark = np.repeat((film * 0.3)[:, :, None], 3, axis=2)
    rows, columns = np.indices(film.shape) / np.array(film.shape)[:, None, None]
    dark[(np.abs(rows - columns) < 0.008) | (np.abs(rows + columns - 1) < 0.008)] = 1  # a cross: there is no map
    return dark


def _outlined(picture: Floats, explained: Explained) -> Floats:
    if explained.film.mask is None:
        return picture
    inside = spread(explained.film.mask.astype(np.float32), picture.shape[:2]) > 0.5
    thick = max(1, round(max(picture.shape) / SIDE))
    line = binary_dilation(inside, iterations=2 * thick) & ~binary_dilation(inside, iterations=thick)
    made = picture.copy()
    made[line] = np.array(OUTLINE) / 255
    return made


def _tile(picture: Floats) -> Image.Image:
    """A picture in a black square, its proportions kept."""
    tile = Image.new("RGB", (SIDE, SIDE))
    whole = Image.fromarray((np.clip(picture, 0, 1) * 255).round().astype(np.uint8))
    whole.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    enlarged = SIDE / max(whole.size)
    if enlarged > 1:
        whole = whole.resize((round(whole.width * enlarged), round(whole.height * enlarged)))
    tile.paste(whole, ((SIDE - whole.width) // 2, (SIDE - whole.height) // 2))
    return tile
