"""Fetch the object a plugin names, and contain whatever its code does meanwhile."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import sys
import traceback
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xaibench.errors import BrokenPlugin, XaibenchError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from xaibench.discovery import Plugin


def described(plugin: Plugin) -> str:
    """Name a plugin in a message, with the distribution to complain to."""
    origin = f" of {plugin.distribution} {plugin.version}".rstrip() if plugin.distribution else ""
    return f"{plugin.group.removesuffix('s')} {plugin.name!r}{origin} ({plugin.value})"


def caused(error: BaseException) -> str:
    """Type and text of an error in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def place(error: BaseException) -> str:
    """Where an error was raised in the plugin's code, for people who are not shown the traceback."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and Path(frame.filename).is_file() and not is_importlib(frame.filename)
    ]
    return f"\n  raised at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def is_importlib(filename: str) -> bool:
    """Whether a frame is of the import system itself."""
    return Path(filename).parent == Path(importlib.__file__).parent


@contextlib.contextmanager
def contained(plugin: Plugin, doing: str) -> Iterator[None]:
    """Turn all that a plugin's code raises, even SystemExit, into BrokenPlugin; what it prints goes to stderr."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except XaibenchError:
        raise
    except (Exception, SystemExit) as error:
        message = f"{described(plugin)} fails while {doing}: {caused(error)}{place(error)}"
        raise BrokenPlugin(message) from error


def fetch(plugin: Plugin) -> Any:
    """Import what a plugin names."""
    with contained(plugin, "it is imported"):
        if not plugin.module or not plugin.attribute:
            raise ImportError(f"{plugin.value!r} is not module:attribute")
        module = load_file(Path(plugin.module)) if is_file(plugin.module) else importlib.import_module(plugin.module)
        return reduce(getattr, plugin.attribute.split("."), module)


def is_file(module: str) -> bool:
    """Whether the part before the colon is a file rather than a module."""
    return module.endswith(".py")


def load_file(path: Path) -> ModuleType:
    """Run a file as a module. Its name holds its content, so that an edited file is another module."""
    digest = hashlib.blake2b(str(path).encode() + path.read_bytes(), digest_size=8).hexdigest()
    name = f"xaibench_file_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded as a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def source_digest(plugin: Plugin, fetched: Any) -> str:
    """Digest of the source that defines a stranger's plugin: editing it ends its stored results. Ours have versions.

    It covers the file that is named and the one where the factory or the object's class is written.
    """
    if plugin.builtin:
        return ""
    named = plugin.module if is_file(plugin.module) else file_of(plugin.module)
    files = sorted(filter(None, {named, file_of(getattr(fetched, "__module__", ""))}))
    # The attribute, for one file may define several plugins; the version, for code may lie in files we do not see.
    digest = hashlib.blake2b(f"{plugin.attribute} {plugin.version}".encode(), digest_size=16)
    for file in files:
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()


def file_of(module: str) -> str | None:
    """The file an imported module came from."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return file if file and Path(file).is_file() else None
