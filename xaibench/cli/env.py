"""`xaibench env`: where and with what results are made."""

from __future__ import annotations

import json

import click

from xaibench.environment import digest, record


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Machine-readable answer on stdout.")
def env(as_json: bool) -> None:
    """Show the record of machine, software and settings that is kept with results."""
    found = record()
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for name, value in found.items():
        click.echo(f"{name}: {value if isinstance(value, str) else json.dumps(value)}")
    click.echo(f"digest: {digest(found)}")
