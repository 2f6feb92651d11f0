"""The command line: verbs are loaded when they are used, so that `--help` costs nothing and breaks on nothing."""

from __future__ import annotations

import difflib
from functools import cached_property
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from xaibench import __version__
from xaibench.discovery import OURSELVES, Plugin, discover, look
from xaibench.errors import BrokenPlugin, UsageError
from xaibench.loading import described, fetch

if TYPE_CHECKING:
    from collections.abc import Iterable

CORE = {
    "run": "xaibench.cli.running:run",
    "plan": "xaibench.cli.planning:plan",
    "list": "xaibench.cli.listing:list_plugins",
    "info": "xaibench.cli.info:info",
    "plugins": "xaibench.cli.plugins:plugins",
    "env": "xaibench.cli.env:env",
    "config": "xaibench.cli.config:config",
    "completion": "xaibench.cli.completion:completion",
}
EXIT_CODES = """\b
Exit codes:
  0    all went well
  1    some cells failed, or `plugins doctor` found a broken plugin
  2    usage: an option, a reference, a parameter or a dataset that cannot be
  3    nothing was selected
  4    a plugin asked for by name is broken
  130  interrupted; the same command goes on where it was
"""


class LazyGroup(click.Group):
    """Verbs of the core and of plugins, known by metadata and imported one at a time."""

    @cached_property
    def verbs(self) -> dict[str, Plugin]:
        """All verbs by the name they are called by. A verb whose name is taken is called `distribution:verb`."""
        verbs = {name: Plugin("commands", name, value, OURSELVES, __version__, True) for name, value in CORE.items()}
        found = [plugin for plugin in discover() if plugin.group == "commands"]
        for plugin in found:
            taken = plugin.name in CORE or sum(other.name == plugin.name for other in found) > 1
            verbs[f"{plugin.distribution}:{plugin.name}" if taken else plugin.name] = plugin
        return verbs

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the verbs."""
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one verb."""
        plugin = self.verbs.get(cmd_name)
        if plugin is None:
            return None
        command = fetch(plugin)
        if not isinstance(command, click.Command):
            raise BrokenPlugin(f"{described(plugin)} is no click.Command but a {type(command).__name__}")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb, or say which was meant."""
        if args and args[0] not in self.verbs and not args[0].startswith("-"):
            raise UsageError(unknown_verb(args[0], self.verbs))
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Verbs and what they do, by metadata: a broken one must not spoil the typing of another."""
        verbs = [(name, plugin) for name, plugin in self.verbs.items() if name.startswith(incomplete)]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [*(CompletionItem(name, help=short_help(plugin)) for name, plugin in verbs), *options]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Describe the verbs by what their source says, without running it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, short_help(plugin)) for name, plugin in self.verbs.items()])

    def invoke(self, ctx: click.Context) -> None:
        """Run the verb. What it returns is no exit code; it calls `ctx.exit` or `sys.exit` for one."""
        super().invoke(ctx)


def short_help(plugin: Plugin) -> str:
    """One line on a verb."""
    seen = look(plugin)
    return f"broken: {seen.problem}" if seen.problem else seen.summary


def unknown_verb(name: str, verbs: Iterable[str]) -> str:
    """Say which verbs are near, or that several distributions bring this one."""
    same = [verb for verb in verbs if verb.endswith(f":{name}")]
    if same:
        return f"command {name!r} is ambiguous: say {' or '.join(same)}"
    near = difflib.get_close_matches(name, list(verbs), n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"there is no command {name!r}{hint}\n  `xaibench --help` shows them all."


@click.group(
    cls=LazyGroup, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}
)
@click.version_option(__version__, prog_name="xaibench")
def cli() -> None:
    """Find out which explanation of an image classifier can be trusted, what it costs, and how sure we are."""
