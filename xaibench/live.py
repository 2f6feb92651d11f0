"""Objects of a Python session as plugins of a run: networks, functions, instances with a card."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from xaibench.cards import CARDS, MEMBERS, read_card
from xaibench.contracts import ExplainerCard
from xaibench.errors import UsageError
from xaibench.own.builders import is_network
from xaibench.own.fingerprints import Unstable, fingerprint
from xaibench.own.making import own_model
from xaibench.registry import LIVE, Loaded, keep

if TYPE_CHECKING:
    from collections.abc import Callable

    from xaibench.contracts import Batch, Classifier, Heatmaps


@dataclass
class Chosen:
    """What one group of a run was given, as references."""

    references: list[str] = field(default_factory=list)
    live: list[str] = field(default_factory=list)  # labels of objects that exist in this process only
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """As on the command line."""
        return ",".join(self.references)


def chosen(group: str, given: Any) -> Chosen:
    """Understand a reference, an object, a list of them, or a dict of objects by name."""
    found = Chosen()
    if isinstance(given, Mapping):
        items = [(str(name), thing) for name, thing in given.items()]
    else:
        items = [("", thing) for thing in (given if isinstance(given, (list, tuple, set)) else [given])]
    for name, thing in items:
        _add(found, group, name, thing)
    if len(set(found.live)) < len(found.live):
        raise UsageError(
            f"{group}: several are called {max(found.live, key=found.live.count)}; "
            f"give them names: {group}={{'first': ..., 'second': ...}}"
        )
    return found


def _add(found: Chosen, group: str, name: str, thing: Any) -> None:
    if isinstance(thing, str):
        if name:
            raise UsageError(f"{group}: {name!r} names the reference {thing!r}; only objects are given names")
        found.references.append(thing)
        return
    loaded = thing if isinstance(thing, Loaded) else _loaded(found, group, name, thing)
    if loaded.group != group:
        raise UsageError(f"{group}: {loaded.label} is one of the {loaded.group}")
    if loaded.reference.startswith(LIVE):
        keep(loaded)
        found.live.append(loaded.label)
    # The label of an installed plugin is a reference too, and what it leaves open the run's profile decides.
    found.references.append(loaded.label if loaded.distribution else loaded.reference)


def _loaded(found: Chosen, group: str, name: str, thing: Any) -> Loaded:
    """An object as a plugin that is ready."""
    label = name or _name_of(thing)
    try:
        digest = fingerprint(thing)
    except Unstable as reason:
        digest = uuid.uuid4().hex
        found.notes.append(
            f"{label} holds {reason}, of which nobody can say whether it is the same again: "
            "its results are of this run alone"
        )
    plugin = _plugin(group, label, thing)
    return Loaded(
        group=group,
        reference=f"{LIVE}{re.sub(r'[^A-Za-z0-9_.-]+', '_', label)}-{digest[:16]}",
        label=label,
        name=label,
        distribution="",
        version="",
        params={},
        source=digest,
        plugin=plugin,
        card=read_card(group, plugin, label),
    )


def _name_of(thing: Any) -> str:
    card = getattr(thing, "card", None)
    named = getattr(card, "name", None) or getattr(thing, "__name__", None) or type(thing).__name__
    return str(named).strip("<>")


def _plugin(group: str, label: str, thing: Any) -> Any:
    """The plugin that an object is, or that is made of it."""
    if hasattr(thing, "card") and not isinstance(thing, type):
        return thing
    if group == "models" and (own := own_model(thing, {}, label, label, lambda make, given: make(**given))):
        return own.plugin
    if isinstance(thing, type):
        made = thing()
        if hasattr(made, "card"):
            return made
    if group == "explainers" and callable(thing) and not isinstance(thing, type) and not is_network(thing):
        return FunctionExplainer(label, thing)
    what = f"a {type(thing).__name__}" if not isinstance(thing, type) else f"the class {thing.__name__}"
    raise UsageError(f"{group}: {what} is none. {_wanted(group)}")


def _wanted(group: str) -> str:
    members = ", ".join(f"`{name}`" for name in MEMBERS[group])
    more = {
        "models": ", a torch.nn.Module, a function that builds one, or a function images -> logits",
        "explainers": ", or a function (classifier, batch) -> heatmaps",
    }.get(group, "")
    return (
        f"Wanted is a reference such as those in xaibench.names({group!r}), an object with `card` "
        f"({CARDS[group].__name__}) and {members}{more}."
    )


class FunctionExplainer:
    """A function (classifier, batch) -> heatmaps [B, H, W]. Nothing is known of it, so it may draw at random."""

    def __init__(self, name: str, function: Callable[[Classifier, Batch], Heatmaps]) -> None:
        self.card = ExplainerCard(
            name=name, summary=(function.__doc__ or "a function of your own").strip().splitlines()[0],
            family="own", stochastic=True,
        )  # fmt: skip
        self.function = function

    def explain(self, classifier: Classifier, batch: Batch) -> Heatmaps:
        """Heatmaps [B, H, W]."""
        return self.function(classifier, batch)
