"""Whether the claims of a results folder hold.

The leaderboard is made again from the stored scores, and a sample of scores and maps from stored maps and the model.
Recomputing is the harness's own work in a folder of its own, a *replica*, which holds links to all that a cell reads
and to all of its shards but the one in question.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass, fields
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from xaibench.errors import DataError, UsageError, XaibenchError
from xaibench.files import read_json, sealed
from xaibench.progress import choose as choose_progress
from xaibench.registry import installed_only
from xaibench.results import load_results
from xaibench.seeds import derive
from xaibench.store import Store, spans
from xaibench_leaderboard.claims import NAME, claims_of
from xaibench_leaderboard.differing import differences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import TypeAlias

    from xaibench.contracts import Cell, Results, Worker
    from xaibench.store import Shard

    Compare: TypeAlias = Callable[[Shard, Shard], str]
    Verdict: TypeAlias = Literal["holds", "fails", "cannot"]

TOLERANCE = 1e-5  # of the largest number: what machines, batch sizes and threads may change
STRANGERS = "code that a results folder names is not run: --trust runs it, if you trust whoever wrote the folder"
OTHERS = {  # by whether what was missing has been trained
    False: "the plugins, data or weights here are not those of the run; "
    "networks that are only missing are trained by `xaibench verify --train`",
    True: "the plugins, data or weights here are not those of the run; "
    "the same training on another processor or by another torch may end in other weights",
}
SHOWN = 20  # differences named one by one


@dataclass(frozen=True)
class Check:
    """One thing that was looked into."""

    kind: str  # claims, score, maps, prediction
    what: str
    key: str  # of the cell; "" for the claims
    verdict: Verdict
    detail: str


@dataclass(frozen=True)
class Scope:
    """What to recompute: one shard of each of a seeded sample of scores; or the scores of these keys, in full."""

    sample: int | None = 5  # None: every score, in full
    seed: int = 0
    keys: tuple[str, ...] = ()
    device: str = "cpu"
    trust: bool = False  # run code that the folder names by file or module
    train: bool = False  # networks that are not at hand


def verify(folder: Path, scope: Scope) -> Iterator[Check]:
    """Check the claims, then sampled scores and the maps these rest on, then answers of networks that had no part."""
    results = load_results(folder)
    if not scope.keys:
        yield from check_claims(folder, results)
    store, planned = Store(folder), Replanned(folder, scope)
    chosen = _chosen(results, scope)
    with tempfile.TemporaryDirectory(prefix="xaibench-verify-") as scratch:
        replica = Replica(planned, store, Path(scratch), scope.device)
        seen: set[str] = set()
        for key, labels in chosen:
            cell = planned.cell(key)
            if cell is None:
                yield Check("score", _name(labels), key, "cannot", f"it cannot be planned here: {planned.trouble}")
                continue
            yield from _checked(replica, cell, scope, "score", compare_scores)
            for name, compare in (("maps", _compare_maps), ("prediction", _compare_logits)):
                source = planned.cell(cell.inputs[name])
                if source is not None and source.key not in seen:
                    seen.add(source.key)
                    yield from _checked(replica, source, scope, name, compare)
        for key, labels in _chosen_answers(results, scope):
            cell = planned.cell(key)
            if cell is None:
                yield Check("prediction", _name(labels), key, "cannot", f"it cannot be planned here: {planned.trouble}")
            elif key not in seen:
                yield from _checked(replica, cell, scope, "prediction", _compare_logits)


def check_claims(folder: Path, results: Results) -> Iterator[Check]:
    """Make the leaderboard again and compare."""
    claimed = read_json(folder / NAME)
    if not isinstance(claimed, dict):
        msg = f"{folder} holds no {NAME}; `xaibench leaderboard --results {folder}` writes what is to be verified"
        raise DataError(msg)
    weights = claimed.get("weights")
    usable = isinstance(weights, dict) and all(isinstance(one, int | float) for one in weights.values())
    found = json.loads(json.dumps(claims_of(results, weights) if usable and weights else claims_of(results)))
    told = list(differences(claimed, found))
    for line in told[:SHOWN]:
        yield Check("claims", NAME, "", "fails", line)
    if len(told) > SHOWN:
        yield Check("claims", NAME, "", "fails", f"and {len(told) - SHOWN} more")
    if not told:
        rows = len(found["rows"])
        yield Check("claims", NAME, "", "holds", f"all {rows} rows and their rankings follow from the stored scores")


def _chosen(results: Results, scope: Scope) -> list[tuple[str, Mapping[str, str]]]:
    """Keys and labels of the scores to recompute."""
    finished = sorted(
        ((one.key, one.labels) for one in results.scores if one.status == "ok" and one.ids), key=itemgetter(0)
    )
    if scope.keys:
        known = dict(finished)
        if unknown := [key for key in scope.keys if key not in known]:
            msg = f"--cell {unknown[0]}: no finished score of this key; results.json names the key of every row"
            raise UsageError(msg)
        return [(key, known[key]) for key in scope.keys]
    return _sampled(finished, scope)


def _chosen_answers(results: Results, scope: Scope) -> list[tuple[str, Mapping[str, str]]]:
    """Keys and labels of the predictions to make again: what a network says is measured too, explained or not."""
    if scope.keys:
        return []
    return _sampled(sorted(((one.key, one.labels) for one in results.predictions), key=itemgetter(0)), scope)


def _sampled(every: list[tuple[str, Mapping[str, str]]], scope: Scope) -> list[tuple[str, Mapping[str, str]]]:
    rng = np.random.default_rng(derive("verify", scope.seed))
    picked = rng.permutation(len(every))[: scope.sample]  # all if it is None
    return [every[at] for at in sorted(picked.tolist())]


class Replanned:
    """The cells of the folder's runs, planned again from what was asked: by key, with all it takes to do them."""

    def __init__(self, folder: Path, scope: Scope) -> None:
        self.trouble = OTHERS[scope.train]
        self._cells: dict[str, Cell] | None = None
        self._folder, self._scope = folder, scope

    def cell(self, key: str) -> Cell | None:
        """The cell of this key, if it can be planned here."""
        if self._cells is None:
            self._cells = {}
            for request in self._requests():
                self._cells |= self._plan(request)
        return self._cells.get(key)

    def _code(self) -> AbstractContextManager[None]:
        return nullcontext() if self._scope.trust else installed_only(STRANGERS)

    def _requests(self) -> list[dict[str, Any]]:
        """What was asked, each request once."""
        asked = [
            {**run["request"], **{group: ",".join(names) or "none" for group, names in run.get("chosen", {}).items()}}
            for run in Store(self._folder).runs()
            if isinstance(run.get("request"), dict)
        ]
        return list({json.dumps(request, sort_keys=True): request for request in asked}.values())

    def _plan(self, request: dict[str, Any]) -> dict[str, Cell]:
        from xaibench.planning import Terms
        from xaibench.runner import Request, choose, plan_all

        known = {field.name for field in fields(Request)}  # another version may have asked for more
        asked_for = {name: value for name, value in request.items() if name in known}
        given = {**asked_for, "out": self._folder, "device": self._scope.device, "terms": Terms(**request["terms"])}
        failures: list[str] = []
        try:
            asked = Request(**given)
            shown = choose_progress("auto" if self._scope.train else "none")
            with self._code(), shown as progress, redirect_stdout(sys.stderr):  # what plugins print is not our answer
                plans = plan_all(asked, choose(asked), progress, failures, train=self._scope.train)
        except XaibenchError as error:
            self.trouble = str(error)
            return {}
        if failures:
            self.trouble = failures[0].splitlines()[0]
        return {cell.key: cell for plan in plans for cell in plan.cells()}


