"""Doing a study: each part once per seed, into a results folder of its own. What is finished stays finished."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xaibench.audit.verdicts import verdicts
from xaibench.errors import DataError, UsageError, XaibenchError
from xaibench.planning import Terms
from xaibench.registry import create, select
from xaibench.results import load_results
from xaibench.runner import NONE, Request, run
from xaibench.store import Store
from xaibench_leaderboard.claims import Claims
from xaibench_leaderboard.study.sources import Done
from xaibench_leaderboard.submitting import LEFT_OUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import Any

    from xaibench.progress import Progress
    from xaibench_leaderboard.study.plan import Part, Study


# Not the audit: its verdicts are on metrics and films, and are added to what was run without.
ASKED = ("models", "explainers", "tasks", "metrics", "profile", "references")


@dataclass(frozen=True)
class Work:
    """One seed of one part."""

    part: Part
    seed: int
    folder: Path


def works(study: Study, out: Path, seed: int) -> list[Work]:
    """All that there is to do, the first seed of every part first: a study cut short has seen everything once."""
    rounds = range(max(part.seeds for part in study.parts))
    return [
        Work(part, seed + number, out / f"{slug(part.name)}-seed{seed + number}")
        for number in rounds
        for part in study.parts
        if number < part.seeds
    ]


def slug(name: str) -> str:
    """A name as a folder may be called."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def command_of(study: Study, name: str, seed: int, repeats: int | None = None) -> str:
    """What does a study again, wherever its results are put."""
    words = ["xaibench", "reproduce", name, *(["--quick"] if study.cut else [])]
    words += ["--repeats", str(repeats)] if repeats else []
    return shlex.join(words + (["--seed", str(seed)] if seed else []))


def request(work: Work, device: str, batch_size: int = 8) -> Request:
    """What the harness is asked for."""
    part = work.part
    return Request(
        models=",".join(part.models),
        explainers=",".join(part.explainers) or NONE,
        tasks=part.task,
        metrics=",".join(part.metrics) or "default",
        terms=Terms(target=part.target, seed=work.seed, limit=part.limit),
        profile=part.profile,
        audit=bool(part.explainers),
        device=device,
        batch_size=batch_size,
        out=work.folder,
    )


def do(study: Study, out: Path, seed: int, device: str, progress: Progress, argv: list[str]) -> int:
    """Do everything that is not done yet; the worst exit code."""
    worst = 0
    for work in works(study, out, seed):
        progress.say(f"{study.name}, {work.part.name}, seed {work.seed}: {work.folder}")
        if whole_elsewhere(work):
            progress.say("taken up from where it is published: its networks are elsewhere, and nothing is run again")
            audit(work, progress)
            continue
        code = run(request(work, device), progress, argv).exit_code()
        if code == 130:
            return code
        worst = max(worst, code)
        claim(work)
    return worst


def whole_elsewhere(work: Work) -> bool:
    """Whether all of it came from an archive: trained again here, its networks would be others."""
    if not (work.folder / LEFT_OUT).exists():
        return False
    return any(as_planned(one, work) and one.get("status") == "ended" for one in Store(work.folder).runs())


def as_planned(run: Mapping[str, Any], work: Work) -> bool:
    """Whether a run was asked for what the plan says now: it may have changed since."""
    wanted, asked = request(work, "cpu"), run.get("request", {})
    terms = {name: getattr(wanted.terms, name) for name in asked.get("terms", {}) if hasattr(wanted.terms, name)}
    return asked.get("terms") == terms and all(asked.get(name) == getattr(wanted, name) for name in ASKED)


def audit(work: Work, progress: Progress) -> None:
    """Put the metrics to the test as they were used, which takes the films and no network."""
    asked = request(work, "cpu")
    if not asked.audit:
        return
    try:
        plugins = [
            select(group, text, asked.profile) for group, text in (("tasks", asked.tasks), ("metrics", asked.metrics))
        ]
        list(verdicts(Store(work.folder).open(), *plugins))
    except XaibenchError as error:
        progress.say(f"its metrics are not audited: {error}")
    claim(work)


def claim(work: Work) -> None:
    """Write down what the results say, audits and all."""
    results = load_results(work.folder)
    if results.scores:
        Claims().render(results, work.folder)


def done(study: Study, out: Path, seed: int) -> dict[str, Done]:
    """What has come of the parts so far. A part that was never begun has no results."""
    found: dict[str, Done] = {}
    for part in study.parts:
        folders = [work.folder for work in works(study, out, seed) if work.part is part]
        found[part.name] = Done(part.name, tuple(load_results(one) for one in folders if begun(one)))
    if not any(one.results for one in found.values()):
        raise DataError(f"{out} holds nothing of study {study.name} yet; run it without --no-run")
    return found


def begun(folder: Path) -> bool:
    """Whether it is a results folder yet: another run may be about to make it one."""
    return (folder / "xaibench.json").exists()


def reported(study: Study) -> Mapping[str, Mapping[str, Any]]:
    """The figures of the paper by recipe, as the recipes hold them."""
    names = {study.recipe_of(part.name) for part in study.parts} - {""}
    return {name: _recipe(study, name) for name in names}


def _recipe(study: Study, name: str) -> Mapping[str, Any]:
    """A recipe belongs to the plugin of the models, which we do not import: any model that follows it knows it."""
    plugin = create("models", f"{study.model}(recipe='{name}')").plugin
    figures = getattr(getattr(plugin, "recipe", None), "reported", None)
    if figures is None:
        msg = (
            f"study {study.name}: model {study.model} knows no recipe {name}, in which the paper's figures would stand"
        )
        raise UsageError(msg)
    return dict(figures)


def folders(study: Study, out: Path, seed: int) -> Iterator[Work]:
    """The results folders that are there."""
    yield from (work for work in works(study, out, seed) if begun(work.folder))
