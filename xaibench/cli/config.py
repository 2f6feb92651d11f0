"""`xaibench config`: what a --config file may hold, and whether one holds it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from xaibench.cli.running import config_values, run

LISTS = ("models", "explainers", "tasks", "metrics")
NOT_IN_FILES = ("config", "last", "as_json", "progress")


def schema() -> dict[str, Any]:
    """The JSON Schema of a --config file, made of the options themselves."""
    options = [one for one in run.params if isinstance(one, click.Option) and one.name not in NOT_IN_FILES]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "xaibench run",
        "description": "A TOML file for `xaibench run --config` and `xaibench plan --config`.",
        "type": "object",
        "additionalProperties": False,
        "properties": {str(option.name): _property(option) for option in options},
    }


def _property(option: click.Option) -> dict[str, Any]:
    told: dict[str, Any] = {"description": option.help} if option.help else {}
    told |= _type(option)
    default = option.default
    if isinstance(default, (str, int, bool)):
        told["default"] = default
    elif isinstance(default, Path):
        told["default"] = default.as_posix()
    return told


def _type(option: click.Option) -> dict[str, Any]:
    """The values that are allowed."""
    kind = option.type
    if option.name in LISTS:
        return {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
    if option.is_flag:
        return {"type": "boolean"}
    if isinstance(kind, click.Choice):
        return {"enum": list(kind.choices)}
    if isinstance(kind, click.IntRange):
        limits = {"minimum": kind.min, "maximum": kind.max}
        return {"type": "integer", **{name: value for name, value in limits.items() if value is not None}}
    return {"type": "string"}


@click.group()
def config() -> None:
    """Tell what --config files may hold."""


@config.command("schema")
def show_schema() -> None:
    """Print the JSON Schema of --config files; editors that know TOML complete and check with it."""
    click.echo(json.dumps(schema(), indent=1))


@config.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def check(file: Path) -> None:
    """Say whether FILE can be given to `xaibench run --config`, without running anything."""
    values = config_values(file, run)
    context = click.Context(run, info_name="run")
    for parameter in run.params:
        if parameter.name in values:
            parameter.process_value(context, values[str(parameter.name)])
    click.echo(f"{file} is fine; `xaibench plan --config {file}` shows what it would do")