class Replica:
    """A results folder in which one shard at a time is missing, and is made again, and maps where none were kept."""

    def __init__(self, planned: Replanned, store: Store, scratch: Path, device: str) -> None:
        self.planned, self.original = planned, store
        self._scratch, self.store = scratch, Store(scratch).open()
        self._device = device
        self._worker: Worker | None = None

    def again(self, cell: Cell, span: tuple[int, int]) -> tuple[Shard | None, str]:
        """The shard as it comes out here; None and why if it does not."""
        shutil.rmtree(self._scratch / "cells", ignore_errors=True)  # what an earlier check has put there
        for key in cell.inputs.values():
            self._provide(key)
        self._link(cell.key, span)
        with redirect_stdout(sys.stderr):
            outcome = self._work().execute(cell)
        shard = self.store.shard(cell.key, *span)
        return (shard, "") if outcome.status == "ok" and shard else (None, outcome.reason)

    def _provide(self, key: str) -> None:
        """What a cell reads: the stored shards, or maps made again where they were not kept."""
        cell = self.planned.cell(key)
        if cell is None or not dropped(self.original, cell):
            self._link(key, None)
            return
        for source in cell.inputs.values():
            self._provide(source)
        with redirect_stdout(sys.stderr):
            self._work().execute(cell)
        for shard in list(self.store.each_shard(key, cell.count)):
            stored = self.original.shard(key, shard.start, shard.stop)
            if stored is not None:  # what a map took is a measurement: it comes out otherwise every time
                self.store.files.write(
                    f"{shard.name}/record.json", sealed({**stored.record, "maps": shard.record["maps"]})
                )

    def _link(self, key: str, without: tuple[int, int] | None) -> None:
        """Show the shards of a cell, all or all but those that begin where the missing one does."""
        target = self.store.folder(key)
        target.mkdir(parents=True, exist_ok=True)
        for shard in self.original.folder(key).glob("*-*"):
            place = target / shard.name
            if (without is None or not shard.name.startswith(f"{without[0]:06d}-")) and not place.exists():
                place.symlink_to(shard.resolve(), target_is_directory=True)

    def _work(self) -> Worker:
        from xaibench.execution import CellWorker  # brings torch, which the claims alone do not need
        from xaibench.workbench import Setting

        if self._worker is None:
            self._worker = CellWorker(Setting(self._scratch, self._device, 8, "verify"))
        return self._worker


