"""Images that were decoded once: memory-mapped arrays, one slot per image and per lesion, filled as they are asked for.

Two processes that fill the same slot write the same bytes; a slot counts once its flag is set, which is done last.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock
from numpy.lib.format import open_memmap

from xaibench.caching import cache_root
from xaibench_tasks.frames import Frame

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

WHITE = np.float32(65535)  # pixels are kept in 16 bits: finer than any film was digitised


class PixelCache:
    """Slots for `lesions[i]` masks of image i, all of one shape [C, H, W]."""

    def __init__(self, key: str, shape: tuple[int, int, int], lesions: list[int]) -> None:
        self.folder: Path = cache_root() / "pixels" / key
        self.shape = shape
        self.first = np.concatenate([[0], np.cumsum(lesions, dtype=np.int64)]) if lesions else np.zeros(1, np.int64)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("images", "masks", "flags")}

    @cached_property
    def images(self) -> NDArray[np.uint16]:
        """[N, C, H, W]."""
        return self._array("images", np.uint16, (len(self.first) - 1, *self.shape))

    @cached_property
    def masks(self) -> NDArray[np.uint8]:
        """[M, H, ceil(W / 8)], eight pixels to a byte."""
        _, rows, columns = self.shape
        return self._array("masks", np.uint8, (int(self.first[-1]), rows, math.ceil(columns / 8)))

    @cached_property
    def flags(self) -> NDArray[np.uint8]:
        """Per image: 0 empty, else 1 + lesions rescued (at most 254)."""
        return self._array("flags", np.uint8, (len(self.first) - 1,))

    def _array(self, name: str, kind: type[np.generic], shape: tuple[int, ...]) -> NDArray[Any]:
        """A file of zeros, made once; on most file systems it takes room only where it is written."""
        if 0 in shape:
            return np.zeros(shape, kind)
        path = self.folder / f"{name}.npy"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / "lock"):
                if not path.exists():
                    beside = path.with_suffix(".making")
                    open_memmap(beside, mode="w+", dtype=kind, shape=shape).flush()
                    beside.replace(path)
        return open_memmap(path, mode="r+")

    def get(self, index: int) -> Frame | None:
        """The frame as channels first, if it is there."""
        if not (flag := int(self.flags[index])):
            return None
        packed = self.masks[self.first[index] : self.first[index + 1]]
        masks = np.unpackbits(packed, axis=-1, count=self.shape[2]).astype(np.bool_)
        return Frame(self.images[index] / WHITE, tuple(masks), flag - 1)

    def put(self, index: int, frame: Frame) -> None:
        """Keep a frame, channels first. Its flag comes last."""
        self.images[index] = np.rint(frame.image * WHITE)
        for slot, mask in zip(range(self.first[index], self.first[index + 1]), frame.masks, strict=True):
            self.masks[slot] = np.packbits(mask, axis=-1)
        self.flags[index] = 1 + min(frame.rescued, 254)
