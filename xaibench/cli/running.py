"""`xaibench run`, and the options of whatever plans a run."""

from __future__ import annotations

import json
import sys
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xaibench.cli.again import as_last_time, command_line, remember
from xaibench.cli.completion import names_of
from xaibench.errors import UsageError
from xaibench.locations import folder_or_url, shown_as, written_there
from xaibench.references import Reference, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from xaibench.places import Location
    from xaibench.runner import Request, Summary

INTERRUPTED = 130
EXIT_CODES = """\b
Exit codes: 0 all cells ok, 1 some cells failed, 2 usage, 3 nothing selected,
4 a plugin asked for by name is broken, 130 interrupted."""


def read_config(context: click.Context, _parameter: click.Parameter, path: Path | None) -> None:
    """Take a TOML file's values as defaults: what is given on the command line wins."""
    if path is not None:
        context.default_map = config_values(path, context.command)


def config_values(path: Path, command: click.Command) -> dict[str, Any]:
    """What a TOML file says of the options of a command; lists as they stand on the command line."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"--config {path}: {error}"
        raise UsageError(msg) from error
    allowed = [str(parameter.name) for parameter in command.params if parameter.name not in ("config", "last")]
    for name in values:
        if name not in allowed:
            near = get_close_matches(name, allowed, 1)
            hint = f"; did you mean {near[0]}?" if near else ";"
            msg = f"--config {path}: there is no option {name}{hint} Allowed: {', '.join(sorted(allowed))}"
            raise UsageError(msg)
    return {name: ",".join(map(str, value)) if isinstance(value, list) else value for name, value in values.items()}


def plugins_option(name: str, default: str, help: str) -> Callable[..., Any]:
    """An option that names plugins; shells complete them."""
    group = name.removeprefix("--")
    group = group if group.endswith("s") else f"{group}s"
    return click.option(name, default=default, show_default=True, help=help, shell_complete=names_of(group))


OPTIONS: list[Callable[..., Any]] = [
    plugins_option("--models", default="resnet50,hmc", help="Comma list, glob or `all`."),
    plugins_option("--explainers", default="default", help="Comma list, glob, `default` or `all`."),
    plugins_option("--tasks", default="phantom", help="Comma list, glob or `all`."),
    plugins_option("--metrics", default="default", help="Comma list, glob, `default` or `all`."),
    click.option("--target", default="predicted", show_default=True, help="predicted, true, each, or a class."),
    click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True),
    click.option(
        "--sign",
        type=click.Choice(["positive", "absolute"]),
        default="positive",
        show_default=True,
        help="What of a signed map counts.",
    ),
    click.option("--limit", type=click.IntRange(1), help="Only so many images: the first of the larger run."),
    click.option("--seed", type=click.IntRange(0), default=0, show_default=True),
    click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps or auto."),
    click.option(
        "--profile",
        type=click.Choice(["auto", "quick", "standard", "paper"]),
        default="auto",
        show_default=True,
        help="How many passes an explanation may cost; auto: quick on a CPU, standard elsewhere.",
    ),
    plugins_option("--engine", default="local", help="Where cells run: local, processes, ray."),
    click.option("--workers", type=click.IntRange(1), help="How many workers; not with local."),
    click.option("--timeout", type=click.FloatRange(0, min_open=True), help="Seconds a cell may take; not with local."),
    click.option("--address", help="Of a Ray cluster; auto: the one this machine belongs to."),
    click.option("--batch-size", type=click.IntRange(1), default=8, show_default=True),
    click.option(
        "--references/--no-references", default=True, show_default=True, help="Floors and ceilings on the board."
    ),
    click.option("--audit/--no-audit", default=True, show_default=True, help="Test the metrics themselves, once."),
    click.option(
        "--out",
        type=folder_or_url,
        default=Path("xaibench-results"),
        show_default=True,
        help="Results folder, or a URL such as s3://bucket/results; an existing one is gone on with.",
    ),
    click.option(
        "--maps",
        type=click.Choice(["exact", "packed", "fp16", "none"]),
        default="exact",
        show_default=True,
        help="Keep heatmaps as they are, packed without loss, rounded to 16 bits (rows of their own), or not at all.",
    ),
    click.option(
        "--config",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        callback=read_config,
        is_eager=True,
        expose_value=False,
        help="TOML file with these options, such as models = [...].",
    ),
    click.option("--json", "as_json", is_flag=True, help="Machine-readable answer on stdout."),
]


def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a run."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def engine_of(options: dict[str, Any]) -> str:
    """The engine with its options as parameters of its reference; one that has no such parameter refuses it."""
    given = {name: options[name] for name in ("workers", "timeout", "address") if options.get(name) is not None}
    reference = parse(options["engine"])
    return str(Reference(reference.target, {**reference.params, **given}))


def make_request(options: dict[str, Any]) -> Request:
    """The request behind the options."""
    from xaibench.planning import Terms
    from xaibench.runner import Request

    device = usable_device(options["device"])
    profile = options["profile"]
    return Request(
        models=options["models"],
        explainers=options["explainers"],
        tasks=options["tasks"],
        metrics=options["metrics"],
        terms=Terms(
            options["target"],
            options["precision"],
            options["sign"],
            options["seed"],
            options["limit"],
            "fp16" if options["maps"] == "fp16" else "fp32",
        ),
        profile=("quick" if device == "cpu" else "standard") if profile == "auto" else profile,
        references=options["references"],
        audit=options["audit"],
        engine=engine_of(options),
        device=device,
        batch_size=options["batch_size"],
        out=options["out"],
        keep="exact" if options["maps"] == "fp16" else options["maps"],
    )


def usable_device(name: str) -> str:
    """The device of this name, if it works here; `auto` takes an accelerator where there is one."""
    if name == "cpu":
        return name
    import torch  # only to ask for accelerators

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        msg = f"--device {name}: not usable here ({str(error).splitlines()[0]}); auto takes what there is"
        raise UsageError(msg) from error
    return name


@click.command(epilog=EXIT_CODES)
@with_options
@click.option("--progress", type=click.Choice(["auto", "rich", "plain", "none"]), default="auto", show_default=True)
@click.option("--last", is_flag=True, help="As the last run into --out, or the last of all; other options given win.")
def run(as_json: bool, progress: Any, last: bool, **options: Any) -> None:
    """Benchmark explainers on models: train what is missing, explain, score, and show the leaderboard.

    Killed or interrupted, the same command goes on where it was.
    """
    from xaibench.runner import sigterm_as_interrupt

    if last:
        options = as_last_time(click.get_current_context(), options)
    try:
        with sigterm_as_interrupt():
            code = _run(as_json, progress, options)
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED:
        click.echo(f"to go on: {command_line(['xaibench', *sys.argv[1:]])}", err=True)
    click.get_current_context().exit(code)


def _run(as_json: bool, progress: Any, options: dict[str, Any]) -> int:
    """Run, show what came out, and return the exit code."""
    from xaibench.progress import choose as choose_progress
    from xaibench.runner import run as run_request

    request = make_request(options)
    remember(request.out)
    with choose_progress(progress) as shown:
        summary = run_request(request, shown, sys.argv)
    if as_json:
        click.echo(_text(_answer(request, summary)))
    elif not summary.interrupted:
        with written_there(request.out) as folder:
            render_reports(request.out, folder)
        summary.phases.ended("reports")
    click.echo(str(summary.phases), err=True)
    return summary.exit_code()


def render_reports(results_folder: Location, folder: Path) -> None:
    """Whatever is registered to be shown at the end of a run. A report that fails costs nothing but itself."""
    from xaibench.registry import Broken, select
    from xaibench.results import load_results

    results = load_results(results_folder)
    for report in select("reports", "all"):
        if isinstance(report, Broken):
            click.echo(f"unavailable {report.reference}: {report.error}", err=True)
            continue
        try:
            path = report.plugin.render(results, folder)
        except Exception as error:
            click.echo(f"report {report.label} failed: {type(error).__name__}: {error}", err=True)
            continue
        if path is not None:
            click.echo(f"{report.label}: {shown_as(path, folder, results_folder)}", err=True)


def _text(answer: dict[str, Any]) -> str:
    """JSON with a line for every cell: of ten thousand cells, full indentation takes as long as finding them done."""
    rows = ",\n".join(f"  {json.dumps(row)}" for row in answer["cells"])
    rest = json.dumps({name: value for name, value in answer.items() if name != "cells"}, indent=1)
    return f'{rest[:-2]},\n "cells": [\n{rows}\n ]\n}}'


def _answer(request: Request, summary: Summary) -> dict[str, Any]:
    return {
        "out": str(request.out),
        "exit_code": summary.exit_code(),
        "counts": summary.counts(),
        "failures": list(summary.failures),
        "phases": summary.phases.seconds,
        "cells": [
            {
                "key": outcome.cell.key,
                "kind": outcome.cell.kind,
                "labels": dict(outcome.cell.labels),
                "status": outcome.status,
                "reason": outcome.reason,
                "cached": outcome.cached,
            }
            for outcome in summary.outcomes
        ],
    }
