"""`xaibench reproduce`."""

from __future__ import annotations

import json
import shlex
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xaibench.errors import UsageError

if TYPE_CHECKING:
    from xaibench_leaderboard.study.comparison import Filled
    from xaibench_leaderboard.study.plan import Study

INTERRUPTED = 130
PLACE = click.Path(path_type=Path, file_okay=False)


@click.command(epilog="Exit codes: 0 all cells ok, 1 some cells failed, 2 usage, 130 interrupted.")
@click.argument("name", required=False, default="")
@click.option("--quick", is_flag=True, help="Cut down, as every table then says: for a CPU.")
@click.option(
    "--out",
    type=PLACE,
    default=Path("xaibench-studies"),
    show_default=True,
    help="Where the runs lie, or published ones are unpacked.",
)
@click.option("--docs", type=PLACE, help="Write the study's page, tables, figures and packed results here as well.")
@click.option("--questions", "asked", is_flag=True, help="Write the page that answers from all studies in --docs.")
@click.option(
    "--opening", type=click.Path(path_type=Path, exists=True), help="Renew picture and finding of this README."
)
@click.option("--board", type=PLACE, help="With --opening: the results of a run to draw; else those drawn last.")
@click.option("--repeats", type=click.IntRange(1), help="Trainings of whatever is trained more than once.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the first training.")
@click.option("--part", "parts", multiple=True, help="Run only this part of the study now; may be given several times.")
@click.option("--no-run", "still", is_flag=True, help="Only the tables, from what earlier runs have left.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps or auto.")
@click.option("--list", "show", is_flag=True, help="Show the studies and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable answer on stdout.")
def reproduce(name: str, show: bool, as_json: bool, asked: bool, **options: Any) -> None:
    """Do a published study again: train or load, run, and set our figures beside the paper's.

    Killed or interrupted, the same command goes on where it was.
    """
    if show:
        _show(as_json)
    elif asked:
        _questions(options)
    elif options["opening"]:
        _opening(options)
    elif name:
        click.get_current_context().exit(_reproduce(name, as_json, options))
    else:
        raise UsageError("say which study: xaibench reproduce NAME; `xaibench reproduce --list` shows them")


def _show(as_json: bool) -> None:
    from xaibench_leaderboard.study.plan import find, names

    studies = [find(name) for name in names()]
    if as_json:
        rows = [{"name": one.name, "title": one.title, "paper": one.paper} for one in studies]
        click.echo(json.dumps(rows, indent=1))
        return
    for one in studies:
        click.echo(f"{one.name}: {one.title}" + (f"\n    {one.paper}" if one.paper else ""))


def _reproduce(name: str, as_json: bool, options: dict[str, Any]) -> int:
    """Run, compare, write; the exit code."""
    # What follows brings torch and numpy, which `--help` must not wait for.
    from xaibench.progress import choose
    from xaibench_leaderboard.study.plan import only
    from xaibench_leaderboard.study.publishing import alone
    from xaibench_leaderboard.study.running import command_of, do
    from xaibench_leaderboard.study.taking import take_up

    study, code = chosen(name, options["quick"], options["repeats"]), 0
    out, command = options["out"] / folder_of(study), command_of(study, name, options["seed"], options["repeats"])
    asked = only(study, options["parts"])
    if options["docs"]:
        with alone(options["docs"] / study.name):
            take_up(study, command, options["docs"] / study.name, out, options["seed"])
    if not options["still"]:
        try:
            with choose("auto") as progress:
                code = do(asked, out, options["seed"], _device(options["device"]), progress, shlex.split(command))
        except KeyboardInterrupt:  # between two runs, which answer for themselves
            code = INTERRUPTED
        if code == INTERRUPTED:
            click.echo(f"to go on: {shlex.join([*shlex.split(command), *_places(options)])}", err=True)
            return code
    _tell(study, _compared(study, command, out, options), command, out, as_json)
    return code


def _compared(study: Study, command: str, out: Path, options: dict[str, Any]) -> list[Filled]:
    """Fill the tables and write them; published too are those parts that others have published in the meantime."""
    from xaibench_leaderboard.study.comparison import filled
    from xaibench_leaderboard.study.publishing import alone
    from xaibench_leaderboard.study.running import done, reported
    from xaibench_leaderboard.study.taking import take_up

    seed, docs = options["seed"], options["docs"] / study.name if options["docs"] else None
    with alone(docs) if docs else nullcontext():
        if docs:
            take_up(study, command, docs, out, seed)
        tables = filled(study, done(study, out, seed), reported(study))
        _write(study, tables, command, out, options)
    return tables


def _places(options: dict[str, Any]) -> list[str]:
    """Words that say which parts, and where to: they make no other study."""
    words = [word for part in options["parts"] for word in ("--part", part)]
    return words + [word for key in ("out", "docs") if options[key] for word in (f"--{key}", str(options[key]))]


def chosen(name: str, quick: bool, repeats: int | None) -> Study:
    """The study as it is asked for."""
    from xaibench_leaderboard.study.plan import find, reduced, repeated, whole

    study = find(name)
    return repeated(reduced(study) if quick else whole(study), repeats)


def folder_of(study: Study) -> str:
    """A reduced study is another one."""
    return f"{study.name}-quick" if study.cut else study.name


def _device(name: str) -> str:
    import torch

    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


def _write(study: Study, tables: list[Filled], command: str, out: Path, options: dict[str, Any]) -> None:
    from xaibench_leaderboard.study.publishing import publish, write

    write(study, tables, command, out, list_of_runs(study, out, options["seed"]))
    if options["docs"]:
        publish(study, tables, command, options["docs"] / study.name, out, options["seed"])


def list_of_runs(study: Study, out: Path, seed: int) -> list[dict[str, Any]]:
    """What was run, and where it lies."""
    from xaibench_leaderboard.study.running import folders

    return [{"part": one.part.name, "seed": one.seed, "folder": one.folder.name} for one in folders(study, out, seed)]


def _tell(study: Study, tables: list[Filled], command: str, out: Path, as_json: bool) -> None:
    from xaibench_leaderboard.study.rendering import markdown, plain

    if as_json:
        click.echo(json.dumps(plain(study, tables, command, []), allow_nan=False, indent=1, ensure_ascii=False))
        return
    click.echo(markdown(study, tables, command))
    click.echo(f"written to {out}", err=True)


def _questions(options: dict[str, Any]) -> None:
    from xaibench_leaderboard.study.questions import write_page

    if options["docs"] is None:
        raise UsageError("--questions answers from the studies in a folder: say --docs FOLDER")
    click.echo(f"{write_page(options['docs'], options['out'], options['seed'])}")


def _opening(options: dict[str, Any]) -> None:
    from xaibench_leaderboard.study.opening import write_opening

    if options["docs"] is None:
        raise UsageError("--opening keeps the picture among the results: say --docs FOLDER")
    click.echo(write_opening(options["opening"], options["docs"], options["board"]))
