"""What is known of each file of a source: hashes of its content and of its pixels, and how it looks."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from scipy.fft import dctn

from xaibench.caching import cache_root
from xaibench.errors import DataError
from xaibench.files import read_json, write_json
from xaibench_tasks.frames import resized
from xaibench_tasks.pictures import decode

if TYPE_CHECKING:
    from xaibench.contracts import Floats
    from xaibench_tasks.pictures import Picture
    from xaibench_tasks.sources import Source

VERSION = 3  # of what is written on a page

Page = dict[str, str]


class Ledger:
    """Facts per file, made when asked for, valid until the file's size or time of change is another."""

    def __init__(self, source: Source) -> None:
        self.source = source
        label = hashlib.blake2b(str(source.path.absolute()).encode(), digest_size=16).hexdigest()
        self.file = cache_root() / f"ledgers-{VERSION}" / f"{label}.json"
        self.pages: dict[str, Page] = read_json(self.file) or {}
        self._changed = False

    def _page(self, name: str) -> Page:
        stamp = self.source.stamp(name)
        page = self.pages.get(name)
        if page is None or page["stamp"] != stamp:
            page = self.pages[name] = {"stamp": stamp}
        return page

    def digest(self, name: str) -> str:
        """Hash of the bytes."""
        page = self._page(name)
        if "content" not in page:
            page["content"] = _hash(self.source.read(name))
            self._changed = True
        return page["content"]

    def trouble(self, name: str) -> str:
        """Why an image file cannot be used; nothing if it can."""
        try:
            return self._looked_at(name).get("trouble", "")
        except DataError as error:
            return str(error)

    def pixels(self, name: str) -> str:
        """Hash of the decoded pixels: equal for two files of one image, whatever their headers."""
        return self._looked_at(name).get("pixels", "")

    def shape(self, name: str) -> tuple[int, ...]:
        """Rows and columns; nothing for a file that cannot be decoded."""
        return tuple(map(int, self._looked_at(name).get("shape", "").split()))

    def look(self, name: str) -> str:
        """Perceptual hash of 256 bits, in hex; nothing for a file that cannot be decoded or shows nothing."""
        return self._looked_at(name).get("look", "")

    def _looked_at(self, name: str) -> Page:
        page = self._page(name)
        if "look" not in page:
            content = self.source.read(name)
            page |= {"content": _hash(content), "pixels": "", "look": "", "trouble": "", "shape": ""}
            self._changed = True
            try:
                picture = decode(name, content)
            except DataError as error:
                page["trouble"] = str(error)
            else:
                page["pixels"] = _pixel_hash(picture)
                page["shape"] = f"{picture.pixels.shape[0]} {picture.pixels.shape[1]}"
                page["look"] = perceptual_hash(picture.pixels)
        return page

    def save(self) -> None:
        """Keep what was found."""
        if self._changed:
            write_json(self.file, self.pages)
            self._changed = False


def _hash(content: bytes | memoryview) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _pixel_hash(picture: Picture) -> str:
    """Of the grey values as they were stored: eight bits are hashed four times as fast as floats."""
    whole, kind = (255, np.uint8) if picture.bits <= 8 else (65535, np.uint16)
    values = (picture.pixels * np.float32(whole) + np.float32(0.5)).astype(kind)
    return f"{_hash(values.data)} {values.shape}"


def perceptual_hash(pixels: Floats) -> str:
    """256 signs of the low frequencies of a thumbnail of 64 x 64; nothing for an image of one tone."""
    grey = pixels if pixels.ndim == 2 else pixels.mean(axis=2)
    small = resized(grey, 64, 64)
    if float(np.ptp(small)) < 1e-3:
        return ""
    low = dctn(small.astype(np.float64), norm="ortho")[:17, :17].ravel()[1:257]
    return np.packbits(low > np.median(low)).tobytes().hex()
