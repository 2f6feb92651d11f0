"""Regions that were drawn with the VGG Image Annotator, from its CSV export."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xaibench_tasks.checking import Finding
from xaibench_tasks.records import Box, Circle, Polygon

if TYPE_CHECKING:
    from collections.abc import Mapping

NEEDED = ("#filename", "region_shape_attributes")
ROUND = 72  # corners of an ellipse


@dataclass(frozen=True)
class Region:
    """One outline on one picture."""

    where: str
    name: str  # of the picture, without its ending
    outline: Polygon | Circle | Box


def read_export(name: str, content: bytes) -> tuple[list[Region], list[Finding]]:
    """Read an export; what cannot be understood becomes a finding, never an exception. `{}` says: nothing was drawn."""
    reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig", "replace"), newline=""))
    try:
        lost = [column for column in NEEDED if column not in (reader.fieldnames or ())]
        if lost:
            return [], [Finding("error", f"{name}:1", f"is no export of the annotator: no column {', '.join(lost)}")]
        rows = [(f"{name}:{reader.line_num}", [(row[key] or "").strip() for key in NEEDED]) for row in reader]
    except csv.Error as error:
        return [], [Finding("error", name, f"is no readable table: {error}")]
    regions, findings = [], []
    for where, (picture, text) in rows:
        if text in {"", "{}"}:
            continue
        try:
            regions.append(Region(where, _stem(picture), outline_of(json.loads(text))))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            told = f"{text[:60]!r} is no shape that can be drawn ({type(error).__name__}: {error})"
            findings.append(Finding("error", where, told))
    return regions, findings


def _stem(picture: str) -> str:
    """Some names have a blank before their ending."""
    return picture.rsplit(".", 1)[0].strip()


def outline_of(shape: Mapping[str, Any]) -> Polygon | Circle | Box:
    """Every shape that the annotator offers. It counts x to the right and y downwards."""
    kind = shape["name"]
    if kind in {"polygon", "polyline"}:
        points = tuple(zip(_numbers(shape["all_points_y"]), _numbers(shape["all_points_x"]), strict=True))
        if not points:
            raise ValueError("it has no points")
        return Polygon(points)
    if kind == "rect":
        left, top, width, height = _numbers([shape[key] for key in ("x", "y", "width", "height")])
        return Box(top, left, top + height, left + width)
    across, down = _numbers([shape["cx"], shape["cy"]])
    if kind == "circle":
        return Circle(down, across, *_numbers([shape["r"]]))
    if kind == "ellipse":
        return _ellipse(across, down, *_numbers([shape["rx"], shape["ry"], shape.get("theta", 0)]))
    if kind == "point":
        return Polygon(((down, across),))
    raise ValueError(f"there is no shape {kind!r}")


def _ellipse(across: float, down: float, wide: float, high: float, turned: float) -> Polygon:
    """As a polygon; `turned` in radians, clockwise."""
    points = []
    for step in range(ROUND):
        x, y = wide * math.cos(2 * math.pi * step / ROUND), high * math.sin(2 * math.pi * step / ROUND)
        right, low = x * math.cos(turned) - y * math.sin(turned), x * math.sin(turned) + y * math.cos(turned)
        points.append((down + low, across + right))
    return Polygon(tuple(points))


def _numbers(values: Any) -> list[float]:
    """Numbers that a film can have."""
    numbers = [float(value) for value in values]
    if any(isinstance(value, str) for value in values) or not all(abs(number) < 1e6 for number in numbers):
        raise ValueError(f"{values!r:.60} are no places on a film")
    return numbers
