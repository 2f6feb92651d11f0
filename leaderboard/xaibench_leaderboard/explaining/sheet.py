"""The sheet: the film, what the network says of it, and every map over it."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image

from xaibench.normalise import normalise
from xaibench_leaderboard.explaining.report import CAUTION
from xaibench_leaderboard.page.thumbnails import HEAT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

    from xaibench.contracts import Floats
    from xaibench.explaining.maps import Explanation
    from xaibench.explaining.session import Explained
    from xaibench_leaderboard.explaining.report import Told

# Light grows with the value, so that it can be read in grey and by all eyes. Black is left to the film.
COLOURS = LinearSegmentedColormap.from_list("heat", HEAT[1:] / 255)
GROUND = 0.8  # how bright a film stays under a map
OUTLINE = "#00e5ff"
WARNING, INK, QUIET = "#b00020", "#141414", "#555555"
DOTS = 120  # per inch
PANEL = 3.6  # inches
LINE = 1.75 / 72  # inches that a line takes per point of its size
COLUMNS = 4
LONGEST = 1200  # pixels of a film on the sheet: more than a panel has
BRIGHT, DIM = 99.8, 0.9  # films whose brightest pixels stay under DIM are shown brighter


def draw_sheet(told: Told, explained: Explained, report: dict[str, Any], file: Path) -> None:
    """Write the sheet of one film as PNG."""
    count = 1 + len(explained.explanations)
    columns = min(COLUMNS, count)
    rows = math.ceil(count / columns)
    film = shown(explained.film.shown)
    height = min(1.6, max(0.7, film.shape[0] / film.shape[1]))
    lines = _head_lines(told, report)
    head = 0.1 + LINE * sum(line.size for line in lines)
    figure = Figure(figsize=(max(columns, 3) * PANEL + 0.9, head + rows * (PANEL * height + 0.95) + 0.55), dpi=DOTS)
    parts: Any = figure.subfigures(3, 1, height_ratios=[head, rows * (PANEL * height + 0.95), 0.55], hspace=0.0)
    top, middle, bottom = parts
    _head(top, lines, head)
    _panels(middle, explained, film, report, (rows, columns))
    bottom.text(
        0.012,
        0.5,
        textwrap.fill(f"{CAUTION} xaibench {report['xaibench']}.", 62 * max(columns, 3)),
        va="center",
        fontsize=8,
        color=QUIET,
    )
    figure.savefig(file, format="png", metadata={"Software": f"xaibench {report['xaibench']}"})


def shown(film: Floats) -> Floats:
    """A film as people see it: not larger than needed, and not darker than it must be."""
    pixels = np.clip(film, 0, 1)
    brightest = float(np.percentile(pixels, BRIGHT))
    if 0 < brightest < DIM:
        pixels = np.clip(pixels / brightest, 0, 1)
    grey = pixels if pixels.ndim == 2 else pixels.mean(axis=2)
    scale = LONGEST / max(grey.shape)
    if scale >= 1:
        return np.asarray(grey, np.float32)
    size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
    picture = Image.fromarray(np.ascontiguousarray(grey, np.float32))
    return np.asarray(picture.resize(size, Image.Resampling.BOX), np.float32)


def spread(heatmap: Floats, shape: tuple[int, ...]) -> Floats:
    """A map at the size of a film."""
    picture = Image.fromarray(np.ascontiguousarray(heatmap, np.float32))
    wide = np.asarray(picture.resize((shape[1], shape[0]), Image.Resampling.BILINEAR), np.float32)
    return np.asarray(np.clip(wide, 0, 1), np.float32)


def overlaid(film: Floats, heat: Floats) -> Floats:
    """A map [H, W] over a grey film, dimmed so that colours show; where the map is weak the film stays visible."""
    weight = (0.8 * heat**0.8)[:, :, None]
    return np.asarray((1 - weight) * GROUND * film[:, :, None] + weight * COLOURS(heat)[:, :, :3], np.float32)


@dataclass(frozen=True)
class Line:
    """Of the head."""

    text: str
    size: float
    colour: str = INK
    weight: str = "bold"


def _head_lines(told: Told, report: dict[str, Any]) -> list[Line]:
    """Who says what of which film."""
    likely = report["predicted"]
    others = ", ".join(f"{name} {100 * value:.1f} %" for name, value in report["probabilities"].items())
    lines = [
        Line(report["film"], 15),
        *(Line(warning, 12, WARNING) for warning in report["warnings"]),
        Line(f"{report['model']} says: {likely}, probability {100 * report['probabilities'][likely]:.1f} %", 13),
        *_other_class(report),
        Line(f"{others}   ({report['calibration_note']})", 9.5, weight="normal"),
        *(Line(text, 8.5, QUIET, "normal") for text in _terms(told, report)),
    ]
    if agree := [value for value in report["agreement"].values() if value is not None]:
        span = f"{min(agree):.2f}" + (f" to {max(agree):.2f}" if len(agree) > 1 else "")
        text = f"do the maps agree? rank correlation of every two: {span} (1: the same order of pixels)"
        lines.append(Line(text, 8.5, QUIET, "normal"))
    return lines


def _other_class(report: dict[str, Any]) -> list[Line]:
    """Maps for a class that the network does not see in this film must not be taken for what it sees."""
    if report["explained_class"] == report["predicted"]:
        return []
    return [Line(f"the maps are asked what speaks for another class: {report['explained_class']}", 11, WARNING)]


def _head(part: SubFigure, lines: Sequence[Line], height: float) -> None:
    place = 1 - 0.08 / height
    for line in lines:
        part.text(0.012, place, line.text, fontsize=line.size, color=line.colour, weight=line.weight, va="top")
        place -= LINE * line.size / height


def _terms(told: Told, report: dict[str, Any]) -> tuple[str, str]:
    """What the maps are of, and how they were made."""
    drawn = "they lie over the film" if report["maps_cover_the_whole_film"] else "shown is what the network sees"
    rows, columns = report["map_pixels"]
    reading = f"; the film was {report['reading']}" if report["reading"] else ""
    return (
        f"class explained: {report['explained_class']}    weights: {told.subject.origin}    classes and preprocessing "
        f"of the task {report['task']}",
        f"maps have {columns} x {rows} pixels, {drawn}{reading}    seed {report['seed']}",
    )


def _panels(part: SubFigure, explained: Explained, film: Floats, report: dict[str, Any], grid: tuple[int, int]) -> None:
    axes = part.subplots(*grid, squeeze=False).ravel()
    for place in axes:
        place.set_axis_off()
    part.subplots_adjust(left=0.012, right=0.93, top=0.93, bottom=0.07, wspace=0.06, hspace=0.26)
    mask = explained.film.mask
    outline = None if mask is None else spread(mask.astype(np.float32), film.shape)
    _panel(axes[0], np.repeat(film[:, :, None], 3, axis=2), "film", "outlined: the mask" if mask is not None else "")
    for place, one, row in zip(axes[1:], explained.explanations, report["maps"], strict=False):
        _explanation(place, one, row, film, report["sign"])
    for place in axes[: 1 + len(explained.explanations)]:
        if outline is not None:
            place.contour(outline, levels=[0.5], colors=[OUTLINE], linewidths=1.4)
    _bar(part)


def _panel(place: Axes, picture: Floats, title: str, note: str, colour: str = INK) -> None:
    place.imshow(picture, interpolation="bilinear", vmin=0, vmax=1)
    place.set_title(textwrap.shorten(title, 44), fontsize=11, weight="bold", color=colour, loc="left", pad=4)
    place.text(0, -0.015, note, transform=place.transAxes, fontsize=8.5, va="top", color=colour)


def _explanation(place: Axes, one: Explanation, row: dict[str, Any], film: Floats, sign: Any) -> None:
    if one.status != "ok" or one.raw is None:
        dark = np.repeat((film * 0.3)[:, :, None], 3, axis=2)
        _panel(place, dark, one.explainer, _cost(row), WARNING)
        told = f"no map ({one.status})\n" + textwrap.fill(one.reason, 34, max_lines=9)
        place.text(0.5, 0.5, told, transform=place.transAxes, ha="center", va="center", fontsize=9.5, color="white")
        return
    heat = spread(normalise(one.raw[None], sign)[0], film.shape)
    _panel(place, overlaid(film, heat), one.explainer, f"{_cost(row)}\n{_figures(row['statistics'])}")


def _cost(row: dict[str, Any]) -> str:
    if row["seconds"] is None:
        return ""
    return f"{row['seconds']:.2f} s, {row['forward']} forward and {row['backward']} backward passes"


def _figures(values: dict[str, Any]) -> str:
    told = f"strongest 10 % of pixels hold {100 * values['energy_in_top_10_percent']:.0f} % of the map"
    if "mass_in_mask" in values:
        told += f"\nin the mask: {100 * values['mass_in_mask']:.0f} % of the map, "
        told += f"{100 * values['mask_area']:.1f} % of the area"
    return told


def _bar(part: SubFigure) -> None:
    """What the colours mean, over a middling grey."""
    place = part.add_axes((0.945, 0.2, 0.014, 0.6))
    values = np.repeat(np.linspace(0, 1, 256, dtype=np.float32)[:, None], 8, axis=1)
    place.imshow(overlaid(np.full_like(values, 0.5), values), aspect="auto", origin="lower", extent=(0, 1, 0, 1))
    place.set_xticks([])
    place.set_yticks([0, 0.5, 1], labels=["none", "half", "most"])
    place.yaxis.tick_right()
    place.tick_params(labelsize=8, length=2)
    place.set_title("map", fontsize=9)
