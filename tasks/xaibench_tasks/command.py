"""`xaibench data`: look at datasets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

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
    """Draw a contact sheet of TASK: images, lesion outlines, classes and ids.

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
