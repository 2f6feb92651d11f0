"""The `xaibench` command."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from xaibench.cli.main import cli
from xaibench.errors import XaibenchError
from xaibench.idling import sleep_soon

INTERRUPTED = 130


def main() -> None:
    """Run the command line. A user's mistake ends in one message and its exit code, ours in a traceback."""
    sleep_soon()
    # The installed command does not look into the current folder, where `--explainers my_module:Mine` would be.
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)
    sys.exit(call())


def call(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        code = cli.main(arguments, prog_name="xaibench", standalone_mode=False)
    except XaibenchError as error:
        click.echo(f"error: {error}", err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("interrupted", err=True)
        return INTERRUPTED
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    main()
