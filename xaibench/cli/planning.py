"""`xaibench plan`."""

from __future__ import annotations

import json
import sys
from collections import Counter
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

import click

from xaibench.cli.running import EXIT_CODES, make_request, with_options

if TYPE_CHECKING:
    from xaibench.contracts import Cell
    from xaibench.planning import Choice, SubjectPlan
    from xaibench.runner import Request


@click.command(epilog=EXIT_CODES)
@with_options
@click.option(
    "--estimate",
    "where",
    is_flag=False,
    flag_value="here",
    default=None,
    metavar="[WHERE]",
    help="What it will cost, from short trials: here (the default), or on a named GPU: t4, l4, v100, a100, h100, h200.",
)
def plan(as_json: bool, where: str | None, **options: Any) -> None:
    """Show what `run` with the same options would do, and do none of it.

    With --estimate: passes, time and memory of every training and every cell that is still to be done.
    """
    from xaibench.progress import Lines
    from xaibench.runner import choose, plan_all

    request = make_request(options)
    choice = choose(request)
    failures: list[str] = []
    plans = plan_all(request, choice, Lines(), failures, train=False)
    if where is None:
        _show_states(as_json, request, plans)
    else:
        _show_costs(as_json, request, choice, plans, where)


def _show_costs(as_json: bool, request: Request, choice: Choice, plans: list[SubjectPlan], where: str) -> None:
    """Every cell with its cost, and what all come to."""
    from xaibench.estimate import estimate  # brings torch, which a plan without it need not wait for
    from xaibench.estimate_gpu import gpu_named
    from xaibench.estimate_telling import answer, lines

    gpu = None if where == "here" else gpu_named(where)
    with redirect_stdout(sys.stderr):  # what plugins print is not our answer
        rows = estimate(request, choice, plans, lambda text: click.echo(text, err=True), gpu)
    if as_json:
        click.echo(json.dumps(answer(rows, where, gpu), indent=1, allow_nan=False))
    else:
        click.echo("\n".join(lines(rows, where, gpu)))


def _show_states(as_json: bool, request: Request, plans: list[SubjectPlan]) -> None:
    """Every cell: done, missing, or not to be had."""
    from xaibench.runner import UNTRAINED
    from xaibench.store import Store

    store, rows = Store(request.out), []
    for plan_ in plans:
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
