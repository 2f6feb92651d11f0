"""`xaibench run --last`: what the last run asked for, unless the command line says otherwise."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from xaibench.caching import cache_root
from xaibench.errors import UsageError
from xaibench.files import read_json, write_json
from xaibench.locations import folder_or_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xaibench.places import Location

HALVED = "fp16"  # maps that are stored so are other maps, and a term of the run


def remember(out: Location) -> None:
    """Keep where the last run of all went. A cache that cannot be written costs nothing else."""
    place = str(out.absolute()) if isinstance(out, Path) else str(out)
    try:
        write_json(_pointer(), {"out": place, "folder": str(Path.cwd())})
    except OSError:
        return


def _pointer() -> Path:
    return cache_root() / "last-run.json"


def as_last_time(context: click.Context, given: dict[str, Any]) -> dict[str, Any]:
    """The options of the last run, replaced by those that are on this command line."""
    out = _last_out(context, given["out"])
    known = options_of(_record(out)["request"]) | {"out": out}
    said = {name for name in given if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    merged = {name: value if name in said else known.get(name, value) for name, value in given.items()}
    click.echo(f"again: {spelled(merged)}", err=True)
    return merged


def _last_out(context: click.Context, out: Location) -> Location:
    """The folder that is named, else the usual one if something was run into it, else that of the last run of all."""
    if context.get_parameter_source("out") is ParameterSource.COMMANDLINE or _runs(out):
        return out
    pointer = read_json(_pointer())
    if not isinstance(pointer, dict):
        msg = "--last: nothing has been run yet; `xaibench run` starts"
        raise UsageError(msg)
    if Path(pointer["folder"]) != Path.cwd():
        click.echo(f"the last run was started in {pointer['folder']}: paths in it are meant from there", err=True)
    return folder_or_url(pointer["out"])


def _runs(out: Location) -> list[dict[str, Any]]:
    from xaibench.store import Store  # brings what reads results, which `--help` need not wait for

    return [run for run in Store(out).runs() if "request" in run]


def _record(out: Location) -> dict[str, Any]:
    """The newest run of a results folder."""
    runs = _runs(out)
    if not runs:
        msg = f"--last: nothing was run into {out} yet; name another folder with --out"
        raise UsageError(msg)
    return runs[-1]


def options_of(request: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded request as options of the command line."""
    terms = dict(request["terms"])
    maps = HALVED if terms.pop("maps", "") == HALVED else request.get("keep", "exact")
    plain = {name: value for name, value in request.items() if name not in ("terms", "out", "keep")}
    return {**plain, **terms, "maps": maps}


def spelled(options: Mapping[str, Any]) -> str:
    """The whole command line, to be read and to be typed."""
    words = ["xaibench", "run"]
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words += [flag if value else flag.replace("--", "--no-", 1)]
        elif value is not None:
            words += [flag, str(value)]
    return command_line(words)


def command_line(words: list[str]) -> str:
    """Words quoted as the shell of this system wants them."""
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)
