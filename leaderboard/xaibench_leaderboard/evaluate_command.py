"""`xaibench evaluate`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xaibench.errors import DataError

if TYPE_CHECKING:
    from xaibench_leaderboard.evaluation import Evaluation, Summary
    from xaibench_leaderboard.statistics import Estimate


@click.command()
@click.option("--models", default="", help="Train what is missing and predict first. Comma list, glob or `all`.")
@click.option("--tasks", default="phantom", show_default=True, help="With --models: on which data.")
@click.option("--external", default="", help="With --models: learn from --tasks, be tested on all of this task.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--repeats", type=click.IntRange(1), default=1, show_default=True, help="With --models: trainings per fold."
)
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps or auto.")
@click.option(
    "--results",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("xaibench-results"),
    show_default=True,
    help="Results folder, the --out of `xaibench run`.",
)
@click.option(
    "--plots", type=click.Path(path_type=Path, file_okay=False), help="Where to draw reliability. [RESULTS/evaluation]"
)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable answer on stdout.")
def evaluate(models: str, folder: Path, plots: Path | None, as_json: bool, **options: Any) -> None:
    """Show how good the models of a results folder are: per class, over folds, calibrated, against each other."""
    # Here, not at the top: they bring numpy and more, which `--help` must not wait for.
    from xaibench_leaderboard.evaluation import rivals, summaries
    from xaibench_leaderboard.evaluation_plots import reliability_files
    from xaibench_leaderboard.evaluation_reading import answers_of

    if models:
        predict(models, folder, **options)
    found = summaries(answers_of(folder))
    if not found:
        raise DataError(f"{folder} holds no predictions yet; `xaibench evaluate --models NAME` makes some")
    tasks = list(dict.fromkeys(summary.task for summary in found))
    drawn = reliability_files(found, plots or folder / "evaluation")
    tests = {task: rivals([one for one in found if one.task == task]) for task in tasks}
    if as_json:
        plain = {task: test and asdict(test) for task, test in tests.items()}
        answer = {"models": [asdict(one) for one in found], "rivals": plain, "reliability": list(map(str, drawn))}
        click.echo(json.dumps(answer, allow_nan=False, indent=1))
        return
    for summary, file in zip(found, drawn, strict=True):
        click.echo("\n".join([*lines(summary), f"  reliability diagram: {file}", ""]))
    for task, test in tests.items():
        if test:
            ranks = ", ".join(f"{n} {r:.2f}" for n, r in zip(test.explainers, test.mean_ranks, strict=True))
            told = f"Friedman {test.statistic:.3f}, p = {test.p:.4f}; mean ranks {ranks}"
            click.echo(
                f"{task}: {told}; Nemenyi's critical difference {test.distance:.3f} over {test.blocks} folds or repeats"
            )


def predict(models: str, folder: Path, tasks: str, external: str, seed: int, repeats: int, device: str) -> None:
    """Train what is missing, and have every test image classified."""
    import torch

    from xaibench.planning import Terms
    from xaibench.progress import choose
    from xaibench.runner import NONE, Request, run

    if external:
        from xaibench.references import Reference

        tasks = str(Reference("external", {"train": tasks, "test": external}))
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    for number in range(seed, seed + repeats):
        request = Request(
            models=models,
            tasks=tasks,
            explainers=NONE,
            terms=Terms(seed=number),
            audit=False,
            device=device,
            out=folder,
        )
        with choose("auto") as progress:
            summary = run(request, progress, ["xaibench", "evaluate", "--models", models, "--tasks", tasks])
        if summary.exit_code():
            click.get_current_context().exit(summary.exit_code())


def lines(summary: Summary) -> list[str]:
    """One model on one task, for people."""
    count = len(summary.evaluations)
    first = summary.evaluations[0]
    told = [f"{summary.model} on {summary.task}: {count} fold(s) or repeat(s), {first.images} test images in the first"]
    for name, mean in summary.mean.items():
        sd = summary.sd[name]
        told.append(f"  {name.replace('_', ' '):<20} {mean:.3f}" + (f" ± {sd:.3f}" if sd is not None else ""))
    return [*told, *_costs(summary), *(line for one in summary.evaluations for line in _fold_lines(one))]


def _costs(summary: Summary) -> list[str]:
    """What the network takes, where its records say it."""
    first, trainings = summary.evaluations[0], [one.training_seconds for one in summary.evaluations]
    trained, timed = [one for one in trainings if one is not None], [one.milliseconds for one in summary.evaluations]
    known = [one for one in timed if one is not None]
    told = [
        f"{first.parameters:,} parameters" if first.parameters else "",
        f"{first.flops / 1e9:.2f} GFLOPs per image (torch's counter: MACs x 2)" if first.flops else "",
        f"{sum(trained) / len(trained):.0f} s per training" if trained else "",
        f"{sum(known) / len(known):.1f} ms per image forward, in batches" if known else "",
    ]
    shown = ", ".join(filter(None, told))
    return [f"  {shown}"] if shown else []


def _fold_lines(one: Evaluation) -> list[str]:
    intervals = f"accuracy {_interval(one.accuracy)}, balanced {_interval(one.balanced)}"
    rows = [
        f"  fold {one.labels['fold']}, seed {one.seed}: {intervals}; {one.images} images of {one.patients} patients"
    ]
    for at, (name, values) in enumerate(one.per_class.items()):
        figures = "  ".join(
            f"{what} {value:.3f}" for what, value in values.items() if value is not None and what != "images"
        )
        rows.append(f"    {name:<16} {figures}  n {values['images']:.0f}  predicted as {list(one.confusion[at])}")
    return rows


def _interval(estimate: Estimate | None) -> str:
    if estimate is None:
        return "unknown"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.mean:.3f}"
    return f"{estimate.mean:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
