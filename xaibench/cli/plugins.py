"""`xaibench plugins`: the health of what is installed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from xaibench.cli.listing import groups_of, plugins_of
from xaibench.health import examine

if TYPE_CHECKING:
    from xaibench.discovery import Plugin
    from xaibench.health import Health


@click.group()
def plugins() -> None:
    """Look after the plugins that are installed."""


@plugins.command()
@click.argument("kinds", nargs=-1, metavar="[KIND]...")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable answer on stdout.")
@click.pass_context
def doctor(context: click.Context, kinds: tuple[str, ...], as_json: bool) -> None:
    """Load every plugin anew, in a process of its own, and show the traceback of those that do not load.

    KIND is as for `xaibench list`. Ends with exit code 1 if any plugin is broken.
    """
    found = plugins_of(groups_of(kinds))
    health = examine(found, fresh=True)
    if as_json:
        click.echo(json.dumps([as_json_row(plugin, health[plugin]) for plugin in found], indent=1))
    else:
        show(health)
    context.exit(0 if all(one.ok for one in health.values()) else 1)


def as_json_row(plugin: Plugin, health: Health) -> dict[str, Any]:
    """One plugin as plain values."""
    return {
        "kind": plugin.group,
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "value": plugin.value,
        "status": "ok" if health.ok else "broken",
        "reason": health.error,
        "traceback": health.traceback,
    }


def show(health: dict[Plugin, Health]) -> None:
    """Print a line per plugin, then the tracebacks."""
    for plugin, one in health.items():
        status = "ok" if one.ok else f"broken: {one.error}"
        click.echo(
            f"{plugin.group.removesuffix('s'):9}  {plugin.name:20}  {plugin.distribution} {plugin.version}  {status}"
        )
    broken = {plugin: one for plugin, one in health.items() if not one.ok}
    for plugin, one in broken.items():
        click.echo(
            f"\n--- {plugin.distribution} {plugin.version}: {plugin.name} = {plugin.value}\n{one.traceback}".rstrip()
        )
    click.echo(f"\n{len(health)} plugins, {len(broken)} broken")
