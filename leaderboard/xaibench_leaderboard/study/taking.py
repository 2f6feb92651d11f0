"""A study that goes on where its results are published: what was run elsewhere keeps its place in the tables."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from xaibench.files import from_json
from xaibench.references import parse
from xaibench.results import load_results
from xaibench_leaderboard.archives import unpacked
from xaibench_leaderboard.study.running import begun, works

if TYPE_CHECKING:
    from pathlib import Path

    from xaibench_leaderboard.study.plan import Part, Study


def take_up(study: Study, command: str, published: Path, out: Path, seed: int) -> None:
    """Unpack every archive of this very study whose part was not begun here."""
    if _command(published / "reproduction.json") != command:
        return
    for work in works(study, out, seed):
        archive = published / f"{work.folder.name}.zip"
        if archive.is_file() and not begun(work.folder):
            with unpacked(archive) as folder:
                if _as_planned(folder, work.part):
                    shutil.copytree(folder, work.folder, dirs_exist_ok=True)


def _command(told: Path) -> str:
    """What made the published tables."""
    found = from_json(told.read_bytes()) if told.is_file() else None
    return str(found.get("command", "")) if isinstance(found, dict) else ""


def _as_planned(folder: Path, part: Part) -> bool:
    """Whether these models on this task are still the plan: it may have changed since."""
    planned = {str(parse(model)) for model in part.models}
    found = load_results(folder).predictions
    return bool(found) and all(
        one.labels["model"] in planned and one.labels["task"] == str(parse(part.task)) for one in found
    )
