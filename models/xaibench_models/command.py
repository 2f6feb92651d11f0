"""`xaibench train`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xaibench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from xaibench.orders import Order
    from xaibench_models.fleet import Fleet
    from xaibench_models.recipes import Recipe


@click.command()
@click.option("--recipe", "name", default="", help="A recipe by name, or a TOML file of your own.")
@click.option("--model", default="", help="Another network than the recipe's.")
@click.option("--task", default="", help="Another task than the recipe's.")
@click.option("--strict", is_flag=True, help="The recipe's task without the leaks of the published protocol.")
@click.option("--data", default="", help="Where the task's files lie. [default: $XAIBENCH_DATA/TASK]")
@click.option("--fold", type=click.IntRange(0), help="Only this fold.")
@click.option("--repeats", type=click.IntRange(1), help="Trainings per fold, each with another seed.")
@click.option("--epochs", type=click.IntRange(1), help="Fewer or more than in the recipe.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps or auto.")
@click.option(
    "--devices", type=click.IntRange(1), default=1, show_default=True, help="Per node; they share every batch."
)
@click.option(
    "--nodes",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="The same command on each, under Slurm, torchrun or with MASTER_ADDR and NODE_RANK set; they share the cache.",
)
@click.option("--compile", "compiled", is_flag=True, help="Compile the network first: pays for long trainings.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("xaibench-training"),
    show_default=True,
    help="Folder for learning curves and reports; the weights are kept in the cache.",
)
@click.option("--list", "show", is_flag=True, help="Show the recipes and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable answer on stdout.")
def train(name: str, show: bool, as_json: bool, out: Path, **options: Any) -> None:
    """Train a network by a recipe, on every fold and as often as the recipe says.

    Killed or interrupted, the same command goes on where it was. `xaibench run` with the model and task that are
    printed finds the weights.
    """
    # What follows brings torch, which `--help` must not wait for.
    from xaibench.progress import choose
    from xaibench.weights import help_to_prepare
    from xaibench_models.fleet import leave_with_the_leader, using
    from xaibench_models.recipes import find

    if show:
        _show(as_json)
        return
    if not name:
        raise UsageError("say which recipe: --recipe NAME; `xaibench train --list` shows them")
    recipe, fleet, rows = find(name), fleet_of(options), []
    if fleet.helps:
        leave_with_the_leader()
    with choose("none" if fleet.helps else "auto") as progress, using(fleet):
        for order in orders(recipe, name, options):
            if fleet.helps:
                help_to_prepare(order, device_of(options), progress.step)
                continue
            rows.append(_trained(order, device_of(options), out, progress))
            progress.say(
                "\n    ".join([_line(rows[-1]), *beside_the_paper(recipe, order.model.name, rows[-1]["report"])])
            )
    if fleet.helps:
        return
    if as_json:
        click.echo(json.dumps(rows, indent=1, allow_nan=False))
    else:
        click.echo(f"to benchmark: xaibench run --models {rows[0]['model']!r} --tasks {rows[0]['task']!r}")


def fleet_of(options: dict[str, Any]) -> Fleet:
    """The devices asked for."""
    from xaibench_models.fleet import Fleet

    if options["devices"] > 1 and ":" in options["device"]:
        raise UsageError(f"--devices {options['devices']} takes the first so many: leave the number off --device")
    return Fleet(options["devices"], options["nodes"], options["compiled"])


def device_of(options: dict[str, Any]) -> str:
    """The kind of device, and which."""
    import torch

    if options["device"] != "auto":
        return str(options["device"])
    return "cuda" if torch.cuda.is_available() else "cpu"


def orders(recipe: Recipe, name: str, options: dict[str, Any]) -> Iterator[Order]:
    """Every training that is asked for: all folds, each as often as there are repeats."""
    from xaibench.orders import Order
    from xaibench.registry import create

    chosen = options["task"] or (recipe.strict if options["strict"] else recipe.task)
    if options["strict"] and not recipe.strict:
        raise UsageError(f"recipe {name} has no strict protocol: its own has no leak that is known")
    for what, text in (("model", options["model"] or recipe.model), ("task", chosen)):
        if not text:
            raise UsageError(f"recipe {name} names no {what}: say --{what}")
    model = create("models", given(options["model"] or recipe.model, recipe=name, epochs=options["epochs"]))
    task = create("tasks", given(chosen, path=options["data"]))
    folds = range(task.plugin.folds) if options["fold"] is None else [options["fold"]]
    if max(folds) >= task.plugin.folds:
        raise UsageError(f"--fold {options['fold']}: {task.label} has {task.plugin.folds} fold(s), counted from 0")
    for fold in folds:
        for repeat in range(options["repeats"] or recipe.repeats):
            yield Order(model, task, fold, options["seed"] + repeat)


def given(text: str, **params: Any) -> str:
    """A reference with more parameters, where they have values."""
    from xaibench.references import Reference, parse

    reference = parse(text)
    return str(Reference(reference.target, {**reference.params, **{k: v for k, v in params.items() if v}}))


def _trained(order: Order, device: str, out: Path, progress: Any) -> dict[str, Any]:
    """One training, its curve and report."""
    from xaibench.files import write_json
    from xaibench.weights import prepare
    from xaibench_models.curves import draw

    prepared = prepare(order, device, progress.step)
    folder = out / f"{order.model.name}-{order.task.name}-fold{order.fold}-seed{order.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    row = {
        "model": order.model.label,
        "task": order.task.label,
        "fold": order.fold,
        "seed": order.seed,
        "weights": str(prepared.file),
        "digest": prepared.digest,
        "report": dict(prepared.report),
    }
    write_json(folder / "training.json", row)
    if curve := prepared.report.get("curve"):
        draw(curve, f"{order.model.label}, fold {order.fold}, seed {order.seed}", folder / "curve.png")
    return row


def _line(row: dict[str, Any]) -> str:
    report = row["report"]
    told = [f"{row['model']} on {row['task']}: fold {row['fold']}, seed {row['seed']}"]
    if "val_balanced_accuracy" in report:
        told.append(f"val balanced accuracy {report['val_balanced_accuracy']:.3f}")
        told.append(f"epoch {report['best_epoch']} of {report['epochs']}, {report['seconds']:.0f} s")
    return ", ".join([*told, row["weights"]])


def beside_the_paper(recipe: Recipe, model: str, report: Mapping[str, Any]) -> list[str]:
    """What the paper says of the network itself, beside what it is; how well it learned is `xaibench evaluate`'s."""
    told = []
    for place, rows in recipe.reported.items():
        row = rows.get(model) if isinstance(rows, dict) else None
        for name, what in (("parameters", "parameters"), ("flops", "FLOPs of one image, MACs x 2")):
            theirs = row.get(name) if isinstance(row, dict) else None
            if theirs and (ours := report.get(name)):
                said = f"{place} of the paper says {theirs:,.0f}"
                told.append(f"{what}: {ours:,}; {said}, which is {theirs / ours - 1:+.1%}")
    return told


def _show(as_json: bool) -> None:
    """All recipes, with what the papers leave open."""
    from dataclasses import asdict

    from xaibench_models.recipes import find, names

    found = [find(name) for name in names()]
    if as_json:
        click.echo(json.dumps([asdict(recipe) for recipe in found], indent=1))
        return
    for recipe in found:
        click.echo(f"{recipe.name}: {recipe.summary}")
        for line in filter(None, (recipe.paper, f"{recipe.model} on {recipe.task}".strip(" on"), *recipe.open)):
            click.echo(f"    {line}")
