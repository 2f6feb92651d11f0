"""`xaibench audit`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xaibench.locations import folder_or_url

if TYPE_CHECKING:
    from xaibench.places import Location


@click.command()
@click.option("--metrics", default="all", show_default=True, help="Comma list, glob or `all`.")
@click.option("--tasks", default="phantom", show_default=True, help="On which kind of data.")
@click.option(
    "--out",
    type=folder_or_url,
    default=Path("xaibench-results"),
    show_default=True,
    help="Results folder to keep the verdicts in.",
)
@click.option("--checks", is_flag=True, help="Show every check, not only the verdicts.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable answer on stdout.")
def audit(metrics: str, tasks: str, out: Location, checks: bool, as_json: bool) -> None:
    """Test the metrics themselves: does each rank a known truth above noise?

    Exit code 1 if a metric that claims quality fails.
    """
    from xaibench.audit.verdicts import verdicts
    from xaibench.registry import select
    from xaibench.store import Store

    found = []
    for verdict, _ in verdicts(Store(out).open(), select("tasks", tasks), select("metrics", metrics)):
        found.append(verdict)
        if not as_json:
            show(verdict, checks)
    if as_json:
        click.echo(json.dumps(found, indent=1, allow_nan=False))
    click.get_current_context().exit(int(any(verdict["verdict"] == "fail" for verdict in found)))


def show(verdict: dict[str, Any], checks: bool) -> None:
    """One verdict, with the probabilities of the ladder."""
    ranked = [check["probability"] for check in verdict["checks"] if check["probability"] is not None]
    least = f"ranks with probability {min(ranked):.3f} or more" if ranked else ""
    click.echo(f"{verdict['verdict']:<12} {verdict['metric']:<20} {verdict['reason'] or least}")
    if checks:
        for check in verdict["checks"]:
            click.echo(f"    {'ok  ' if check['passed'] else 'FAIL'} {check['name']}: {check['detail']}")
