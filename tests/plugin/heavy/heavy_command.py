"""A command that imports more than it should at the top of its module."""

import click
import numpy as np


@click.command()
def heavy() -> None:
    """Do something heavy."""
    click.echo(np.__name__)
