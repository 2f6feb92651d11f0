"""`xaibench info`: all that is known of one plugin."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from xaibench.cards import plain, values_of
from xaibench.cli.listing import group_of
from xaibench.contracts import Card
from xaibench.discovery import GROUPS, Plugin, discover, look, normal
from xaibench.errors import DataError, UsageError
from xaibench.factories import KEYWORD, defaults, is_factory, literals, signature
from xaibench.loading import fetch, source_digest
from xaibench.references import parse, spell
from xaibench.registry import LIVE, create, did_you_mean, resolve, spelled_out

if TYPE_CHECKING:
    from xaibench.registry import Loaded

NEEDED = "must be given"


@click.command()
@click.argument("what", nargs=-1, required=True, metavar="[KIND] REFERENCE")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable answer on stdout.")
def info(what: tuple[str, ...], as_json: bool) -> None:
    """Show a plugin's card, parameters and origin.

    REFERENCE is a name, name(parameter=value), distribution:name, module:factory or file.py:Class. KIND (explainer,
    model, ...) is needed where several kinds have the name, and for modules and files.
    """
    if len(what) > 2:
        raise UsageError(f"expected [KIND] REFERENCE, but got {len(what)} words: put a reference with blanks in quotes")
    group = group_of(what[0]) if len(what) == 2 else only_group(what[0])
    write = json_text if as_json else as_text
    try:
        answer = describe_command(what[-1]) if group == "commands" else describe(create(group, what[-1]))
    except (UsageError, DataError):
        if group != "commands" and (unmade := describe_unmade(group, what[-1])):
            click.echo(write(unmade))
        raise
    click.echo(write(answer))


def only_group(reference: str) -> str:
    """The one group that has a plugin of this name."""
    target = parse(reference).target
    groups = sorted({plugin.group for plugin in discover() if is_named(plugin, target)}, key=GROUPS.index)
    if len(groups) == 1:
        return groups[0]
    kinds = [group.removesuffix("s") for group in groups or GROUPS]
    if groups:
        choices = " or ".join(f"`xaibench info {kind} {reference}`" for kind in kinds)
        raise UsageError(f"{target!r} is the name of several plugins: say {choices}")
    if ":" in target:
        raise UsageError(f"say what kind of plugin {target!r} is: one of {', '.join(kinds)}, before the reference")
    near = did_you_mean(target, (plugin.name for plugin in discover()))
    raise UsageError(f"there is no plugin {target!r}{near}\n  `xaibench list` shows them all.")


def is_named(plugin: Plugin, target: str) -> bool:
    """Whether a target, with or without its distribution, means this plugin."""
    distribution, _, name = target.rpartition(":")
    return plugin.name == target or (plugin.name == name and normal(plugin.distribution) == normal(distribution))


def describe(loaded: Loaded) -> dict[str, Any]:
    """A plugin as plain values."""
    return {
        "kind": loaded.group,
        "name": loaded.name,
        "distribution": loaded.distribution,
        "version": loaded.version,
        "reference": loaded.reference,
        "source": loaded.source,
        "card": dict(loaded.card),
        "parameters": dict(loaded.params),
    }


def describe_unmade(group: str, text: str) -> dict[str, Any] | None:
    """What is known of a plugin that cannot be made, as a task without its data; None if a parameter is misspelt."""
    if text.startswith(LIVE):
        return None
    reference = spelled_out(group, parse(text))
    plugin = resolve(group, reference.target)
    fetched = fetch(plugin)
    known = dict(signature(fetched).parameters) if is_factory(fetched) else {}
    if not reference.params.keys() <= known.keys():
        return None
    wanted = {name: NEEDED for name, one in known.items() if one.kind in KEYWORD and one.default is one.empty}
    params = literals(defaults(fetched)) if known else {}
    card = getattr(fetched, "card", None)
    return {
        "kind": group,
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "reference": text,
        "source": source_digest(plugin, fetched),
        "card": card_of_class(group, card, text) if isinstance(card, Card) else {"summary": look(plugin).summary},
        "parameters": {**wanted, **params, **reference.params},
    }


def card_of_class(group: str, card: Card, who: str) -> dict[str, Any]:
    """A card that a class has before anything is made of it."""
    return {name: plain(value, f"{who}: card.{name}") for name, value in values_of(group, card).items()}


def describe_command(target: str) -> dict[str, Any]:
    """A command has no card; its own `--help` says the rest."""
    plugin = resolve("commands", target)
    fetch(plugin)
    return {
        "kind": plugin.group,
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "reference": target,
        "source": "",
        "card": {"summary": look(plugin).summary},
        "parameters": {},
    }


def json_text(answer: dict[str, Any]) -> str:
    """The answer for machines."""
    return json.dumps(answer, indent=1)


def as_text(answer: dict[str, Any]) -> str:
    """Aligned lines: origin, card, parameters."""
    card = {key: value for key, value in answer["card"].items() if value not in ("", None, [], {})}
    profiles = card.pop("profiles", {})
    origin = f"{answer['distribution']} {answer['version']}".strip()
    head = {"kind": answer["kind"].removesuffix("s"), "from": origin or answer["reference"]}
    lines = [answer["name"], *lines_of(head), "card", *lines_of(card)]
    if answer["parameters"]:
        lines += ["parameters (with the values used)", *lines_of(answer["parameters"])]
    if profiles:
        lines += ["profiles (what they set)"]
        lines += lines_of(
            {name: ", ".join(f"{k}={spell(v)}" for k, v in values.items()) for name, values in profiles.items()}
        )
    return "\n".join(lines)


def lines_of(values: dict[str, Any]) -> list[str]:
    """Indented `name  value` lines."""
    width = max(map(len, values), default=0)
    return [f"  {name:{width}}  {as_value(value)}" for name, value in values.items()]


def as_value(value: Any) -> str:
    """A value of a card as people read it."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ", ".join(map(as_value, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
