"""What a task must offer so that a film from outside can be explained as its own images are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from xaibench.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from xaibench.contracts import Floats, Mask, Sample
    from xaibench.registry import Loaded

ENDINGS = frozenset(
    [".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".pgm", ".ppm", ".webp", ".dcm", ".dicom", ".ima"]
)
MAGIC = slice(128, 132)  # where a DICOM file says what it is


@dataclass(frozen=True, eq=False)
class Film:
    """A film that has been read: what the network is given, and what people are shown."""

    sample: Sample  # prepared as the task prepares its own images; lesions are those of the mask file
    shown: Floats  # [H, W] or [H, W, 3] in [0, 1]: what maps are drawn on
    mask: Mask | None  # the mask file at the size of `shown`
    whole: bool  # whether `shown` is the film as it is on disk; else it is what the network sees of it
    note: str = ""  # what reading it took: "inverted", "turned"


class ReadsFilms(Protocol):
    """A task with this method can be named in `xaibench explain --task`."""

    def read(self, film: Path, mask: Path | None = None) -> Film:
        """Read an image file of any kind, and prepare it as the images of the task are prepared."""


def reader_of(task: Loaded) -> ReadsFilms:
    """The task as a reader of films."""
    if not callable(getattr(task.plugin, "read", None)):
        msg = (
            f"--task {task.label}: this task does not say how a film from outside is prepared (it has no method "
            "`read`); give one that does, such as \"picture(classes='benign,malignant', size=224)\""
        )
        raise UsageError(msg)
    reader: ReadsFilms = task.plugin
    return reader


def films_in(places: Sequence[Path]) -> list[Path]:
    """The image files among `places`: files as they are named, of folders all that look like images."""
    found: dict[Path, None] = {}
    for place in places:
        if place.is_dir():
            inside = [file for file in sorted(place.iterdir()) if file.is_file() and _looks_like_a_film(file)]
            if not inside:
                msg = f"{place} holds no image; looked for {', '.join(sorted(ENDINGS))} and DICOM without an ending"
                raise DataError(msg)
            found |= dict.fromkeys(inside)
        elif place.is_file():
            found[place] = None
        else:
            msg = f"there is no file {place}"
            raise DataError(msg)
    return list(found)


def _looks_like_a_film(file: Path) -> bool:
    if file.suffix.lower() in ENDINGS:
        return True
    if file.suffix.strip(".0123456789"):  # names of DICOM files often end in a number, or in nothing
        return False
    with file.open("rb") as stream:
        return stream.read(MAGIC.stop)[MAGIC] == b"DICM"


def masks_for(films: Sequence[Path], mask: Path | None) -> dict[Path, Path]:
    """Film -> mask: a file belongs to the only film, a folder has masks called as the films are."""
    if mask is None:
        return {}
    if mask.is_dir():
        known = {file.stem: file for file in sorted(mask.iterdir()) if file.is_file() and _looks_like_a_film(file)}
        if not (found := {film: known[film.stem] for film in films if film.stem in known}):
            msg = f"--mask {mask}: none of its files is called as a film is; give a.png the mask {mask.name}/a.png"
            raise UsageError(msg)
        return found
    if not mask.is_file():
        msg = f"--mask {mask}: there is no such file"
        raise DataError(msg)
    if len(films) > 1:
        msg = f"--mask {mask}: one mask for {len(films)} films; give a folder of masks called as the films are"
        raise UsageError(msg)
    return {films[0]: mask}
