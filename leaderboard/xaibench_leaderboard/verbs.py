"""The verbs on results folders: export, verify, merge, compare, submit. Their work is imported when it is asked for."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xaibench.locations import folder_or_url, read_here
from xaibench.places import location_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xaibench.places import Location
    from xaibench_leaderboard.comparing import Difference
    from xaibench_leaderboard.verifying import Check

FORMATS = ("csv", "parquet", "markdown", "latex", "every-eval-ever")
FOLDER = click.Path(path_type=Path, file_okay=False)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Machine-readable answer on stdout.")


@click.command()
@click.argument("folder", type=FOLDER)
@click.option("--format", "kinds", type=click.Choice(FORMATS), multiple=True, help="May be repeated.")
@click.option("--out", type=FOLDER, help="Where to write; the results folder itself if not given.")
@click.option("--weights", default="", metavar="FAMILY=NUMBER,...", help="How much families count in the mean rank.")
@click.option("--maps", type=FOLDER, help="Write the heatmaps here, as `--explainers maps:FOLDER` reads them.")
def export(folder: Path, kinds: tuple[str, ...], out: Path | None, weights: str, maps: Path | None) -> None:
    """Write the leaderboard of a results folder as CSV, Parquet, Markdown, LaTeX or Every Eval Ever, or its maps."""
    from xaibench.heatmaps import export_maps
    from xaibench.results import load_results
    from xaibench_leaderboard.exports import export as write
    from xaibench_leaderboard.weights import parse_weights

    if not kinds and maps is None:
        raise click.UsageError(f"say what to write: --format ({', '.join(FORMATS)}), or --maps FOLDER")
    weighed, results = parse_weights(weights), load_results(folder)
    for written in export_maps(folder, maps) if maps else ():
        click.echo(f"maps: {written}")
    for kind in kinds:
        click.echo(f"{kind}: {write(results, kind, out or folder, weighed)}")


@click.command(
    epilog="Exit codes: 0 what was checked holds, 1 something does not, 2 usage, 3 nothing could be recomputed here."
)
@click.argument("folder", type=location_of)
@click.option(
    "--sample",
    type=click.IntRange(0),
    default=5,
    show_default=True,
    help="How many scores, and answers of networks, to recompute.",
)
@click.option("--all", "everything", is_flag=True, help="Recompute every score and map.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Which ones are sampled.")
@click.option("--cell", "keys", multiple=True, help="Recompute the score of this key; may be repeated.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1 or mps.")
@click.option("--trust", is_flag=True, help="Run code that the folder names by file or module, too.")
@click.option(
    "--train", is_flag=True, help="Train networks that are not at hand by their recipes first: it may take long."
)
@AS_JSON
def verify(
    folder: Location,
    sample: int,
    everything: bool,
    seed: int,
    keys: tuple[str, ...],
    device: str,
    trust: bool,
    train: bool,
    as_json: bool,
) -> None:
    """Recompute a sample of a results folder (or URL, or archive): do the claims in results.json hold?"""
    from xaibench_leaderboard.archives import unpacked
    from xaibench_leaderboard.verifying import Scope, exit_code
    from xaibench_leaderboard.verifying import verify as check_all

    checks: list[Check] = []
    with read_here(folder) as there, unpacked(there) as place:
        for check in check_all(place, Scope(None if everything else sample, seed, keys, device, trust, train)):
            checks.append(check)
            if not as_json:
                click.echo(_check(check))
    code = exit_code(checks)
    if as_json:
        _echo({"exit_code": code, "checks": [asdict(check) for check in checks]})
    else:
        click.echo(_summary(checks))
    click.get_current_context().exit(code)


def _check(check: Check) -> str:
    key = f" ({check.key[:12]})" if check.key else ""
    return f"{check.verdict:<6} {check.kind:<10} {check.what}{key}: {check.detail}"


def _summary(checks: Iterable[Check]) -> str:
    counts = dict.fromkeys(("holds", "fails", "cannot"), 0)
    for check in checks:
        counts[check.verdict] += 1
    return f"{counts['holds']} hold, {counts['fails']} fail, {counts['cannot']} could not be recomputed here"


@click.command(
    epilog="Exit codes: 0 no conflict, 1 conflicts (each is named; the first folder's side is kept), 2 usage."
)
@click.argument("folders", type=folder_or_url, nargs=-1, required=True)
@click.option("--out", type=FOLDER, required=True, help="A new folder for the result.")
@AS_JSON
def merge(folders: tuple[Location, ...], out: Path, as_json: bool) -> None:
    """Lay results folders (or URLs) from several machines together; what they disagree on is named."""
    from xaibench_leaderboard.merging import merge as lay_together

    with ExitStack() as stack:
        conflicts = lay_together([stack.enter_context(read_here(folder)) for folder in folders], out)
    if as_json:
        _echo({"out": str(out), "conflicts": [asdict(conflict) for conflict in conflicts]})
    else:
        for conflict in conflicts:
            click.echo(f"conflict: {conflict.what}: {conflict.detail}")
        click.echo(f"{out}: {len(folders)} folders, {len(conflicts)} conflicts; `xaibench leaderboard --results {out}`")
    click.get_current_context().exit(int(bool(conflicts)))


@click.command()
@click.argument("before", type=folder_or_url)
@click.argument("after", type=folder_or_url)
@click.option("--all", "everything", is_flag=True, help="Show rows without a clear change too.")
@AS_JSON
def compare(before: Location, after: Location, everything: bool, as_json: bool) -> None:
    """Show what changed between two runs, in folders or at URLs: paired differences with intervals over patients."""
    from xaibench.results import load_results
    from xaibench_leaderboard.comparing import compare as compare_results

    found = list(compare_results(load_results(before), load_results(after)))
    if as_json:
        _echo([{**asdict(one), "labels": dict(one.labels)} for one in found])
        return
    quiet = ("the same", "no clear change")
    shown = [one for one in found if everything or one.change not in quiet or one.note]
    for one in shown:
        click.echo(_difference(one))
    click.echo(f"{len(found)} scores compared, {len(found) - len(shown)} without a clear change are not shown")


def _difference(one: Difference) -> str:
    from xaibench_leaderboard import wording
    from xaibench_leaderboard.table import printable

    names = [one.labels.get(name, "") for name in ("task", "model", "explainer", "metric")]
    means = " -> ".join("none" if mean is None else wording.number(mean) for mean in (one.before, one.after))
    gap = f", difference {wording.measured(one.difference)}" if one.difference else ""
    note = f" ({one.note})" if one.note else ""
    told = f"{' · '.join(names)}: {means}{gap}{note}"
    return f"{one.change:<15} {printable(told)}"


@click.command()
@click.argument("folder", type=FOLDER)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="The archive; FOLDER.zip if not given.")
@AS_JSON
def submit(folder: Path, out: Path | None, as_json: bool) -> None:
    """Pack a results folder for sending, without images or maps that the data's licence forbids to pass on."""
    from xaibench_leaderboard.submitting import submit as pack

    packed = pack(folder, out or folder.resolve().with_name(f"{folder.resolve().name}.zip"))
    left_out = [{"what": what, "why": why} for what, why in packed.left_out]
    if as_json:
        _echo({"archive": str(packed.archive), "files": packed.files, "left_out": left_out})
        return
    for one in left_out:
        click.echo(f"left out: {one['what']}: {one['why']}")
    click.echo(f"{packed.archive}: {packed.files} files")


def _echo(value: Any) -> None:
    click.echo(json.dumps(value, allow_nan=False, indent=1, ensure_ascii=False))
