"""Results folders of a study as archives that may be passed on: scores and records, and no maps.

Maps are many times as large as all else, and those over films may not be passed on; `xaibench verify` makes them again.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xaibench.files import from_json, to_json
from xaibench.results import load_results
from xaibench.store import Store
from xaibench_leaderboard.archives import tighten
from xaibench_leaderboard.claims import Claims
from xaibench_leaderboard.submitting import submit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from xaibench_leaderboard.study.running import Work


def pack_runs(works: Iterable[Work], folder: Path) -> list[dict[str, Any]]:
    """One archive for each results folder that holds something to verify."""
    packed: list[dict[str, Any]] = []
    for work in works:
        archive = folder / f"{work.folder.name}.zip"
        if not _begun(work):
            continue
        pack(work.folder, archive)
        packed.append({"part": work.part.name, "seed": work.seed, "file": archive.name})
    return packed


def _begun(work: Work) -> bool:
    """Whether there are answers of the model, and scores where some were asked for."""
    results = load_results(work.folder)
    return bool(results.predictions) and (not work.part.explainers or any(one.status == "ok" for one in results.scores))


def pack(results: Path, archive: Path, metrics: Sequence[str] = ()) -> None:
    """One results folder, without its maps; of the first model on the first task and these metrics alone, if any."""
    with tempfile.TemporaryDirectory(prefix="xaibench-pack-") as scratch:
        copy = Path(shutil.copytree(results, Path(scratch) / results.name))
        store = Store(copy)
        if metrics:
            keep_only(store, metrics)
        drop_all_maps(store)
        Claims().render(load_results(copy), copy)
        archive.parent.mkdir(parents=True, exist_ok=True)
        archive.unlink(missing_ok=True)
        submit(copy, archive)
        tighten(archive)


def drop_all_maps(store: Store) -> None:
    """Let the records say that the maps were not kept."""
    for run in store.runs():
        for row in run["cells"]:
            if row["kind"] == "explain":
                store.drop_maps(row["key"], row["count"])


def keep_only(store: Store, metrics: Sequence[str]) -> None:
    """Forget everything but one subject and these metrics, in the records and on the disk."""
    names = sorted(name for name in store.files.tree("runs") if name.endswith(".json"))
    subject = next(row for run in store.runs() for row in run["subjects"])["labels"]
    kept: set[str] = set()
    for name in names:
        run: Any = from_json(store.files.read(f"runs/{name}"))
        run["cells"] = [row for row in run["cells"] if _wanted(row, subject, metrics)]
        run["subjects"] = [row for row in run["subjects"] if row["labels"] == subject]
        kept |= {row["key"] for row in (*run["cells"], *run["subjects"])}
        store.files.write(f"runs/{name}", to_json(run))
    for folder in store.folder("0" * 32).parents[1].glob("*/*"):
        if folder.name not in kept:
            shutil.rmtree(folder)


def _wanted(row: Mapping[str, Any], subject: Mapping[str, str], metrics: Sequence[str]) -> bool:
    labels = row["labels"]
    if any(labels.get(name) != value for name, value in subject.items()) or labels.get("variant"):
        return False
    return row["kind"] != "score" or labels["metric"].partition("(")[0] in metrics
