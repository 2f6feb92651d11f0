"""Between a run and its engine: what need not be done is not handed out, and how cells ended is kept."""

from __future__ import annotations

import functools
import os
import sys
import uuid
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xaibench.contracts import Outcome
from xaibench.registry import create
from xaibench.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from xaibench.contracts import Cell, Engine, Worker
    from xaibench.places import Location

PROCESS = uuid.uuid4().hex  # another one in every process that is spawned, whatever its number


@dataclass(frozen=True)
class Whereabouts:
    """Where and how the cells of a run are done. Recorded, but part of no key."""

    engine: str
    out: Location
    device: str
    batch_size: int
    maps: str  # how they are stored
    environment: str  # digest of the run's record


class Dispatch:
    """Hands the cells of a run to its engine."""

    def __init__(self, where: Whereabouts) -> None:
        self.where = replace(where, out=_anywhere(where.out))
        self.store = Store(self.where.out)
        self._engine: Engine | None = None

    def __enter__(self) -> Dispatch:
        return self

    def __exit__(self, *_: object) -> None:
        if close := getattr(self._engine, "close", None):
            close()
        _worker.cache_clear()  # samples and networks would lie beside what reports need

    def outcomes(self, stages: Iterable[list[Cell]]) -> Iterator[Outcome]:
        """How every cell ends, stage after stage: within a stage no cell waits for another."""
        for stage in stages:
            todo: list[Cell] = []
            for cell in stage:
                if cell.verdict != "ok":
                    yield Outcome(cell, cell.verdict, cell.reason)
                elif not self.store.missing(cell.key, cell.count):
                    yield Outcome(cell, "ok", cached=True)
                else:
                    todo.append(cell)
            if todo:
                yield from self._worked(todo)

    def _worked(self, cells: list[Cell]) -> Iterator[Outcome]:
        self._engine = self._engine or create("engines", self.where.engine).plugin
        make = functools.partial(_worker, self.where, PROCESS)
        with closing(_iterator(self._engine.run(cells, make))) as outcomes:
            for outcome in outcomes:
                self._keep_trouble(outcome)
                yield outcome

    def _keep_trouble(self, outcome: Outcome) -> None:
        """A worker that was killed could not write down what happened."""
        if outcome.status == "ok":
            return
        known = self.store.troubles(outcome.cell.key) or {}
        if not known or known["reason"] not in outcome.reason:
            self.store.trouble(outcome.cell.key, outcome.status, outcome.reason, "")

    def about(self) -> dict[str, Any]:
        """Where the work was done, as far as the engine tells."""
        tell = getattr(self._engine, "about", dict)
        return {"reference": self.where.engine, **tell()}


def _iterator(outcomes: Iterable[Outcome]) -> Any:
    """Something that can be closed, whatever an engine returns."""
    return (outcome for outcome in outcomes) if not hasattr(outcomes, "close") else outcomes


def _anywhere(out: Location) -> Location:
    """The same folder from whatever working folder."""
    return out.absolute() if isinstance(out, Path) else out


@functools.lru_cache(maxsize=1)
def _worker(where: Whereabouts, process: str) -> Worker:
    """One worker per process, so that the stages of a run share what is loaded."""
    # torch comes in here and not before, so that a run in which all is done ends in a moment
    from xaibench.allocator import keep_memory
    from xaibench.execution import CellWorker
    from xaibench.workbench import Setting

    keep_memory()
    here = process == PROCESS
    digest = where.environment if here else _own_environment(Store(where.out), where.environment)
    return CellWorker(Setting(where.out, where.device, where.batch_size, digest, where.maps))


def _own_environment(store: Store, digest: str) -> str:
    """The environment of this process, which may have other threads, devices or another machine than the run's."""
    from xaibench import environment

    record = {**store.environment(digest), **environment.here()}
    own = environment.digest(record)
    store.save_environment(own, record)
    return own


@contextmanager
def quiet_stdout() -> Iterator[None]:
    """Whatever is printed, by Python or below it, goes to stderr: stdout belongs to results."""
    with redirect_stdout(sys.stderr):
        kept = os.dup(1)
        try:
            os.dup2(2, 1)
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)
