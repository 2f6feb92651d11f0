"""What `import xaibench` offers: run a benchmark on references or live objects, and read its board."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xaibench.board import Board
from xaibench.cli.running import usable_device
from xaibench.errors import UsageError
from xaibench.live import chosen
from xaibench.planning import Terms
from xaibench.progress import choose
from xaibench.registry import Loaded, create, plugins, spelled
from xaibench.runner import Request
from xaibench.runner import run as run_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xaibench.live import Chosen
    from xaibench.progress import Progress, Style

LOCAL = "local"


def run(
    models: Any = "resnet50,hmc",
    explainers: Any = "default",
    task: Any = None,
    metrics: Any = "default",
    *,
    tasks: Any = "phantom",
    target: str = "predicted",
    precision: str = "fp32",
    sign: str = "positive",
    limit: int | None = None,
    seed: int = 0,
    device: str = "auto",
    profile: str = "auto",
    engine: str = LOCAL,
    batch_size: int = 8,
    references: bool = True,
    audit: bool = True,
    out: str | Path | None = None,
    progress: Style = "auto",
) -> Board:
    """Benchmark explainers on models, as `xaibench run` does; the keywords are its options.

    Models, explainers, tasks (or one `task`) and metrics are references as on the command line, or live objects: a
    `torch.nn.Module`, a function (classifier, batch) -> heatmaps, an object with a card; one, a list, or a dict of
    objects by the names they are to have on the board. Without `out` results lie in a temporary folder that goes with
    the board. What an earlier run into the same folder has finished is not done again.
    """
    groups = {"models": models, "explainers": explainers, "tasks": tasks if task is None else task, "metrics": metrics}
    picked = {group: chosen(group, given) for group, given in groups.items()}
    _refuse_elsewhere(picked, engine)
    usable = usable_device(device)
    folder = Path(tempfile.mkdtemp(prefix="xaibench-") if out is None else out)
    request = Request(
        **{group: one.text() for group, one in picked.items()},
        terms=Terms(target=target, precision=precision, sign=sign, seed=seed, limit=limit),
        profile=("quick" if usable == "cpu" else "standard") if profile == "auto" else profile,
        references=references,
        audit=audit,
        engine=engine,
        device=usable,
        batch_size=batch_size,
        out=folder,
    )
    with ExitStack() as undo:
        if out is None:
            undo.callback(shutil.rmtree, folder, ignore_errors=True)
        with choose(progress) as shown:
            _tell(picked, shown)
            run_request(request, shown, ["xaibench.run"])
        undo.pop_all()  # from here on the board takes care of its folder
    return Board(folder, temporary=out is None)


def _refuse_elsewhere(picked: Mapping[str, Chosen], engine: str) -> None:
    """Live objects cannot be sent to other processes: their code may exist in this one only."""
    live = [label for one in picked.values() for label in one.live]
    if live and engine.partition("(")[0] != LOCAL:
        raise UsageError(
            f"engine={engine!r} works in other processes, and {', '.join(live)} exists in this one alone. Put it into "
            "a file and name it, as in 'file.py:name', or take engine='local'"
        )


def _tell(picked: Mapping[str, Chosen], progress: Progress) -> None:
    for one in picked.values():
        for note in one.notes:
            progress.say(note)


def names(kind: str) -> list[str]:
    """The plugins of a kind: models, explainers, tasks, metrics, engines, reports or commands."""
    return [spelled(plugin) for plugin in plugins(kind)]


def models() -> list[str]:
    """The models there are."""
    return names("models")


def explainers() -> list[str]:
    """The explainers there are."""
    return names("explainers")


def tasks() -> list[str]:
    """The tasks there are."""
    return names("tasks")


def model(reference: Any, name: str = "") -> Loaded:
    """A model by reference, or of a live object; `.plugin` is the object, `.card` what is known of it."""
    return _one("models", reference, name)


def explainer(reference: Any, name: str = "") -> Loaded:
    """An explainer by reference, or of a live object."""
    return _one("explainers", reference, name)


def task(reference: Any, name: str = "") -> Loaded:
    """A task by reference, or of a live object."""
    return _one("tasks", reference, name)


def metric(reference: Any, name: str = "") -> Loaded:
    """A metric by reference, or of a live object."""
    return _one("metrics", reference, name)


def _one(group: str, reference: Any, name: str) -> Loaded:
    if isinstance(reference, Loaded):
        return reference
    found = chosen(group, {name: reference} if name else reference)
    if len(found.references) != 1:
        raise UsageError(f"one of the {group} is wanted, not {len(found.references)}")
    return create(group, found.references[0])
