"""`xaibench completion`, and what a shell is told while someone types. Reads metadata; imports no plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, get_completion_class

from xaibench.discovery import discover, look
from xaibench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM, VARIABLE = "xaibench", "_XAIBENCH_COMPLETE"
HOW = {
    "bash": 'add to ~/.bashrc: eval "$(xaibench completion bash)"',
    "zsh": 'add to ~/.zshrc: eval "$(xaibench completion zsh)"',
    "fish": "once: xaibench completion fish > ~/.config/fish/completions/xaibench.fish",
}
EPILOG = "\b\n" + "\n".join(f"{shell:5} {told}" for shell, told in HOW.items())


def names_of(group: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """What completes a reference, or the last one of a comma list, of one kind of plugins."""

    def complete(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
        before, comma, last = typed.rpartition(",")
        found = [plugin for plugin in discover() if plugin.group == group and plugin.name.startswith(last)]
        return [CompletionItem(before + comma + plugin.name, help=look(plugin).summary) for plugin in found]

    return complete


@click.command(epilog=EPILOG)
@click.argument("shell", type=click.Choice(list(HOW)))
def completion(shell: str) -> None:
    """Print the script that makes SHELL complete commands, options and names of plugins."""
    known = get_completion_class(shell)
    if known is None:
        msg = f"this click cannot complete for {shell}; there are {', '.join(HOW)}"
        raise UsageError(msg)
    root = click.get_current_context().find_root().command
    click.echo(known(root, {}, PROGRAM, VARIABLE).source())
