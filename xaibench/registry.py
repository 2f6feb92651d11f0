"""Phase two: from a reference to a plugin that is made, checked and described."""

from __future__ import annotations

import difflib
import functools
import re
import traceback
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xaibench import discovery
from xaibench.cards import read_card
from xaibench.discovery import Plugin, normal
from xaibench.errors import BrokenPlugin, UsageError, XaibenchError
from xaibench.factories import bind, defaults, is_factory, literals, signature
from xaibench.loading import caused, contained, described, fetch, is_file, source_digest
from xaibench.misnamed import misnamed
from xaibench.own.making import own_model
from xaibench.references import Reference, parse, split_list

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from xaibench.references import Value

_INSTALLED_ONLY: ContextVar[str] = ContextVar("installed_only", default="")
ALL = "all"
DEFAULT = "default"  # everything whose card does not say otherwise
LIVE = "live:"  # before the name of an object that exists in this process only
WITH_WEIGHTS = re.compile(r"(?P<builder>.+?:[^\W\d][\w.]*)@(?P<file>.+)")  # net.py:build@weights.pt


@dataclass(frozen=True)
class Loaded:
    """A plugin that is ready, and all that is needed to make it again."""

    group: str
    reference: str  # with every parameter bound: makes the same plugin in any process, under any profile
    label: str  # as the user said it, with one spelling: the target (of a file its name) and the parameters given
    name: str
    distribution: str  # "" for a plugin that comes from a module or a file
    version: str  # of the distribution
    params: Mapping[str, Any]  # every parameter that is a plain value, defaults included
    source: str  # "" if built in, else a digest of the defining file
    plugin: Any
    card: Mapping[str, Any]


@dataclass(frozen=True)
class Broken:
    """A plugin that was not asked for by name and does not load."""

    group: str
    reference: str
    name: str
    distribution: str
    version: str
    error: str  # type and text of the cause, in one line
    traceback: str = field(repr=False, default="")


@contextmanager
def installed_only(why: str) -> Iterator[None]:
    """Within it no code is run that a reference names by file or module, however deep inside: what strangers wrote."""
    token = _INSTALLED_ONLY.set(why)
    try:
        yield
    finally:
        _INSTALLED_ONLY.reset(token)


def code_refused() -> str:
    """Why no code that a reference names may run here; nothing if it may."""
    return _INSTALLED_ONLY.get()


def plugins(group: str) -> list[Plugin]:
    """The plugins of one group that are installed and allowed. Imports none."""
    if group not in discovery.GROUPS:
        raise UsageError(f"there is no kind of plugin called {group!r}; there are {', '.join(discovery.GROUPS)}")
    return [plugin for plugin in discovery.discover() if plugin.group == group]


def create(group: str, text: str, profile: str = "") -> Loaded:
    """Make the plugin a reference names. The card's `profiles[profile]` replaces defaults, never what is given."""
    if text.startswith(LIVE):
        return _live(group, text)
    reference = spelled_out(group, parse(text))
    plugin = resolve(group, reference.target)
    return make(plugin, reference, profile)


_KEPT: dict[tuple[str, str], Loaded] = {}


def keep(loaded: Loaded) -> None:
    """Let a live object be found by its reference for as long as this process lives."""
    _KEPT[loaded.group, loaded.reference] = loaded


def _live(group: str, reference: str) -> Loaded:
    if (found := _KEPT.get((group, reference))) is None:
        raise UsageError(
            f"{reference.removeprefix(LIVE)} was an object of another Python session; it cannot be had here"
        )
    return found


def select(group: str, text: str, profile: str = "") -> list[Loaded | Broken]:
    """Make everything in a comma list of references, patterns (`grad*`), `default` and `all`; each once, in order.

    What is asked for by name must load; what a pattern brings may be broken.
    """
    rows: dict[str, Loaded | Broken] = {}
    for item in split_list(text):
        if is_pattern(item):
            found = [attempt(plugin, profile) for plugin in matching(group, item)]
            found = [row for row in found if isinstance(row, Broken) or is_meant(row.card, item, profile)]
        else:
            found = [create(group, item, profile)]
        for row in found:
            rows.setdefault(row.reference, row)
    return list(rows.values())


def is_meant(card: Mapping[str, Any], pattern: str, profile: str) -> bool:
    """Whether a pattern brings a plugin; maps from files are somebody's own, and so only ever named."""
    return not card.get("precomputed") and (pattern != DEFAULT or is_default(card, profile))


def is_default(card: Mapping[str, Any], profile: str) -> bool:
    """Whether a plugin takes part where nobody names any."""
    return bool(card["default"]) and not (profile == "quick" and card["dear"])


