"""Phase one: which plugins are there. Reads the metadata of installed distributions; imports nothing of any plugin."""

from __future__ import annotations

import ast
import os
import re
import sys
import warnings
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from importlib.machinery import ModuleSpec

GROUPS = ("models", "explainers", "tasks", "metrics", "engines", "reports", "commands")
PREFIX = "xaibench."
OURSELVES = "xaibench"
METADATA = (".dist-info", ".egg-info")
ALLOW_LIST = "XAIBENCH_PLUGINS"


@dataclass(frozen=True)
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
    for folder in metadata_folders(path):
        declared = read_if_there(folder / "entry_points.txt")
        if f"[{PREFIX}" in declared:
            name, version = identify(folder)
            first.setdefault(normal(name), list(declared_plugins(declared, name, version)))
    every = (plugin for found in first.values() for plugin in found)
    return tuple(sorted(every, key=lambda plugin: (plugin.group, plugin.name, normal(plugin.distribution))))


def metadata_folders(path: Iterable[str]) -> Iterator[Path]:
    """Where distributions are described. importlib.metadata finds the same, but takes as long to import as click."""
    for entry in dict.fromkeys(path):
        folder = Path(entry)
        if folder.is_dir():
            yield from (folder / name for name in sorted(os.listdir(folder)) if name.endswith(METADATA))  # noqa: PTH208


def read_if_there(path: Path) -> str:
    """The text of a file, or nothing."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return ""


def identify(folder: Path) -> tuple[str, str]:
    """Name and version. Damaged metadata shall not stop us, so they are read with forgiving eyes."""
    text = read_if_there(folder / "METADATA") or read_if_there(folder / "PKG-INFO")
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
DEFINITION = re.compile(r"^(?:class|(?:async )?def) (\w+)", re.MULTILINE)
HOPS = 5  # modules a name is followed through: a package, its part, ...
HEAD = 60  # lines in which the first statement of a class or function is expected to end


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
    return find_name(path, attribute.partition(".")[0]) is not None


def summary_of(module: str, name: str) -> str:
    """The first line of a name's documentation, followed to where it is defined."""
    for _ in range(HOPS):
        path = module_file(module)
        found = find_name(path, name) if path else None
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


@lru_cache(maxsize=256)
def top_level(name: str, _path: tuple[str, ...]) -> ModuleSpec | None:
    """Where a top-level module would be imported from."""
    try:
        return find_spec(name)
    except (ImportError, ValueError):  # half-imported or nameless
        return None


def module_file(module: str) -> Path | None:
    """The file a module would be imported from. `find_spec` imports the parents of a dotted name: we look ourselves."""
    top, *below = module.split(".")
    spec = top_level(top, tuple(sys.path))
    if spec is None:
        return None
    if not below:
        return Path(spec.origin) if spec.origin and Path(spec.origin).is_file() else None
    folders = [Path(location, *below[:-1]) for location in spec.submodule_search_locations or ()]
    return next((file for folder in folders for file in candidates(folder, below[-1])), None)


def candidates(folder: Path, name: str) -> Iterator[Path]:
    """The files that `import name` would take from a folder, in Python's order."""
    yield from (file for file in (folder / name / "__init__.py", folder / f"{name}.py") if file.is_file())
    yield from (file for ending in ("so", "pyd") for file in folder.glob(f"{name}.*{ending}"))


def find_name(path: Path, name: str) -> Named | None:
    """What a file says of a top-level name; None if it surely does not define it."""
    if path.suffix != ".py":
        return Named()
    source = read_source(path, path.stat().st_mtime_ns)
    head = read_head(source, name)
    if head is not None:
        return head
    names = read_names(source)
    return names.get(name, names.get(ANY))


@lru_cache(maxsize=256)
def read_source(path: Path, _mtime: int) -> str:
    """The text of a source file."""
    return path.read_text(encoding="utf-8", errors="replace")


@lru_cache(maxsize=256)
def starts(source: str) -> dict[str, int]:
    """Where the top-level classes and functions of a source begin."""
    return {match[1]: match.start() for match in DEFINITION.finditer(source)}


def read_head(source: str, name: str) -> Named | None:
    """Read a class or function no further than its first statement: parsing whole files would slow every listing."""
    start = starts(source).get(name)
    lines = [] if start is None else source[start:].split("\n", HEAD)[:HEAD]
    for count in range(2, len(lines) + 1):
        tree = parsed("\n".join(lines[:count]))
        if tree is not None:
            return dict(names_in(tree.body))[name]
    return None


@lru_cache(maxsize=256)
def read_names(source: str) -> dict[str, Named]:
    """Top-level names of a source; ANY if there may be more. One that cannot be read will tell why when imported."""
    tree = parsed(source)
    return {ANY: Named()} if tree is None else dict(names_in(tree.body))


def parsed(source: str) -> ast.Module | None:
    """The syntax tree; None if it has none. What Python would warn of is the author's business."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError):
            return None


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
