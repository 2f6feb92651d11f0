"""A worker: does one cell after another, and lets no cell's fault reach the next."""

from __future__ import annotations

import os
import time
import traceback
from typing import TYPE_CHECKING

from xaibench import surroundings
from xaibench.batching import is_out_of_memory
from xaibench.contracts import Cell, Outcome, Status
from xaibench.errors import StorageError, Unsupported
from xaibench.stages.explain import explain
from xaibench.stages.predict import predict
from xaibench.stages.score import score
from xaibench.workbench import Setting, Workbench

if TYPE_CHECKING:
    from collections.abc import Callable

STAGES: dict[str, Callable[[Cell, Workbench], None]] = {"predict": predict, "explain": explain, "score": score}
FORKED = 70  # what a copy of this process, left behind by a plugin that forks, ends with


class CellWorker:
    """Executes cells in this process."""

    def __init__(self, setting: Setting) -> None:
        self.bench = Workbench(setting)
        self.process = os.getpid()

    def execute(self, cell: Cell) -> Outcome:
        """Do what is missing of the cell. Whatever a plugin raises ends this cell and no other."""
        if not self.bench.todo(cell):
            return Outcome(cell, "ok", cached=True)
        before = surroundings.look()
        outcome = self._attempt(cell)
        if os.getpid() != self.process:
            os._exit(FORKED)  # a plugin forked and its child came back to us: one of us is enough
        if not (changed := surroundings.put_back(before)):
            return outcome
        note = f"put back what {cell.labels.get('explainer', cell.labels['model'])} left: {'; '.join(changed)}"
        return Outcome(cell, outcome.status, "; ".join(filter(None, [outcome.reason, note])), outcome.seconds)

    def _attempt(self, cell: Cell) -> Outcome:
        started = time.perf_counter()
        try:
            self.bench.store.describe(cell.key, {"identity": cell.identity, "labels": cell.labels, "cards": cell.cards})
            STAGES[cell.kind](cell, self.bench)
        except KeyboardInterrupt:
            self.bench.store.trouble(cell.key, "interrupted", "stopped by the user or the system", "")
            raise
        except BaseException as error:  # a plugin may raise anything, SystemExit too
            return self._failed(cell, error, time.perf_counter() - started)
        return Outcome(cell, "ok", seconds=time.perf_counter() - started)

    def _failed(self, cell: Cell, error: BaseException, seconds: float) -> Outcome:
        self.bench.forget_classifiers()  # whoever failed may have left the model changed
        status: Status = "oom" if is_out_of_memory(error) else "failed"
        reason = f"{type(error).__name__}: {error}"
        if isinstance(error, Unsupported):
            status, reason = "unsupported", str(error)
        try:
            self.bench.store.trouble(cell.key, status, reason, "".join(traceback.format_exception(error)))
        except (OSError, StorageError) as unwritable:  # a full disk is often what the cell died of
            reason += f" (which could not be recorded: {unwritable})"
        return Outcome(cell, status, reason, seconds)
