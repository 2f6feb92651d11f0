"""Heatmaps that were made before, read from files: to score what another tool, or a person, has drawn."""

from __future__ import annotations

import csv
import hashlib
import json
import zipfile
import zlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from xaibench.contracts import ExplainerCard
from xaibench.errors import DataError, Unsupported, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from xaibench.contracts import Batch, Classifier, Floats, Task

ENDINGS = (".npy", ".npz", ".png", ".tif", ".tiff", ".nii", ".nii.gz")
INDEX = "index.csv"
ABOUT = "maps.json"  # as `xaibench export --maps` writes it: of which model, task, ... the maps are
GREY = ("1", "L", "I", "F", "I;16", "I;16B", "I;16L")
SHOWN = 3

# What readers raise for content that is none of theirs; those of the system, which may pass, have a number as well.
BROKEN = (OSError, ValueError, EOFError, SyntaxError, zipfile.BadZipFile, zlib.error, Image.DecompressionBombError)

Key = tuple[str, str]  # id, and the class explained; "" stands for any class


class NoMapError(DataError):
    """A file that is there and holds no map, whenever it is read."""


class Maps:
    """`maps:FOLDER`: heatmaps from files, one per test image, larger where the explanation sees more evidence.

    A file is named by the image's id: `ID.npy`, also .npz, .png (grey, 8 or 16 bit), .tif or .nii; an id with slashes
    lies in folders, or has them written as %2F. Or `index.csv` has columns id and file, and target (a class) if there
    are maps for several classes. Maps of another size are stretched to the image, linearly. An image without a map, or
    whose file holds none, counts as failed. `model`: the label of the model whose maps these are; on others they are
    not scored.
    """

    card = ExplainerCard(
        name="maps",
        summary="heatmaps read from a folder",
        family="precomputed",
        stochastic=True,  # nobody knows; other draws cannot be had
        precomputed=True,
        default=False,
    )

    def __init__(self, folder: str = "", *, model: str = "") -> None:
        self.folder = Path(folder).expanduser()
        self.found = Found(self.folder, {}, frozenset())
        self._content = ""
        if not folder:
            return  # there is something to tell of it, and nothing to score
        if not self.folder.is_dir():
            raise UsageError(f"maps: there is no folder {self.folder}; give the one with the heatmaps, maps:FOLDER")
        self.found = Found.of(self.folder)
        self.card = replace(self.card, model=model or _about(self.folder).get("model", ""))

    def fingerprint(self) -> str:
        """The content of all files, by name: other maps are other results, wherever they lie."""
        self._content = self._content or self.found.digest()
        return self._content

    def notes(self, task: Task) -> Iterator[str]:
        """What a person should know before reading the numbers."""
        if not self.found.files:
            return
        entries = [entry for fold in range(task.folds) for entry in task.entries("test", fold)]
        ids = list(dict.fromkeys(entry.id for entry in entries))
        missing = [name for name in ids if not self.found.has(name)]
        if len(missing) == len(ids):
            raise DataError(
                f"{self.folder} has no map of any of the {len(ids)} test images: files are named by the image's id, "
                f"as {', '.join(ids[:SHOWN])}; here are {', '.join(self.found.names()[:SHOWN])}"
            )
        if missing:
            has, told = "has" if len(missing) == 1 else "have", "where the run takes one of them, it counts as failed"
            yield f"{len(missing)} of {len(ids)} test images {has} no map ({_some(missing)}); {told}"
        yield from self._of_content([name for name in ids if name not in set(missing)], tuple(task.shape[1:]))

    def _of_content(self, ids: list[str], shape: tuple[int, ...]) -> Iterator[str]:
        """Which files hold no map, and whether the others are stretched."""
        files = [file for name in ids for file in self.found.every(name)]
        troubles = {file: trouble for file in files if (trouble := _trouble(file))}
        if len(troubles) == len(files):
            raise DataError(f"none of the {len(files)} files for test images is a map: {troubles[files[0]]}")
        if troubles:
            told = "; ".join(list(troubles.values())[:SHOWN])
            more = f" and {len(troubles) - SHOWN} more" if len(troubles) > SHOWN else ""
            what = "holds no map and counts" if len(troubles) == 1 else "hold no map and count"
            yield f"{len(troubles)} of {len(files)} files {what} as failed: {told}{more}"
        found = read(next(file for file in files if file not in troubles)).shape
        if found != shape:
            yield f"maps of {found[0]} x {found[1]} are stretched to {shape[0]} x {shape[1]}, linearly"

    def explain(self, classifier: Classifier, batch: Batch) -> Floats:
        """Heatmaps [B, H, W]; NaN where there is none."""
        if not self.found.files:
            raise Unsupported("say where the maps are: maps:FOLDER")
        rows, columns = batch.images.shape[2:]
        names = [classifier.classes[target] for target in batch.targets.tolist()]
        return np.stack([self._map(key, (rows, columns)) for key in zip(batch.ids, names, strict=True)])

    def _map(self, key: Key, shape: tuple[int, int]) -> Floats:
        file = self.found.file(key)
        none = np.full(shape, np.nan, dtype=np.float32)
        try:
            return none if file is None else stretched(read(file), shape)
        except NoMapError:  # told by `notes`; the other images are none the worse for it
            return none


