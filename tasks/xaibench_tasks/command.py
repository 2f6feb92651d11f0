"""`xaibench data`: look at datasets."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from xaibench.errors import UsageError

if TYPE_CHECKING:
    from xaibench.contracts import Split


@click.group()
def data() -> None:
    """Look at datasets."""


@data.command()
@click.argument("task")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="PNG to write. [default: TASK-SPLIT.png]")
@click.option("--split", type=click.Choice(["train", "val", "test"]), default="test", show_default=True)
@click.option("--count", type=click.IntRange(1, 200), default=12, show_default=True, help="How many images.")
def show(task: str, out: Path | None, split: str, count: int) -> None:
    """Draw a contact sheet of TASK.

    It shows images with outlines of lesions (red) and markers (blue), classes and ids.

    TASK may have parameters: "phantom(size=256)".
    """
    # Numpy and pillow are imported here so that `xaibench --help` does not wait for them.
    from xaibench.registry import create
    from xaibench_tasks.sheet import contact_sheet

    plugin = create("tasks", task).plugin
    file = out or Path(f"{plugin.card.name}-{split}.png")
    file.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(plugin, cast("Split", split), count).save(file, "PNG")
    click.echo(str(file))


@data.command()
@click.argument("task")
@click.argument("path", required=False)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable answer on stdout.")
def check(task: str, path: str | None, as_json: bool) -> None:
    """Say what of TASK is at PATH: counts beside the published ones, irregularities, splits, leaks.

    PATH is a folder or an archive. [default: $XAIBENCH_DATA/TASK] Exits with 2 if the data cannot be used.
    """
    # What reads images is imported here so that `xaibench --help` does not wait for it.
    from xaibench_tasks.examination import as_text, examine

    report = examine(task, path or "")
    click.echo(json.dumps(report.plain(), indent=1) if as_json else as_text(report))
    raise SystemExit(report.exit_code())


@data.command()
@click.argument("task")
@click.option(
    "--to", "place", type=click.Path(path_type=Path, file_okay=False), help="Folder. [default: $XAIBENCH_DATA/TASK]"
)
@click.option("--accept-licence", is_flag=True, help="You have read the licence that is printed: download.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable answer on stdout.")
def fetch(task: str, place: Path | None, accept_licence: bool, as_json: bool) -> None:
    """Say where the data of TASK are to be had, under which licence, and where to put them.

    With --accept-licence, what is open to anyone is downloaded and then checked; an interrupted download is gone on
    with. Exits with 2 if the data cannot be fetched or used.
    """
    # What reads images is imported here so that `xaibench --help` does not wait for it.
    from xaibench_tasks.examination import as_text, examine
    from xaibench_tasks.fetching import advice_on, download

    advice = advice_on(task)
    folder = place or Path(os.environ.get("XAIBENCH_DATA") or "xaibench-data", advice.home)
    if not accept_licence:
        click.echo(json.dumps(advice.plain(folder), indent=1) if as_json else advice.text(folder))
        return
    if advice.offer is None:
        raise UsageError(f"{task} cannot be fetched by this program: {advice.card.source}")
    with click.progressbar(length=100, label=advice.offer.url, file=sys.stderr) as bar:
        file = download(advice.offer, folder, lambda done, total: bar.update(100 * done // (total or 1) - bar.pos))
    report = examine(task, str(folder))
    found = {"file": str(file), "bytes": file.stat().st_size, "check": report.plain()}
    click.echo(json.dumps(found, indent=1) if as_json else f"{as_text(report)}\n{file}")
    click.get_current_context().exit(report.exit_code())


@data.command()
@click.argument("task")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable answer on stdout.")
def shortcut(task: str, as_json: bool) -> None:
    """Measure how well sharpness alone tells the classes of TASK apart.

    A logistic regression that sees two numbers per image (Laplacian variance, energy at high frequencies) is fitted on
    train and val and judged on test, in every fold. Intervals come from resampling patients. Where it beats the
    baseline, a network can too, without looking at any lesion: try "mias-roi(protocol='paper',folds=5)".
    """
    # What reads images is imported here so that `xaibench --help` does not wait for it.
    from xaibench.registry import create
    from xaibench_tasks.sharpness import as_text, measure

    found = measure(create("tasks", task).plugin)
    click.echo(json.dumps(found.plain(), indent=1) if as_json else as_text(found, task))


@data.command()
@click.argument("task")
@click.option("--workers", type=click.IntRange(1, 256), default=2, show_default=True, help="Processes that decode.")
def prepare(task: str, workers: int) -> None:
    """Decode and prepare all images of TASK ahead of use; what is done stays done."""
    # What reads images is imported here so that `xaibench --help` does not wait for it.
    from xaibench.registry import create
    from xaibench_tasks.dataset import Dataset
    from xaibench_tasks.filling import fill

    plugin = create("tasks", task).plugin
    if not isinstance(plugin, Dataset):
        raise UsageError(f"{task} has no files to decode")
    with click.progressbar(length=len(plugin.records), label=task) as bar:
        troubles = fill(plugin, workers, lambda done, total: bar.update(1))
    for name, trouble in troubles.items():
        click.echo(f"{name}: {trouble}", err=True)
    rescued = f"; {plugin.rescued()} lesions are kept at one pixel" if plugin.rescued() else ""
    click.echo(f"{sum(plugin.decoded())} of {len(plugin.records)} images are ready{rescued}")
    raise SystemExit(2 if troubles else 0)
