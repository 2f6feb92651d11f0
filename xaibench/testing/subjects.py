"""The plugin under test: named by a reference, or a class, function or object at hand."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xaibench.discovery import Plugin, discover, is_importable, normal
from xaibench.errors import UsageError
from xaibench.factories import is_factory
from xaibench.loading import fetch, is_file
from xaibench.references import Reference, parse
from xaibench.registry import create, did_you_mean, plugins, produce, resolve, spelled
from xaibench.testing.checks import KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xaibench.references import Value

VERBS = {"explain": "explainers", "build": "models", "score": "metrics", "entries": "tasks"}


@dataclass(frozen=True)
class Made:
    """A plugin that was made, and its card as plain values."""

    plugin: Any
    card: Mapping[str, Any]
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Subject:
    """A plugin under test, which can be made as often as needed."""

    kind: str
    label: str
    factory: Any
    reference: str = ""  # by which another process can make it; "" if none can
    params: Mapping[str, Value] = field(default_factory=dict)
    profile: str = "quick"
    named: bool = False  # by a reference, which the registry resolves

    def make(self) -> Made:
        """A new one. UsageError if it asks for something, BrokenPlugin if it cannot be."""
        if self.named:
            loaded = create(self.kind, self.reference, self.profile)
            return Made(loaded.plugin, loaded.card, loaded.params)
        plugin = Plugin(self.kind, self.label, self.label, "", "")
        made, card, params = produce(plugin, self.factory, Reference(self.label, self.params), self.profile)
        return Made(made, card, params)


def named(text: str, kind: str = "", profile: str = "quick") -> Subject:
    """The subject of a reference: an installed name, module:attribute or file.py:Class, with or without parameters."""
    kind = kind or kind_named(text)
    plugin = resolve_quietly(kind, text)
    return Subject(kind, text, fetch(plugin), text, profile=profile, named=True)


def at_hand(factory: Any, kind: str = "", params: Mapping[str, Value] | None = None, profile: str = "quick") -> Subject:
    """The subject of a class, a function that makes a plugin, or a plugin."""
    label = getattr(factory, "__name__", type(factory).__name__)
    kind = kind or kind_of(factory) or _of_what_it_makes(factory, params or {})
    if not kind:
        raise UsageError(unknown_kind(label))
    target = address(kind, factory)
    reference = str(Reference(target, params or {})) if target else ""
    return Subject(kind, label, factory, reference, params or {}, profile)


def _of_what_it_makes(factory: Any, params: Mapping[str, Value]) -> str:
    return kind_of(factory(**params)) if inspect.isroutine(factory) else ""


def kind_of(thing: Any) -> str:
    """The kind whose verb a class or an object has; "" if it has none, or several."""
    found = [kind for verb, kind in VERBS.items() if callable(getattr(thing, verb, None))]
    return found[0] if len(found) == 1 else ""


def kind_named(text: str) -> str:
    """The kind of what a reference names: from the metadata, or by looking at what it names."""
    target = parse(text).target
    groups = sorted({plugin.group for plugin in discover() if plugin.group in KINDS and _is_called(plugin, target)})
    if len(groups) > 1:
        choices = " or ".join(f"--kind {one(group)}" for group in groups)
        raise UsageError(f"{target!r} is the name of several plugins: say {choices}")
    if groups:
        return groups[0]
    if ":" not in target and "@" not in target:
        near = did_you_mean(target, (plugin.name for plugin in discover() if plugin.group in KINDS))
        raise UsageError(
            f"there is no plugin {target!r}{near}\n  Yours is named as package.module:Class or path/to/file.py:Class."
        )
    return _kind_by_looking(target)


def _kind_by_looking(target: str) -> str:
    head = target.partition(":")[0].partition("@")[0]
    short = {plugin.group for plugin in discover() if plugin.group in KINDS and plugin.name == head}
    if len(short) == 1:  # name:text and name@file, with the first parameter after the mark
        return short.pop()
    found = fetch(resolve(KINDS[0], target))
    kind = kind_of(found) or (kind_of(found()) if inspect.isroutine(found) else "")
    if not kind:
        raise UsageError(unknown_kind(target))
    return kind


def resolve_quietly(kind: str, text: str) -> Plugin:
    """The plugin of a reference, also of a short form."""
    target = parse(text).target
    names = {plugin.name for plugin in discover() if plugin.group == kind}
    head = target.partition(":")[0].partition("@")[0]
    return resolve(kind, head if head in names and target not in names else target)


def _is_called(plugin: Plugin, target: str) -> bool:
    distribution, _, name = target.rpartition(":")
    return target == plugin.name or (name == plugin.name and normal(distribution) == normal(plugin.distribution))


def unknown_kind(label: str) -> str:
    """Say by what a kind is told."""
    verbs = ", ".join(f"`{verb}` ({one(kind)})" for verb, kind in VERBS.items())
    return f"what kind of plugin {label!r} is cannot be told: it has none of the methods {verbs}. Say it with --kind."


def one(kind: str) -> str:
    """`explainer` for `explainers`."""
    return kind.removesuffix("s")


def address(kind: str, factory: Any) -> str:
    """Where another process would find a class or function; "" if it would not."""
    name = getattr(factory, "__qualname__", "")
    module = inspect.getmodule(factory)
    if not is_factory(factory) or not name.isidentifier() or module is None:
        return ""
    full = f"{module.__name__}:{name}"
    if installed := [plugin for plugin in plugins(kind) if plugin.value == full]:
        return spelled(installed[0])
    # Asking the path itself: what was loaded from a file is in sys.modules, where no other process would find it.
    package = module.__name__.partition(".")[0]
    if package != module.__name__ and PathFinder.find_spec(package) and is_importable(module.__name__, name):
        return full
    # The name of a lone module may be that of a plugin too: `demo:Demo` would be demo with a parameter.
    file = getattr(module, "__file__", None) or ""
    return f"{file}:{name}" if is_file(file) and Path(file).is_file() else ""