@dataclass(frozen=True)
class Found:
    """Which file is the map of which image."""

    folder: Path
    files: Mapping[Key, Path]
    ids: frozenset[str]

    @classmethod
    def of(cls, folder: Path) -> Found:
        """By the index if there is one, else by name."""
        files = dict(_indexed(folder)) if (folder / INDEX).is_file() else _named(folder)
        if not files:
            raise DataError(f"{folder} holds no heatmaps: expected {', '.join(ENDINGS)} named by the image, or {INDEX}")
        return cls(folder, files, frozenset(name for name, _ in files))

    def file(self, key: Key) -> Path | None:
        """The map of an image for a class, else the one for any class."""
        name, target = key
        for spelling in spellings(name):
            if file := self.files.get((spelling, target)) or self.files.get((spelling, "")):
                return file
        return None

    def has(self, name: str) -> bool:
        """Whether there is a map of an image, for whatever class."""
        return any(spelling in self.ids for spelling in spellings(name))

    def every(self, name: str) -> list[Path]:
        """The maps of an image, for whatever class."""
        return [file for spelling in spellings(name) for file in self._by_id.get(spelling, ())]

    @cached_property
    def _by_id(self) -> Mapping[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for (name, _), file in self.files.items():
            found.setdefault(name, []).append(file)
        return found

    def names(self) -> list[str]:
        """The images that maps are named by."""
        return sorted(self.ids)

    def digest(self) -> str:
        """A hash of who is shown by what content."""
        digest = hashlib.blake2b(digest_size=16)
        for (name, target), file in sorted(self.files.items()):
            content = hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()
            digest.update(json.dumps([name, target, _ending(file), content]).encode())
        return digest.hexdigest()


def spellings(name: str) -> Iterator[str]:
    """How files may call an image: by its id, or by its id without the ending of an image file."""
    plain = name.replace("\\", "/").removeprefix("./")
    yield plain
    stem, dot, ending = plain.rpartition(".")
    if dot and stem and "/" not in ending:
        yield stem


def _indexed(folder: Path) -> Iterator[tuple[Key, Path]]:
    with (folder / INDEX).open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    if rows and not {"id", "file"} <= set(rows[0]):
        raise DataError(f"{folder / INDEX}: expected columns id and file, found {', '.join(map(str, rows[0]))}")
    seen: dict[Key, int] = {}
    for line, row in enumerate(rows, 2):
        key, file = (row["id"], row.get("target") or ""), folder / (row["file"] or "")
        if not file.resolve().is_relative_to(folder.resolve()) or not file.is_file():
            raise DataError(f"{folder / INDEX}:{line}: there is no file {row['file']!r} in {folder}")
        if key in seen:
            raise DataError(f"{folder / INDEX}:{line}: {row['id']} has a map in line {seen[key]} already")
        seen[key] = line
        yield key, file


def _named(folder: Path) -> dict[Key, Path]:
    found: dict[Key, Path] = {}
    for file in sorted(folder.rglob("*")):
        if not (ending := _ending(file)) or not file.is_file():
            continue
        name = unquote(file.relative_to(folder).as_posix().removesuffix(ending))
        if (name, "") in found:
            raise DataError(f"{folder}: {found[name, ''].name} and {file.name} are both maps of {name}; keep one")
        found[name, ""] = file
    return found


def _ending(file: Path) -> str:
    return next((ending for ending in ENDINGS if file.name.lower().endswith(ending)), "")


def _about(folder: Path) -> dict[str, str]:
    file = folder / ABOUT
    if not file.is_file():
        return {}
    try:
        content: Any = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{file} is no JSON: {error}") from error
    return content if isinstance(content, dict) else {}


def _trouble(file: Path) -> str:
    try:
        read(file)
    except NoMapError as error:
        return str(error)
    return ""


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


# ------------------------------------------------------------------------------------------------------------- reading


def read(file: Path) -> Floats:
    """One map [rows, columns]."""
    ending = _ending(file)
    try:
        if ending in (".npy", ".npz"):
            array = _numpy(file)
        elif ending in (".nii", ".nii.gz"):
            array = _nifti(file)
        else:
            array = _picture(file)
    except BROKEN as error:
        passing = isinstance(error, OSError) and error.errno
        raise (DataError if passing else NoMapError)(f"{file} cannot be read as a map: {error}") from error
    flat = np.squeeze(array)
    if flat.ndim != 2 or not (np.issubdtype(flat.dtype, np.number) or flat.dtype == bool):
        raise NoMapError(f"{file} holds {flat.dtype} of shape {array.shape}; a map is numbers [rows, columns]")
    plain: Floats = flat.astype(np.float32)
    return plain


def _numpy(file: Path) -> Any:
    with file.open("rb") as stream:  # numpy leaves one of its own open where an archive is broken
        content = np.load(stream, allow_pickle=False)
        if not isinstance(content, np.lib.npyio.NpzFile):
            return content
        if len(content.files) != 1:
            raise NoMapError(f"{file} holds {len(content.files)} arrays; one map per file is wanted")
        return content[content.files[0]]


def _picture(file: Path) -> Any:
    with Image.open(file) as picture:
        if picture.mode not in GREY:
            raise NoMapError(
                f"{file} is in colour ({picture.mode}): a picture of a map, from which its values cannot be had back; "
                "save the map itself, as .npy or as grey .png"
            )
        return np.asarray(picture)


def _nifti(file: Path) -> Any:
    try:
        import nibabel as nib  # an extra
    except ImportError as error:
        raise UsageError("maps in NIfTI files need nibabel: pip install 'xaibench[nifti]'") from error
    try:
        loaded: Any = nib.load(file)
        return np.asarray(loaded.dataobj)  # the first axis is rows
    except nib.filebasedimages.ImageFileError as error:
        raise NoMapError(f"{file} is no NIfTI file: {error}") from error


def stretched(one: Floats, shape: tuple[int, int]) -> Floats:
    """Brought to the size of the image: bilinear, corners of pixels on corners of pixels."""
    if one.shape == shape:
        return one
    grid = torch.from_numpy(np.ascontiguousarray(one))[None, None]
    answer: Floats = F.interpolate(grid, shape, mode="bilinear", align_corners=False)[0, 0].numpy()
    return answer
