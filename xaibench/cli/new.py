"""`xaibench new`: a plugin to begin with."""

from __future__ import annotations

import difflib
from pathlib import Path

import click

from xaibench.errors import UsageError
from xaibench.scaffold.writing import SUMMARIES, draft, must_be_new, write


@click.command()
@click.argument("kind")
@click.argument("name")
@click.option("--folder", type=click.Path(path_type=Path), help="Where to write it; NAME if not given.")
def new(kind: str, name: str, folder: Path | None) -> None:
    """Write a small distribution with a plugin that works, and its tests.

    KIND is explainer, model, task or metric; NAME is what the plugin will be called by.
    """
    place = folder or Path(name)
    must_be_new(place)
    what = draft(kind_of(kind), name)
    written = write(what, place)
    for file in written:
        click.echo(f"wrote {file}")
    click.echo(
        f"\nInstall it, check it, use it:\n  pip install -e {place}\n  xaibench check {name}\n  {what.use}\n"
        f"Without installing it, in every command: {place / what.uninstalled} instead of {name}.\n"
        f"Then make it yours in {place / what.module}.py."
    )


def kind_of(text: str) -> str:
    """The kind that is meant."""
    kind = text.lower().removesuffix("s")
    if kind in SUMMARIES:
        return kind
    near = difflib.get_close_matches(kind, SUMMARIES, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise UsageError(f"there is nothing to begin a {text!r} with{hint}\n  KIND is one of {', '.join(SUMMARIES)}.")
