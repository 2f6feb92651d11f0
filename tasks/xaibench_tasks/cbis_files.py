"""Which file is the film, the crop and the mask of a CBIS-DDSM row, in every form in which the set is handed out.

The archive's own folders repeat the paths of the tables; those of its newer download tool keep the first folder only;
the JPEG edition keeps the series only. One rule serves all: a picture belongs to a row if a folder above it has the
name the row gives, or its series. Crop and mask then lie together, and neither names, numbers nor series descriptions
say which is which. Only the content does.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from xaibench.errors import DataError
from xaibench_tasks.pictures import decode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xaibench.contracts import Floats
    from xaibench_tasks.cbis_tables import Lesion, Place
    from xaibench_tasks.sources import Source

FORMS = {"DICOM": (".dcm",), "JPEG": (".jpg", ".jpeg"), "PNG": (".png",)}  # the first one that is there is read
MASK_SHARE = 0.98  # of a mask's pixels are black or white, even after JPEG; of a crop's hardly any are
MARGIN = 0.12  # how near to black or white counts
FILM, MASK = "film:", "mask:"


class CbisFiles:
    """A source of films and masks by the names of the tables' folders: `film:<folder>` and `mask:<folder>`."""

    def __init__(self, source: Source, lesions: Iterable[Lesion]) -> None:
        self.source, self.path = source, source.path
        self.form, groups = _groups(source.names())
        self._candidates: dict[str, tuple[str, ...]] = {}
        for lesion in lesions:
            self._candidates[FILM + lesion.film.folder] = _near(groups, lesion.film)
            self._candidates[MASK + lesion.mask.folder] = _near(groups, lesion.crop, lesion.mask)

    def candidates(self, name: str) -> tuple[str, ...]:
        """The files among which the one meant is."""
        if name not in self._candidates:
            raise DataError(f"{name} is neither a film nor a mask of the tables in {self.path}")
        return self._candidates[name]

    def resolve(self, name: str) -> str:
        """The file meant; the candidates are read if there are several."""
        files = self.candidates(name)
        if not files:
            raise DataError(
                f"{self.path} has no file for {name}: fetch it, or leave missing files out by on_error='skip'"
            )
        if name.startswith(FILM) and len(files) == 1:
            return files[0]
        return choose({file: decode(file, self.source.read(file)).pixels for file in files}, mask=name.startswith(MASK))

    def names(self) -> list[str]:
        """Films and masks that are there."""
        return sorted(name for name, files in self._candidates.items() if files)

    def find(self, pattern: str) -> list[str]:
        """Films and masks whose names match."""
        return [name for name in self.names() if PurePosixPath(name).match(pattern)]

    def read(self, name: str) -> bytes:
        """The content of the film or mask."""
        return self.source.read(self.resolve(name))

    def size(self, name: str) -> int:
        """Bytes of all candidates: none of them is opened for it."""
        return sum(map(self.source.size, self.candidates(name)))

    def stamp(self, name: str) -> str:
        """Text that changes when a candidate is replaced."""
        return " ".join(f"{file}:{self.source.stamp(file)}" for file in self.candidates(name))


def choose(pictures: dict[str, Floats], *, mask: bool) -> str:
    """The mask, or the film, among pictures that lie together, by what they show."""
    black_and_white = {name for name, pixels in pictures.items() if looks_like_mask(pixels)}
    wanted = black_and_white if mask else set(pictures) - black_and_white
    if mask and not wanted:
        raise DataError(f"none of {', '.join(sorted(pictures))} is a mask: no picture there is black and white")
    if not wanted:
        raise DataError(f"none of {', '.join(sorted(pictures))} is a film: every picture there is black and white")
    return max(sorted(wanted), key=lambda name: pictures[name].shape[0] * pictures[name].shape[1])


def looks_like_mask(pixels: Floats) -> bool:
    """Whether nearly all pixels are black or white, and some are white."""
    black, white = np.mean(pixels < MARGIN), np.mean(pixels > 1 - MARGIN)
    return bool(black + white >= MASK_SHARE and white > 0)


def _groups(names: Iterable[str]) -> tuple[str, dict[str, list[str]]]:
    """The files below every folder name, in the form that is there."""
    by_form: dict[str, list[str]] = {form: [] for form in FORMS}
    for name in names:
        ending = PurePosixPath(name).suffix.lower()
        for form, endings in FORMS.items():
            if ending in endings:
                by_form[form].append(name)
    form = next((form for form, found in by_form.items() if found), "")
    groups: dict[str, list[str]] = defaultdict(list)
    for name in by_form.get(form, []):
        for part in PurePosixPath(name).parts[:-1]:
            groups[part].append(name)
    return form, groups


def _near(groups: dict[str, list[str]], *places: Place) -> tuple[str, ...]:
    keys = {key for place in places for key in (place.folder, place.series)}
    return tuple(sorted({file for key in keys for file in groups.get(key, [])}))
