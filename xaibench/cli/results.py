"""`xaibench results`: how much a results folder holds, whether it is sound, and what can go."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from xaibench.locations import folder_or_url

if TYPE_CHECKING:
    from xaibench.places import Location
    from xaibench.store import Store

SHOWN = 20  # lines of one kind, unless all are asked for
FOLDER = click.argument("folder", type=folder_or_url, default="xaibench-results")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Machine-readable answer on stdout.")


@click.group()
def results() -> None:
    """Look after a results folder (or URL): its size, its soundness, and what nobody needs any more."""


@results.command()
@FOLDER
@AS_JSON
def du(folder: Location, as_json: bool) -> None:
    """Show how many bytes lie there: by kind of cell, by model, by explainer."""
    from xaibench.housekeeping import usage

    found = usage(_store(folder))
    if as_json:
        _echo([asdict(use) for use in found])
        return
    for use in found:
        cells = f"{use.cells} cells" if use.cells else ""
        click.echo(f"{use.by:<10} {size(use.bytes):>10}  {use.name}{'  ' + cells if cells else ''}")
    click.echo(f"{size(sum(use.bytes for use in found if use.by in ('kind', 'other')))} in all")


@results.command(epilog="Nothing is removed without --yes. Use it while no run is going on in the folder.")
@FOLDER
@click.option("--yes", is_flag=True, help="Remove it; otherwise it is only shown.")
@click.option("--all", "everything", is_flag=True, help="Name every file.")
@AS_JSON
def gc(folder: Location, yes: bool, everything: bool, as_json: bool) -> None:
    """Remove what no recorded run needs: cells of no run, failures since mended, damaged and half-written work."""
    from xaibench.housekeeping import collect, waste

    store = _store(folder)
    found = waste(store)
    total = collect(store, found) if yes else sum(one.bytes for one in found)
    if as_json:
        _echo({"removed": yes, "bytes": total, "files": [asdict(one) for one in found]})
        return
    _lines([f"{one.name}: {one.why}" for one in found], everything)
    told = "removed" if yes else "can be removed: say --yes"
    click.echo(f"{len(found)} files, {size(total)} {told}" if found else "nothing to remove")


@results.command(epilog="Exit codes: 0 all is sound, 1 something is not, 2 this is no results folder.")
@FOLDER
@click.option("--all", "everything", is_flag=True, help="Name every fault.")
@AS_JSON
def validate(folder: Location, everything: bool, as_json: bool) -> None:
    """Read every record and every map, and tell what is not as it was written."""
    from xaibench.housekeeping import faults

    found = list(faults(_store(folder)))
    if as_json:
        _echo({"sound": not found, "faults": [asdict(fault) for fault in found]})
    else:
        _lines([f"{fault.name}: {fault.what}" for fault in found], everything)
        click.echo(f"{len(found)} faults; the run that made the folder makes them again" if found else "all is sound")
    click.get_current_context().exit(int(bool(found)))


@results.command()
@FOLDER
@AS_JSON
def migrate(folder: Location, as_json: bool) -> None:
    """Bring a folder that an earlier version wrote to today's form. Numbers and keys stay what they are."""
    from xaibench.housekeeping import migrate as bring_up

    changed = bring_up(_store(folder))
    if as_json:
        _echo({"changed": changed})
    else:
        click.echo(f"{len(changed)} records brought to today's form" if changed else "it is of today's form")


def _store(folder: Location) -> Store:
    from xaibench.store import Store

    return Store(folder).check()


def _lines(lines: list[str], everything: bool) -> None:
    """Some, or all."""
    for line in lines if everything else lines[:SHOWN]:
        click.echo(line)
    if len(lines) > SHOWN and not everything:
        click.echo(f"and {len(lines) - SHOWN} more: --all names them")


def _echo(value: Any) -> None:
    click.echo(json.dumps(value, allow_nan=False, indent=1, ensure_ascii=False))


def size(count: float) -> str:
    """Bytes, as a person says it."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