# ------------------------------------------------------------------------------------------------------------- finding


def spelled(plugin: Plugin) -> str:
    """The shortest target that names this plugin alone."""
    if not plugin.distribution or is_unique(plugin):
        return plugin.name
    return f"{plugin.distribution}:{plugin.name}"


def is_unique(plugin: Plugin) -> bool:
    """Whether no other plugin of the group has its name."""
    return sum(other.name == plugin.name for other in plugins(plugin.group)) == 1


def is_pattern(item: str) -> bool:
    """Whether an item of a list is `all`, `default` or has wildcards; files may have brackets in their names."""
    return item in (ALL, DEFAULT) or (any(mark in item for mark in "*?[") and ".py:" not in item and "(" not in item)


def matching(group: str, pattern: str) -> list[Plugin]:
    """The plugins whose name, or `dist:name`, fits a pattern."""
    found = [
        plugin
        for plugin in plugins(group)
        if pattern in (ALL, DEFAULT)
        or fnmatchcase(plugin.name, pattern)
        or fnmatchcase(f"{plugin.distribution}:{plugin.name}", pattern)
    ]
    if not found and pattern not in (ALL, DEFAULT):
        raise UsageError(unknown(group, pattern))
    return found


def resolve(group: str, target: str) -> Plugin:
    """The plugin a target names: an installed one by name or `dist:name`, else a factory in a module or a file."""
    found = [plugin for plugin in plugins(group) if plugin.name == target]
    left, colon, right = target.rpartition(":")
    if not found and colon:
        found = [plugin for plugin in plugins(group) if is_called(plugin, left.strip(), right.strip())]
    if len(found) > 1:
        choices = " or ".join(f"{plugin.distribution}:{plugin.name}" for plugin in found)
        raise UsageError(f"{group.removesuffix('s')} {target!r} is ambiguous: say {choices}")
    if found:
        return found[0]
    return unpackaged(group, left.strip(), right.strip(), target)


def spelled_out(group: str, reference: Reference) -> Reference:
    """Short forms in full: `name@file` is name(checkpoint=file), `name:text` is name with its first parameter.

    `file.py:build@file` and `module:build@file` are the first of them too, and `name:text@file` is both.
    """
    names = {plugin.name for plugin in plugins(group)}
    for mark in "@:":
        left, found, right = reference.target.partition(mark)
        if not found or left not in names or (mark == ":" and is_installed(group, reference.target)):
            continue
        given = {"checkpoint": right} if mark == "@" else _after_colon(resolve(group, left), right)
        for parameter in given.keys() & reference.params.keys():
            raise UsageError(f"{reference}: {parameter} is given twice")
        return Reference(left, {**given, **reference.params})
    if group == "models" and (match := WITH_WEIGHTS.fullmatch(reference.target)):
        return Reference(match["builder"], {"checkpoint": match["file"], **reference.params})
    return reference


def is_installed(group: str, target: str) -> bool:
    """Whether a target is the `dist:name` of a plugin."""
    left, _, right = target.rpartition(":")
    return any(is_called(plugin, left, right) for plugin in plugins(group))


def _after_colon(plugin: Plugin, text: str) -> dict[str, str]:
    """The parameters that `name:text` gives: the first, and behind an @ the checkpoint of what can have one."""
    fetched = fetch(plugin)
    known = list(signature(fetched).parameters) if is_factory(fetched) else []
    if not known:
        raise UsageError(f"{described(plugin)} takes no parameters, so nothing can follow its name and a colon")
    first, found, file = text.partition("@")
    if found and "checkpoint" in known[1:]:
        return {known[0]: first, "checkpoint": file}
    return {known[0]: text}


def is_called(plugin: Plugin, distribution: str, name: str) -> bool:
    """Whether `distribution:name` means this plugin."""
    return normal(plugin.distribution) == normal(distribution) and plugin.name == name


def unpackaged(group: str, module: str, attribute: str, target: str) -> Plugin:
    """A plugin of no distribution: `path/to/file.py:Class` or `package.module:factory`."""
    if why := _INSTALLED_ONLY.get():
        raise UsageError(f"{target!r} is no installed plugin, and {why}")
    if module and attribute and is_file(module):
        path = Path(module).expanduser().resolve()
        if not path.is_file():
            raise UsageError(f"there is no file {path} (asked for as {target!r})")
        if not discovery.defines(path, attribute):
            raise UsageError(f"{path} does not define {attribute!r} (asked for as {target!r})")
        return Plugin(group, attribute, f"{path}:{attribute}", "", "")
    if module and attribute and discovery.is_importable(module, attribute):
        return Plugin(group, attribute, f"{module}:{attribute}", "", "")
    raise UsageError(misnamed(group, target) or unknown(group, target))


