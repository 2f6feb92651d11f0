"""`xaibench plan`."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from xaibench.cli.running import EXIT_CODES, make_request, with_options

if TYPE_CHECKING:
    from xaibench.contracts import Cell


@click.command(epilog=EXIT_CODES)
@with_options
def plan(as_json: bool, **options: Any) -> None:
    """Show what `run` with the same options would do, and do none of it."""
    from xaibench.progress import Lines
    from xaibench.runner import UNTRAINED, choose, plan_all
    from xaibench.store import Store

    request = make_request(options)
    choice, store, rows = choose(request), Store(request.out), []
    failures: list[str] = []
    for plan_ in plan_all(request, choice, Lines(), failures, train=False):
        waits = plan_.subject.prepared is UNTRAINED
        waiting = {name for name, other in plan_.subject.others.items() if other is UNTRAINED}
        rows += [_plan_row(cell, store, waits or bool(waiting & _variants(cell))) for cell in plan_.cells()]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        names = " · ".join(
            row["labels"][name] for name in ("task", "model", "explainer", "metric", "variant") if name in row["labels"]
        )
        click.echo(f"{row['state']:<11} {row['kind']:<7} {names}{'  ' + row['why'] if row['why'] else ''}")
    counts = Counter(row["state"] for row in rows)
    click.echo(f"{len(rows)} cells: " + ", ".join(f"{count} {state}" for state, count in counts.items()))


def _variants(cell: Cell) -> set[str]:
    """The variants that a cell is, or reads."""
    return {cell.identity.get("variant", ""), *cell.inputs}


def _plan_row(cell: Cell, store: Any, waits: bool) -> dict[str, Any]:
    """One cell with its state: cached, missing, unsupported or unavailable, and why."""
    row = {"kind": cell.kind, "labels": dict(cell.labels), "key": cell.key, "state": cell.verdict, "why": cell.reason}
    if cell.verdict != "ok":
        return row
    if waits:
        return {**row, "key": None, "state": "missing", "why": f"{cell.labels['model']} is to be trained first"}
    missing = store.missing(cell.key, cell.count)
    trouble = store.troubles(cell.key) or {}
    why = f"last attempt: {trouble['status']}, {trouble['reason']}" if missing and trouble else ""
    return {**row, "state": "missing" if missing else "cached", "why": why}
