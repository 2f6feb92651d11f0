"""How heatmaps are stored: exactly as they came, packed without loss, or rounded to 16 bits.

- exact: `maps.npy`, float32, as numpy writes it.
- packed: the same numbers, bit for bit, in fewer bytes: like bytes of all numbers lie side by side, and are deflated.
- fp16: each map scaled by a power of two to at most 1, rounded to float16, and packed. The error is at most 1/2048 of
  each number, or 6e-8 of the map's greatest one where that is more. Maps so stored have keys of their own.
"""

from __future__ import annotations

import io
import math
import zlib
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from xaibench.errors import Damaged
from xaibench.files import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xaibench.contracts import Floats

Coding = Literal["exact", "packed", "fp16"]
CODINGS: tuple[Coding, ...] = ("exact", "packed", "fp16")
LEVEL = 4  # of deflate: higher ones take several times as long for a few percent


def encode(maps: Floats, coding: Coding) -> tuple[str, bytes, dict[str, Any]]:
    """The name of the file, its content, and what the record must tell to read it again."""
    if coding == "exact":
        buffer = io.BytesIO()
        np.save(buffer, maps, allow_pickle=False)
        content = buffer.getvalue()
        return "maps.npy", content, _facts(content)
    exponents = _exponents(maps) if coding == "fp16" else None
    plain = maps if exponents is None else np.ldexp(maps, -exponents[:, None, None]).astype(np.float16)
    content = zlib.compress(_shuffled(plain), LEVEL)
    scales = {} if exponents is None else {"exponents": exponents.tolist()}
    return "maps.z", content, {**_facts(content), "coding": coding, "shape": list(maps.shape), **scales}


def _facts(content: bytes) -> dict[str, Any]:
    return {"digest": digest(content), "bytes": len(content)}


def decode(content: bytes, facts: Mapping[str, Any]) -> Floats:
    """The maps, after the digest taken when they were written has been found again."""
    if digest(content) != facts["digest"]:
        raise Damaged("is not what was written")
    try:
        return _decoded(content, facts)
    except (ValueError, zlib.error, MemoryError, OverflowError) as error:  # a stranger's file, whose digest fits
        raise Damaged(f"does not hold the maps that its record tells of ({error})") from error


def _decoded(content: bytes, facts: Mapping[str, Any]) -> Floats:
    if "coding" not in facts:
        maps: Floats = np.load(io.BytesIO(content), allow_pickle=False)
        return maps
    kind = np.dtype(np.float16 if facts["coding"] == "fp16" else np.float32)
    shape = tuple(facts["shape"])
    plain: Floats = _unshuffled(content, kind, math.prod(shape)).reshape(shape)
    if "exponents" not in facts:
        return plain
    scaled: Floats = np.ldexp(plain.astype(np.float32), np.array(facts["exponents"], dtype=np.int32)[:, None, None])
    return scaled


def _exponents(maps: Floats) -> Any:
    """Per map, the power of two that its finite numbers do not exceed."""
    finite = np.where(np.isfinite(maps), np.abs(maps), 0)
    return np.frexp(finite.max(axis=(1, 2), initial=0))[1].astype(np.int32)


def _shuffled(array: Any) -> bytes:
    """First bytes of all numbers, then all second bytes, ...: neighbours in a heatmap differ in the last ones only."""
    size = array.dtype.itemsize
    planes: bytes = np.ascontiguousarray(array).view(np.uint8).reshape(-1, size).T.tobytes()
    return planes


def _unshuffled(content: bytes, kind: Any, count: int) -> Any:
    """Back again, never unpacking more than the record promises."""
    size = count * kind.itemsize
    opened = zlib.decompressobj()
    planes = opened.decompress(content, size)
    if len(planes) != size or opened.unconsumed_tail:
        raise ValueError(f"more or less than {size} bytes")
    return np.frombuffer(planes, dtype=np.uint8).reshape(kind.itemsize, -1).T.copy().view(kind).reshape(-1)