def dropped(store: Store, cell: Cell) -> bool:
    """Whether the maps of a cell were not kept, or left out of an archive."""
    return any("maps" in shard.record and not shard.has_maps for shard in store.each_shard(cell.key, cell.count))


def _spans(cell: Cell, scope: Scope) -> list[tuple[int, int]]:
    """The shards to look at: all, or one of a sampled cell, chosen by the seed."""
    every = spans(cell.count)
    if scope.keys or scope.sample is None:
        return every
    return [every[derive("verify", scope.seed, cell.key) % len(every)]]


def _name(labels: Mapping[str, str]) -> str:
    return " · ".join(labels[name] for name in ("task", "model", "explainer", "metric") if name in labels)


def _checked(replica: Replica, cell: Cell, scope: Scope, kind: str, compare: Compare) -> Iterator[Check]:
    if kind == "maps" and dropped(replica.original, cell):
        yield Check(kind, _name(cell.labels), cell.key, "cannot", "not kept; scores are checked from maps made again")
        return
    for span in _spans(cell, scope):
        verdict, told = _made_again(replica, cell, span, compare)
        images = f"images {span[0]} to {span[1] - 1}"
        yield Check(kind, _name(cell.labels), cell.key, verdict, f"{images}: {told}" if told else images)


def _made_again(replica: Replica, cell: Cell, span: tuple[int, int], compare: Compare) -> tuple[Verdict, str]:
    stored = replica.original.shard(cell.key, *span)
    if stored is None:
        return "fails", "not in the folder, or damaged"
    found, reason = replica.again(cell, span)
    if found is None:
        return "cannot", f"could not be made again: {reason}"
    try:
        told = compare(stored, found)
    except DataError as error:
        told = str(error)
    return "fails" if told else "holds", told


def compare_scores(stored: Shard, found: Shard) -> str:
    """Why the stored values are not what came out; "" if they are."""
    for name in ("ids", "patients", "applies"):
        if stored.column(name) != found.column(name):
            return f"{name} are not those of the data"
    if [bool(flaw) for flaw in stored.column("flaws")] != [bool(flaw) for flaw in found.column("flaws")]:
        return "other maps count as failed"
    mine, theirs = (np.array(shard.column("values"), dtype=np.float64) for shard in (stored, found))
    if (np.isnan(mine) != np.isnan(theirs)).any():
        return "other images have no value"
    scale = float(np.nanmax(np.abs(theirs), initial=0.0)) or 1.0
    apart = np.nan_to_num(np.abs(mine - theirs))
    worst = int(apart.argmax()) if len(apart) else 0
    if len(apart) and apart[worst] > TOLERANCE * scale:
        return f"{stored.column('ids')[worst]} is claimed to score {mine[worst]:g}, and scores {theirs[worst]:g}"
    return ""


def _compare_maps(stored: Shard, found: Shard) -> str:
    """Why the stored maps are not what came out; "" if they are."""
    if stored.column("ids") != found.column("ids"):
        return "ids are not those of the data"
    mine, theirs = stored.maps().astype(np.float64), found.maps().astype(np.float64)
    if mine.shape != theirs.shape:
        return f"maps of shape {mine.shape} are stored, {theirs.shape} came out"
    if (np.isfinite(mine) != np.isfinite(theirs)).any():
        return "other pixels are finite"
    mine, theirs = np.nan_to_num(mine, posinf=0, neginf=0), np.nan_to_num(theirs, posinf=0, neginf=0)
    axes = tuple(range(1, mine.ndim))
    scale = np.maximum(np.abs(theirs).max(axis=axes, initial=0.0), np.finfo(np.float32).tiny)
    apart = np.abs(mine - theirs).max(axis=axes, initial=0.0) / scale
    worst = int(apart.argmax())
    if apart[worst] > TOLERANCE:
        return f"the map of {stored.column('ids')[worst]} differs by {apart[worst]:.2g} of its largest value"
    return ""


def _compare_logits(stored: Shard, found: Shard) -> str:
    """Why the stored answers of the model are not what came out; "" if they are."""
    for name in ("ids", "patients", "truth"):
        if stored.column(name) != found.column(name):
            return f"{name} are not those of the data"
    mine, theirs = (np.array(shard.column("logits"), dtype=np.float64) for shard in (stored, found))
    if mine.shape != theirs.shape:
        return f"logits of shape {mine.shape} are stored, {theirs.shape} came out"
    apart = np.abs(mine - theirs).max(axis=1)
    worst = int(apart.argmax())
    if apart[worst] > TOLERANCE * max(float(np.abs(theirs).max()), 1.0):
        return f"the logits of {stored.column('ids')[worst]} differ by {apart[worst]:.2g}"
    return ""


def exit_code(checks: Sequence[Check]) -> int:
    """0 all that was checked holds, 1 something does not, 3 nothing could be recomputed."""
    if any(check.verdict == "fails" for check in checks):
        return 1
    recomputed = [check for check in checks if check.kind != "claims"]
    return 3 if recomputed and all(check.verdict == "cannot" for check in recomputed) else 0
