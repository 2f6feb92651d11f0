"""The reference of the command line, from the commands themselves."""

from __future__ import annotations

import click

from xaibench.cli.main import cli

WIDTH = 100


def page() -> str:
    """Every verb with the help it prints."""
    parts = [
        "# Command line",
        "Written from the commands themselves: what follows is what `xaibench VERB --help` says.",
    ]
    parts.append(_help(cli, click.Context(cli, info_name="xaibench")))
    for name, command, context in verbs(click.Context(cli, info_name="xaibench")):
        parts += [f"## {name}", _help(command, context)]
    return "\n\n".join(parts) + "\n"


def verbs(context: click.Context) -> list[tuple[str, click.Command, click.Context]]:
    """Verbs and verbs below them, as in `data check`."""
    found: list[tuple[str, click.Command, click.Context]] = []
    group = context.command
    if not isinstance(group, click.Group):
        return found
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        inner = click.Context(command, info_name=name, parent=context, max_content_width=WIDTH)
        found += [(inner.command_path.removeprefix("xaibench "), command, inner), *verbs(inner)]
    return found


def _help(command: click.Command, context: click.Context) -> str:
    context.terminal_width = WIDTH
    return f"```text\n{command.get_help(context).strip()}\n```"
