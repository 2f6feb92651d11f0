"""Keys: the same work has the same key on every machine; any change that could change a number changes the key."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xaibench.registry import Loaded

_FINGERPRINTS: dict[int, tuple[Any, str]] = {}  # the task is held, so that its id stays its own
FILES = {"checkpoint", "file", "recipe", "weights"}  # parameters that may name one
FOLDER = "folder"  # the parameter that names where an explainer reads, if it has a fingerprint of what is there
KEY_VERSION = 1  # raise it when the meaning of an identity changes; old results then keep their old keys


def canonical(value: Any) -> str:
    """JSON with one spelling: sorted keys, no blanks, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


def key_of(identity: Mapping[str, Any]) -> str:
    """The key under which the work described by `identity` is stored."""
    text = canonical({"key_version": KEY_VERSION, **identity})
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def plugin_identity(loaded: Loaded) -> dict[str, Any]:
    """What decides the numbers of a plugin; of a foreign one the source too, whose version may be forgotten.

    Of a file that it is given the content counts, wherever it lies.
    """
    if loaded.group == "explainers" and hasattr(loaded.plugin, "fingerprint"):
        params = {name: value for name, value in loaded.params.items() if name != FOLDER}
        return {**_identity(loaded, params), "content": loaded.plugin.fingerprint()}
    return _identity(loaded, loaded.params)


def _identity(loaded: Loaded, params: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": loaded.name,
        "distribution": loaded.distribution,
        "version": loaded.card["version"],
        "params": {name: _content(value) if name in FILES else value for name, value in params.items()},
        "source": loaded.source,
    }


def _content(value: Any) -> Any:
    """The hash of a file that is named; whatever is no file stays as it is."""
    file = Path(str(value)).expanduser()
    if not value or not file.is_file():
        return value
    state = file.stat()
    return {"content": _hash_of(file, state.st_mtime_ns, state.st_size)}


@functools.lru_cache(maxsize=256)
def _hash_of(file: Path, _changed: int, _size: int) -> str:
    """Read once, unless it changes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def task_identity(loaded: Loaded) -> dict[str, Any]:
    """The same for a task. Where its files lie is no part of it: their content is, by the fingerprint."""
    identity = plugin_identity(loaded)
    params = {name: value for name, value in identity["params"].items() if not name.endswith("path")}
    return {**identity, "params": params, "fingerprint": _fingerprint(loaded.plugin)}


def _fingerprint(task: Any) -> str:
    """Asked once per task: it may look at every file, and each cell has it in its key."""
    known = _FINGERPRINTS.get(id(task))
    if known is None or known[0] is not task:
        known = _FINGERPRINTS[id(task)] = (task, task.fingerprint())
    return known[1]
