"""A study that goes on where its results are published: what was run elsewhere keeps its place in the tables."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from xaibench.errors import DataError
from xaibench.files import from_json
from xaibench.store import Store
from xaibench_leaderboard.archives import unpacked
from xaibench_leaderboard.study.running import as_planned, works

if TYPE_CHECKING:
    from xaibench_leaderboard.study.plan import Study
    from xaibench_leaderboard.study.running import Work


def take_up(study: Study, command: str, published: Path, out: Path, seed: int) -> None:
    """Unpack every archive of this very study of which there is nothing here."""
    if _command(published / "reproduction.json") != command:
        return
    for work in works(study, out, seed):
        archive = published / f"{work.folder.name}.zip"
        if archive.is_file() and not (work.folder.exists() and any(work.folder.iterdir())):
            try:
                _take(archive, work)
            except DataError as error:
                raise DataError(f"{archive}, which is published, cannot be taken up: {error}") from error


def _command(told: Path) -> str:
    """What made the published tables."""
    found = from_json(told.read_bytes()) if told.is_file() else None
    return str(found.get("command", "")) if isinstance(found, dict) else ""


def _take(archive: Path, work: Work) -> None:
    """Put it in place all at once, so that half of it is never taken for the whole."""
    with unpacked(archive) as folder:
        if not any(as_planned(run, work) for run in Store(folder).runs()):
            return
        work.folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".taken-up-", dir=work.folder.parent) as beside:
            whole = shutil.copytree(folder, Path(beside) / work.folder.name)
            with suppress(OSError):  # another process has begun this part in the meantime
                whole.replace(work.folder)