def unknown(group: str, target: str) -> str:
    """Say what there is, the nearest first."""
    names = sorted({spelled(plugin) for plugin in plugins(group)})
    return (
        f"there is no {group.removesuffix('s')} {target!r}{did_you_mean(target, names)}\n"
        f"  There are: {', '.join(names) or 'none'}\n"
        f"  A factory of your own is named as package.module:factory or path/to/file.py:Class."
    )


def did_you_mean(target: str, names: Iterable[str]) -> str:
    """The name nearest to what was asked for, with or without its distribution; nothing if none is near."""
    known = {part: name for name in names for part in (name.rpartition(":")[2], name)}
    near = difflib.get_close_matches(target, known, n=1)
    return f"; did you mean {known[near[0]]}?" if near else ""


# -------------------------------------------------------------------------------------------------------------- making


def attempt(plugin: Plugin, profile: str) -> Loaded | Broken:
    """Make a plugin, or say why not."""
    target = spelled(plugin)
    try:
        return make(plugin, Reference(target), profile)
    except XaibenchError as error:
        cause = error.__cause__ or error
        why = caused(error.__cause__) if error.__cause__ else " ".join(str(error).split())
        shown = "".join(traceback.format_exception(cause))
        return Broken(plugin.group, target, plugin.name, plugin.distribution, plugin.version, why, shown)


def make(plugin: Plugin, reference: Reference, profile: str) -> Loaded:
    """Import, make and describe a plugin."""
    fetched = fetch(plugin)
    made, card, params = produce(plugin, fetched, reference, profile)
    unpacked = not plugin.distribution
    return Loaded(
        group=plugin.group,
        reference=str(Reference(plugin.value if unpacked else spelled(plugin), literals(params))),
        label=str(Reference(shown(plugin, reference.target), reference.params)),
        name=card["name"] if unpacked and card["name"] else plugin.name,
        distribution=plugin.distribution,
        version=plugin.version,
        params=literals(params),
        source=source_digest(plugin, fetched),
        plugin=made,
        card=card,
    )


def shown(plugin: Plugin, target: str) -> str:
    """A target as tables show it: of a file its name, not the way to it."""
    return (
        f"{Path(plugin.module).name}:{plugin.attribute}"
        if not plugin.distribution and is_file(plugin.module)
        else target
    )


def produce(
    plugin: Plugin, fetched: Any, reference: Reference, profile: str
) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """The plugin, its card, and its parameters with defaults."""
    who = described(plugin)
    if plugin.group == "models":
        name = shown(plugin, reference.target)
        own = own_model(fetched, reference.params, who, name, functools.partial(call, plugin))
        if own is not None:
            return own.plugin, read_card(plugin.group, own.plugin, who), dict(own.params)
    if not is_factory(fetched):
        if reference.params:
            raise UsageError(f"{who} takes no parameters: it is no factory, but a {type(fetched).__name__}")
        return fetched, read_card(plugin.group, fetched, who), {}
    given = bind(fetched, reference.params, who)
    made = call(plugin, fetched, given)
    card = read_card(plugin.group, made, who)
    extra = {name: value for name, value in card.get("profiles", {}).get(profile, {}).items() if name not in given}
    if extra:
        given = profiled(fetched, given | extra, who, profile)
        made = call(plugin, fetched, given)
        card = read_card(plugin.group, made, who)
    return made, card, _settled(defaults(fetched), given)


def _settled(known: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters with defaults. 0.0 for a default of 0 is that default: written down and read back it is the same."""
    return known | {name: value for name, value in given.items() if name not in known or known[name] != value}


def profiled(factory: Any, params: Mapping[str, Value], who: str, profile: str) -> dict[str, Any]:
    """Bind with the parameters of a profile. If they do not fit it is the author's mistake, not the user's."""
    try:
        return bind(factory, params, who)
    except UsageError as error:
        raise BrokenPlugin(f"profile {profile!r} of its card cannot be: {error}") from error


def call(plugin: Plugin, factory: Any, params: Mapping[str, Any]) -> Any:
    """Make the plugin. A ValueError about what the user gave is the user's to mend."""
    with contained(plugin, "it is made"):
        try:
            return factory(**params)
        except ValueError as error:
            if not params:
                raise
            shown = Reference(plugin.name, literals(params))
            raise UsageError(f"{described(plugin)} refuses {shown}: {error}") from error
