"""Results folders of a study as archives that may be passed on: scores and records, and no maps.

Maps are many times as large as all else, and those over films may not be passed on; `xaibench verify` makes them again.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xaibench.store import Store
from xaibench_leaderboard.claims import NAME
from xaibench_leaderboard.submitting import submit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xaibench_leaderboard.study.running import Work


def pack_runs(works: Iterable[Work], folder: Path) -> list[dict[str, Any]]:
    """One archive for each results folder that has claims to verify."""
    packed: list[dict[str, Any]] = []
    for work in works:
        if (work.folder / NAME).exists():
            archive = folder / f"{work.folder.name}.zip"
            _pack(work.folder, archive)
            packed.append({"part": work.part.name, "seed": work.seed, "file": archive.name})
    return packed


def _pack(results: Path, archive: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="xaibench-pack-") as scratch:
        copy = Path(shutil.copytree(results, Path(scratch) / results.name))
        drop_all_maps(Store(copy))
        archive.parent.mkdir(parents=True, exist_ok=True)
        archive.unlink(missing_ok=True)
        submit(copy, archive)


def drop_all_maps(store: Store) -> None:
    """Let the records say that the maps were not kept."""
    for run in store.runs():
        for row in run["cells"]:
            if row["kind"] == "explain":
                store.drop_maps(row["key"], row["count"])
