"""`xaibench list`: what is there, and in which state, without importing any of it."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from dataclasses import asdict, dataclass

import click

from xaibench.discovery import GROUPS, Plugin, discover, look
from xaibench.errors import UsageError


@dataclass(frozen=True)
class Row:
    """One plugin in the listing."""

    kind: str
    name: str
    reference: str  # what to call it by
    distribution: str
    version: str
    status: str  # ok, broken or collides
    reason: str
    summary: str


def group_of(kind: str) -> str:
    """The group meant by `explainer` or `explainers`."""
    names = {group.removesuffix("s"): group for group in GROUPS} | {group: group for group in GROUPS}
    if kind in names:
        return names[kind]
    near = difflib.get_close_matches(kind, names, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise UsageError(f"there is no kind of plugin called {kind!r}{hint}\n  There are: {', '.join(GROUPS)}")


def groups_of(kinds: tuple[str, ...]) -> list[str]:
    """The groups meant by the kinds named on the command line: all of them if none is."""
    return list(dict.fromkeys(group_of(kind) for kind in kinds)) or list(GROUPS)


def plugins_of(groups: list[str]) -> list[Plugin]:
    """The plugins of some groups, in the order of the groups."""
    return sorted((plugin for plugin in discover() if plugin.group in groups), key=lambda one: groups.index(one.group))


def survey(groups: list[str]) -> list[Row]:
    """The state of every plugin of some groups. Our own are looked at; strangers' are tried, in another process."""
    found = plugins_of(groups)
    strangers = [plugin for plugin in found if not plugin.builtin]
    problems, summaries = {}, {}
    if strangers:
        from xaibench.health import examine  # most listings have no stranger and need not know how to try one

        for plugin, health in examine(strangers).items():
            problems[plugin], summaries[plugin] = health.error, health.summary
    names = Counter((plugin.group, plugin.name) for plugin in found)
    rows = []
    for plugin in found:
        seen = look(plugin)
        problem = problems.get(plugin, seen.problem)
        rows.append(row_of(plugin, problem, seen.summary or summaries.get(plugin, ""), names))
    return rows


def row_of(plugin: Plugin, problem: str, summary: str, names: Counter[tuple[str, str]]) -> Row:
    """One row. A plugin that is broken and collides is called broken: that is what needs mending first."""
    collides = names[plugin.group, plugin.name] > 1
    reference = f"{plugin.distribution}:{plugin.name}" if collides else plugin.name
    others = (
        f"{names[plugin.group, plugin.name]} distributions bring this name: call it {reference}" if collides else ""
    )
    status = "broken" if problem else "collides" if collides else "ok"
    return Row(
        kind=plugin.group,
        name=plugin.name,
        reference=reference,
        distribution=plugin.distribution,
        version=plugin.version,
        status=status,
        reason=problem or others,
        summary=summary,
    )


@click.command("list")
@click.argument("kinds", nargs=-1, metavar="[KIND]...")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable answer on stdout.")
def list_plugins(kinds: tuple[str, ...], as_json: bool) -> None:
    """Show the plugins there are, where they come from and whether they load.

    KIND is any of models, explainers, tasks, metrics, engines, reports and commands; all of them if none is given.
    """
    groups = groups_of(kinds)
    rows = survey(groups)
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=1))
        return
    for group in groups:
        show(group, [row for row in rows if row.kind == group])


def show(group: str, rows: list[Row]) -> None:
    """Print one kind as aligned text."""
    click.echo(f"{group}:" if rows else f"{group}: none")
    cells = [(row.reference, f"{row.distribution} {row.version}", row.summary) for row in rows]
    widths = [max((len(row[column]) for row in cells), default=0) for column in (0, 1)]
    for row, (name, origin, summary) in zip(rows, cells, strict=True):
        click.echo(f"  {name:{widths[0]}}  {origin:{widths[1]}}  {summary}".rstrip())
        if row.status != "ok":
            click.echo(f"  {'':{widths[0]}}  {row.status}: {row.reason}")
