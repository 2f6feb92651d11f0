"""`xaibench leaderboard`."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from xaibench.errors import DataError, UsageError
from xaibench.locations import folder_or_url, shown_as, written_there
from xaibench.places import Url

if TYPE_CHECKING:
    from xaibench.places import Location

RESULTS = Path("xaibench-results")


@click.command()
@click.argument("place", metavar="[FOLDER]", required=False, type=folder_or_url)
@click.option(
    "--results",
    "named",
    type=folder_or_url,
    help=f"Results folder or URL, the --out of `xaibench run`: the same as FOLDER.  [default: {RESULTS}]",
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
def leaderboard(
    place: Location | None, named: Location | None, weights: str, gallery: bool, show: bool, as_json: bool
) -> None:
    """Show the leaderboard of a results folder, and write it there as HTML and JSON."""
    folder = _one_of(place, named)
    _show(folder, weights, gallery=gallery, show=show, as_json=as_json)


def _one_of(place: Location | None, named: Location | None) -> Location:
    """The folder, however it was given."""
    if place is not None and named is not None and str(place) != str(named):
        msg = f"FOLDER {place} and --results {named} are two results folders; give one of them"
        raise UsageError(msg)
    return place or named or RESULTS


def _show(folder: Location, weights: str, *, gallery: bool, show: bool, as_json: bool) -> None:
    # Here, not at the top: they bring numpy, rich and jinja2, which `--help` must not wait for.
    from xaibench.results import load_results
    from xaibench_leaderboard.claims import Claims, claims_of
    from xaibench_leaderboard.html import Html
    from xaibench_leaderboard.table import Table
    from xaibench_leaderboard.weights import parse_weights

    if show and isinstance(folder, Url):
        msg = f"--open: {folder} is not on this machine; the page is written there, open it where it is served"
        raise UsageError(msg)
    weighed = parse_weights(weights)
    results = load_results(folder)
    if not results.scores:
        msg = f"{folder} holds no scores yet; `xaibench run --out {folder}` makes some"
        raise DataError(msg)
    if as_json:
        click.echo(json.dumps(claims_of(results, weighed), allow_nan=False, indent=1, ensure_ascii=False))
    with written_there(folder) as place:
        if not as_json:
            Table(weights).render(results, place)
            if claims := Claims(weights).render(results, place):
                click.echo(f"json: {shown_as(claims, place, folder)}", err=True)
        if show or not as_json:
            page = Html(weights, gallery).render(results, place)
            click.echo(f"html: {shown_as(page, place, folder)}", err=True)
            if show:
                webbrowser.open(page.resolve().as_uri())
