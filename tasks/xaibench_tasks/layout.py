"""Images that lie in a folder per class, with masks of the same name: a table without writing one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from xaibench.errors import DataError
from xaibench_tasks.tables import Line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xaibench_tasks.sources import Source

FOLDERS = "images/CLASS/NAME.png and masks/NAME.png (several masks of one image: NAME_1.png, NAME_2.png, ...)"
PICTURE = r"(?P<stem>[^/]+)\.(?:png|jpe?g|tiff?|bmp|pgm|dcm)"
IMAGE = re.compile(rf"(?P<root>(?:.*/)?)images/(?P<label>[^/]+)/{PICTURE}", re.IGNORECASE)
MASK = re.compile(rf"(?:(?P<label>[^/]+)/)?{PICTURE}", re.IGNORECASE)


def by_folders(source: Source) -> list[Line]:
    """One row per image, as a table would have it; none if there is no folder `images` with a folder per class."""
    found = [match for name in source.names() if (match := IMAGE.fullmatch(name))]
    if not found:
        return []
    root = min((match["root"] for match in found), key=lambda root: (root.count("/"), root))
    images = {(match["label"], match["stem"]): match[0] for match in found if match["root"] == root}
    masks = _masks(source, f"{root}masks/", images)
    return [
        Line(image, {"image": image, "label": label, "mask": ";".join(masks.get((label, stem), []))})
        for (label, stem), image in images.items()
    ]


def _masks(source: Source, folder: str, images: Iterable[tuple[str, str]]) -> dict[tuple[str, str], list[str]]:
    """The masks of every image."""
    owners: dict[tuple[str, str], list[str]] = {}
    for name in source.names():
        if name.startswith(folder) and (match := MASK.fullmatch(name.removeprefix(folder))):
            owners.setdefault(_owner(name, match["label"], match["stem"], images), []).append(name)
    return owners


def _owner(name: str, label: str | None, stem: str, images: Iterable[tuple[str, str]]) -> tuple[str, str]:
    """The image that a mask is of: one of its name, else the longest name that it begins with."""
    mine = [image for image in images if label in (None, image[0])]
    fitting = [image for image in mine if image[1] == stem] or [
        image for image in mine if re.fullmatch(rf"{re.escape(image[1])}_\w+", stem)
    ]
    longest = [image for image in fitting if len(image[1]) == max(len(other[1]) for other in fitting)]
    if len(longest) == 1:
        return longest[0]
    if not longest:
        raise DataError(f"{name} is the mask of no image: expected {FOLDERS}")
    where = " and ".join(f"images/{one[0]}" for one in longest)
    raise DataError(f"{name} may be of an image in {where}: put it into a folder of the class, masks/CLASS/{stem}.png")
