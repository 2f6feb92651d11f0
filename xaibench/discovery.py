"""Phase one: which plugins are there. Reads the metadata of installed distributions; imports nothing of any plugin."""

from __future__ import annotations

import ast
import os
import re
import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from importlib.metadata import Distribution

GROUPS = ("models", "explainers", "tasks", "metrics", "engines", "reports", "commands")
PREFIX = "xaibench."
OURSELVES = "xaibench"
ALLOW_LIST = "XAIBENCH_PLUGINS"


@dataclass(frozen=True, order=True)
class Plugin:
    """What the metadata say of a plugin: `value` is `module:attribute`, as in an entry point."""

    group: str
    name: str
    value: str
    distribution: str
    version: str
    builtin: bool = False

    @property
    def module(self) -> str:
        """The module the plugin is defined in."""
        return self.value.partition(":")[0].strip()

    @property
    def attribute(self) -> str:
        """The name of the factory within the module."""
        return self.value.partition(":")[2].strip()


def discover() -> list[Plugin]:
    """All plugins that are installed and allowed, by group and name."""
    allowed = allow_list()
    return [
        plugin
        for plugin in scan(tuple(sys.path))
        if plugin.builtin or allowed is None or normal(plugin.distribution) in allowed
    ]


def allow_list() -> set[str] | None:
    """The distributions that XAIBENCH_PLUGINS allows: None, all; none named, only what is built in."""
    text = os.environ.get(ALLOW_LIST)
    return None if text is None else {normal(name) for name in text.split(",") if name.strip()}


def normal(name: str) -> str:
    """Spell the name of a distribution the way package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


@lru_cache(maxsize=8)
def scan(path: tuple[str, ...]) -> tuple[Plugin, ...]:
    """Read the distributions on a search path. One that is found twice counts once: the first is what is imported."""
    first: dict[str, list[Plugin]] = {}
    for distribution in distributions(path=list(path)):
        # Looking for the text is much cheaper than parsing every entry point and every METADATA file there is.
        declared = distribution.read_text("entry_points.txt") or ""
        if f"[{PREFIX}" in declared:
            name, version = identify(distribution)
            first.setdefault(normal(name), list(declared_plugins(declared, name, version)))
    return tuple(sorted(plugin for found in first.values() for plugin in found))


def identify(distribution: Distribution) -> tuple[str, str]:
    """Name and version. Damaged metadata shall not stop us, so they are read with forgiving eyes."""
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    found = {key: re.search(rf"^{key}:\s*(\S+)", text, re.MULTILINE) for key in ("Name", "Version")}
    name, version = (match[1] if match else "unknown" for match in found.values())
    return name, version


def declared_plugins(text: str, distribution: str, version: str) -> Iterator[Plugin]:
    """The plugins in an entry_points.txt. A line that is no `name = value` becomes a plugin that points nowhere."""
    group = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1].strip().removeprefix(PREFIX) if line[1:].lstrip().startswith(PREFIX) else ""
        elif group in GROUPS and line and line[0] not in "#;":
            name, _, value = line.partition("=")
            value = value.partition("[")[0].strip()  # extras, as in `module:attribute [extra]`
            yield Plugin(group, name.strip(), value, distribution, version, normal(distribution) == OURSELVES)


# ------------------------------------------------------------------------------------------- looking without importing


@dataclass(frozen=True)
class Look:
    """What reading a plugin's source tells of it."""

    summary: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Named:
    """A top-level name of a source file: its first line of documentation, or where it is imported from."""

    summary: str = ""
    module: str = ""
    name: str = ""


ANY = "*"  # the file may define names that only running it would show
HOPS = 5  # modules a name is followed through: a package, its part, ...


def look(plugin: Plugin) -> Look:
    """Read, but do not run, the source of a plugin: its first line of documentation, or why it points nowhere."""
    if not plugin.module or not plugin.attribute:
        return Look(problem=f"points nowhere: {plugin.value!r} is not module:attribute")
    path = module_file(plugin.module)
    if path is None:
        return Look(problem=f"points nowhere: there is no module {plugin.module}")
    if not defines(path, plugin.attribute):
        return Look(problem=f"points nowhere: {path} does not define {plugin.attribute}")
    return Look(summary=summary_of(plugin.module, plugin.attribute))


def defines(path: Path, attribute: str) -> bool:
    """Whether a file defines a top-level name, or may do so in a way that only running it would show."""
    names = names_of(path)
    return attribute.partition(".")[0] in names or ANY in names


def summary_of(module: str, name: str) -> str:
    """The first line of a name's documentation, followed to where it is defined."""
    for _ in range(HOPS):
        path = module_file(module)
        found = names_of(path).get(name) if path else None
        if path is None or found is None or not found.module:
            return found.summary if found else ""
        module, name = absolute(found.module, module, path), found.name
    return ""


def absolute(imported: str, module: str, path: Path) -> str:
    """The full name of a module that was imported, perhaps with leading dots, in `module`."""
    level = len(imported) - len(imported.lstrip("."))
    if not level:
        return imported
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    return ".".join([*package[: len(package) - level + 1], *filter(None, [imported[level:]])])


def is_importable(module: str, attribute: str) -> bool:
    """Whether a module exists, and defines the name or may do so."""
    file = module_file(module)
    return file is not None and defines(file, attribute)


def module_file(module: str) -> Path | None:
    """The file a module would be imported from. `find_spec` imports the parents of a dotted name: we look ourselves."""
    top, *below = module.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):  # half-imported or nameless
        return None
    if spec is None:
        return None
    if not below:
        return Path(spec.origin) if spec.origin and Path(spec.origin).is_file() else None
    folders = [Path(location, *below[:-1]) for location in spec.submodule_search_locations or ()]
    return next((file for folder in folders for file in candidates(folder, below[-1])), None)


def candidates(folder: Path, name: str) -> Iterable[Path]:
    """The files that `import name` would take from a folder, in Python's order."""
    plain = (folder / name / "__init__.py", folder / f"{name}.py")
    return [*(file for file in plain if file.is_file()), *folder.glob(f"{name}.*.so"), *folder.glob(f"{name}.*.pyd")]


def names_of(path: Path) -> dict[str, Named]:
    """Top-level names of a file; ANY if there may be more."""
    return read_names(path, path.stat().st_mtime_ns) if path.suffix == ".py" else {ANY: Named()}


@lru_cache(maxsize=256)
def read_names(path: Path, _mtime: int) -> dict[str, Named]:
    """Top-level names of a source file."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return {ANY: Named()}  # importing it will tell the error better than we could
    return dict(names_in(tree.body))


def names_in(body: Iterable[ast.stmt]) -> Iterator[tuple[str, Named]]:
    """Names bound at the top of a module, also within `if` and `try`."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield (ANY if node.name == "__getattr__" else node.name), Named(first_line(ast.get_docstring(node)))
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from ((alias.asname or alias.name, Named("", module, alias.name)) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (((alias.asname or alias.name).partition(".")[0], Named()) for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.If | ast.Try | ast.With | ast.For):
            inside = list(ast.walk(node))[1:]
            yield from ((name.id, Named()) for name in inside if is_assigned(name))
            yield from names_in(statement for statement in inside if isinstance(statement, ast.stmt))


def is_assigned(node: ast.AST) -> TypeGuard[ast.Name]:
    """Whether a node is a name being given a value."""
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def first_line(text: str | None) -> str:
    """The first line of a documentation string."""
    return text.strip().partition("\n")[0].strip() if text else ""
