"""`xaibench leaderboard`."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path

import click

from xaibench.errors import DataError


@click.command()
@click.option(
    "--results",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("xaibench-results"),
    show_default=True,
    help="Results folder, the --out of `xaibench run`.",
)
@click.option(
    "--weights",
    default="",
    metavar="FAMILY=NUMBER,...",
    help="How much families of metrics count in the mean rank, such as localisation=2,cost=1.",
)
@click.option("--gallery", is_flag=True, help="Draw every board's images, whatever their licence: for your own eyes.")
@click.option("--open", "show", is_flag=True, help="Open the HTML leaderboard in a browser.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable answer on stdout.")
def leaderboard(folder: Path, weights: str, gallery: bool, show: bool, as_json: bool) -> None:
    """Show the leaderboard of a results folder, and write it there as HTML and JSON."""
    # Here, not at the top: they bring numpy, rich and jinja2, which `--help` must not wait for.
    from xaibench.results import load_results
    from xaibench_leaderboard.claims import Claims, claims_of
    from xaibench_leaderboard.html import Html
    from xaibench_leaderboard.table import Table
    from xaibench_leaderboard.weights import parse_weights

    weighed = parse_weights(weights)
    results = load_results(folder)
    if not results.scores:
        msg = f"{folder} holds no scores yet; `xaibench run --out {folder}` makes some"
        raise DataError(msg)
    if as_json:
        click.echo(json.dumps(claims_of(results, weighed), allow_nan=False, indent=1, ensure_ascii=False))
    else:
        Table(weights).render(results, folder)
        click.echo(f"json: {Claims(weights).render(results, folder)}", err=True)
    if show or not as_json:
        page = Html(weights, gallery).render(results, folder)
        click.echo(f"html: {page}", err=True)
        if show:
            webbrowser.open(page.resolve().as_uri())
