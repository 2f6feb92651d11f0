"""A worker: does one cell after another, and lets no cell's fault reach the next."""

from __future__ import annotations

import time
import traceback
from typing import TYPE_CHECKING

from xaibench.batching import is_out_of_memory
from xaibench.contracts import Cell, Outcome, Status
from xaibench.errors import Unsupported
from xaibench.stages.explain import explain
from xaibench.stages.predict import predict
from xaibench.stages.score import score
from xaibench.workbench import Setting, Workbench

if TYPE_CHECKING:
    from collections.abc import Callable

STAGES: dict[str, Callable[[Cell, Workbench], None]] = {"predict": predict, "explain": explain, "score": score}


class CellWorker:
    """Executes cells in this process."""

    def __init__(self, setting: Setting) -> None:
        self.bench = Workbench(setting)

    def execute(self, cell: Cell) -> Outcome:
        """Do what is missing of the cell. Whatever a plugin raises ends this cell and no other."""
        store = self.bench.store
        if not store.missing(cell.key, cell.count):
            return Outcome(cell, "ok", cached=True)
        store.describe(cell.key, {"identity": cell.identity, "labels": cell.labels, "cards": cell.cards})
        started = time.perf_counter()
        try:
            STAGES[cell.kind](cell, self.bench)
        except KeyboardInterrupt:
            store.trouble(cell.key, "interrupted", "stopped by the user or the system", "")
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
        self.bench.store.trouble(cell.key, status, reason, "".join(traceback.format_exception(error)))
        return Outcome(cell, status, reason, seconds)
