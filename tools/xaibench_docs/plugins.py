"""Everything that is registered, as the catalogue's pages show it."""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from xaibench.cards import plain, values_of
from xaibench.contracts import Card
from xaibench.errors import UsageError
from xaibench.loading import fetch
from xaibench.registry import create
from xaibench.registry import plugins as registered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xaibench.discovery import Plugin

GROUPS = ("metrics", "explainers", "models", "tasks")
OURS = "xaibench"
# A card whose family hangs on a parameter would be listed under whichever metric comes first.
FAMILIES = {"quantus": "other libraries"}


@dataclass(frozen=True)
class Described:
    """One plugin."""

    group: str
    name: str
    card: Mapping[str, Any]
    module: str
    docstring: str
    parameters: Mapping[str, Any]  # name -> default; `inspect.Parameter.empty` if there is none

    @property
    def slug(self) -> str:
        """The name as a file name that needs no quoting in an address."""
        return self.name.replace("+", "-plus")

    @property
    def page(self) -> str:
        """Where its page lies among the documents."""
        return f"{self.group}/{self.slug}.md"

    @property
    def family(self) -> str:
        """Under which heading it is listed."""
        return FAMILIES.get(self.name, str(self.card.get("family", "")))


@cache
def described(group: str) -> tuple[Described, ...]:
    """All plugins of this distribution of one group, in the order of their names."""
    ours = [plugin for plugin in registered(group) if plugin.distribution == OURS]
    return tuple(sorted((_described(plugin) for plugin in ours), key=lambda one: one.name))


def _described(plugin: Plugin) -> Described:
    factory = fetch(plugin)
    return Described(
        group=plugin.group,
        name=plugin.name,
        card=_card(plugin, factory),
        module=factory.__module__,
        docstring=inspect.cleandoc(factory.__doc__ or ""),
        parameters={
            name: parameter.default
            for name, parameter in inspect.signature(factory).parameters.items()
            if parameter.kind is not parameter.VAR_KEYWORD
        },
    )


def _card(plugin: Plugin, factory: Any) -> Mapping[str, Any]:
    """As the source states it: some plugins cannot be made without data or a parameter."""
    card = getattr(factory, "card", None)
    if not isinstance(card, Card):
        known = vars(sys.modules[factory.__module__]).values()
        card = next((one for one in known if isinstance(one, Card) and one.name == plugin.name), None)
    if card is not None:
        return {name: plain(value, plugin.name) for name, value in values_of(plugin.group, card).items()}
    try:
        return create(plugin.group, f"{plugin.distribution}:{plugin.name}").card
    except UsageError:  # it is made of others, which have to be named
        return {"summary": inspect.cleandoc(factory.__doc__).split("\n\n")[0], "profiles": {}, "default": False}
