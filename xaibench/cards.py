"""Check that a plugin has the shape its group asks for, and read its card as plain values."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Set
from dataclasses import MISSING, Field, fields
from typing import Any

from xaibench.contracts import Card, ExplainerCard, MetricCard, ModelCard, TaskCard
from xaibench.errors import BrokenPlugin

CARDS: dict[str, type[Card]] = {
    "models": ModelCard,
    "explainers": ExplainerCard,
    "tasks": TaskCard,
    "metrics": MetricCard,
    "engines": Card,
    "reports": Card,
}
MEMBERS: dict[str, tuple[str, ...]] = {
    "models": ("build", "prepare", "cam_layer"),
    "explainers": ("explain",),
    "tasks": ("classes", "shape", "folds", "fingerprint", "entries", "load"),
    "metrics": ("score",),
    "engines": ("run",),
    "reports": ("render",),
}


def read_card(group: str, plugin: Any, who: str) -> dict[str, Any]:
    """The card as JSON can hold it. A stranger's card may be any object; what it leaves out has the default."""
    card = getattr(plugin, "card", None)
    if card is None:
        raise BrokenPlugin(f"{who} has no `card`; see xaibench.contracts.{CARDS[group].__name__}")
    missing = [f"`{name}`" for name in MEMBERS[group] if not hasattr(plugin, name)]
    missing += [
        f"`card.{field.name}`" for field in fields(CARDS[group]) if is_required(field) and not hasattr(card, field.name)
    ]
    if missing:
        raise BrokenPlugin(f"{who} lacks {', '.join(missing)}; see xaibench.contracts")
    return {name: plain(value, f"{who}: card.{name}") for name, value in values_of(group, card).items()}


def is_required(field: Field[Any]) -> bool:
    """Whether a field of a card has no default."""
    return field.default is MISSING and field.default_factory is MISSING


def values_of(group: str, card: Any) -> dict[str, Any]:
    """Every field that the contract knows, then whatever else the card carries."""
    values = {field.name: getattr(card, field.name, default_of(field)) for field in fields(CARDS[group])}
    extra = getattr(card, "__dict__", {})
    return values | {name: value for name, value in extra.items() if name not in values and not name.startswith("_")}


def default_of(field: Field[Any]) -> Any:
    """The default of a field; None for one that has none (its absence was refused before)."""
    if field.default_factory is not MISSING:
        return field.default_factory()
    return None if field.default is MISSING else field.default


def plain(value: Any, where: str) -> Any:
    """Sets become sorted lists, mappings dicts; what JSON cannot hold is refused."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item, f"{where}[{key}]") for key, item in value.items()}
    if isinstance(value, Set):
        return sorted(plain(item, where) for item in value)
    if isinstance(value, Collection):
        return [plain(item, where) for item in value]
    raise BrokenPlugin(
        f"{where} is {value!r}; a card holds only finite numbers, texts, booleans, None and lists of them"
    )
