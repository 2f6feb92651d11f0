"""The engine for a queue: every stage of a run is an array of Slurm jobs, each of them `processes` on its node."""

from __future__ import annotations

import importlib
import importlib.util
import time
from typing import TYPE_CHECKING, Any

from xaibench.contracts import Card, Outcome
from xaibench.engines.processes import Processes
from xaibench.engines.work import Piece, Work
from xaibench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from xaibench.contracts import Cell, Worker

LOOK_SECONDS = 1.0


class Slurm:
    """Cells as jobs, through submitit.

    `jobs`: at once, and per stage. `cpus`, `gpus`, `memory` (GiB), `hours`, `partition`: what is asked of Slurm for
    each of them; a job has a worker per CPU. `timeout`: seconds that a cell, or one part of a large cell, may take.
    `images`: larger cells are shared out in parts of so many. `folder`: for what jobs say, seen from all nodes.
    `cluster`: "slurm", or "local" to try it without a queue.
    """

    card = Card(name="slurm", summary="cells as arrays of Slurm jobs, each with worker processes on its node")

    def __init__(
        self,
        jobs: int = 4,
        cpus: int = 1,
        gpus: int = 0,
        memory: float = 8.0,
        hours: float = 4.0,
        partition: str = "",
        timeout: float = 0.0,
        images: int = 256,
        folder: str = "xaibench-slurm",
        cluster: str = "slurm",
    ) -> None:
        if importlib.util.find_spec("submitit") is None:
            raise UsageError("the engine slurm needs submitit: pip install 'xaibench[slurm]'")
        if min(jobs, cpus, images) < 1:
            raise ValueError("jobs, cpus and images must be at least 1")
        self.jobs, self.images, self.folder, self.cluster = jobs, images, folder, cluster
        self.inside = {"workers": cpus, "timeout": timeout, "images": images, "gpus": gpus}
        self.asked: dict[str, Any] = {"cpus_per_task": cpus, "mem_gb": memory, "timeout_min": max(int(hours * 60), 1)}
        self.asked |= {"gpus_per_node": gpus} if gpus else {}
        self.asked |= {"slurm_partition": partition} if partition else {}
        self._submitted: list[Any] = []

    def run(self, cells: Sequence[Cell], worker: Callable[[], Worker]) -> Iterator[Outcome]:
        """Yield the outcome of every cell, in the order in which jobs end."""
        work = Work.of(cells, self.images)
        shares = self._shares(work)
        executor = importlib.import_module("submitit").AutoExecutor(folder=self.folder, cluster=self.cluster)
        executor.update_parameters(name="xaibench", **self.asked)
        with executor.batch():  # one array, which Slurm queues as one thing
            waiting = {
                executor.submit(do, [piece.cell for piece in share], worker, self.inside): share for share in shares
            }
        self._submitted = list(waiting)
        while waiting:
            ended = [job for job in waiting if job.done()]
            for job in ended:
                for piece, outcome in zip(share := waiting.pop(job), _outcomes(job, share), strict=True):
                    yield from work.ended(piece, outcome)
            if not ended:
                time.sleep(LOOK_SECONDS)

    def _shares(self, work: Work) -> list[list[Piece]]:
        """As many as there are jobs; pieces that need the same network stay together as far as they can."""
        pieces = [piece for group in work.waiting.values() for piece in group]
        count = min(self.jobs, len(pieces))
        return [pieces[len(pieces) * n // count : len(pieces) * (n + 1) // count] for n in range(count)]

    def close(self) -> None:
        """Take what is still queued or running out of the queue."""
        jobs, self._submitted = self._submitted, []
        for job in jobs:
            if not job.done():
                job.cancel()

    def about(self) -> dict[str, Any]:
        """Who did the work."""
        return {"jobs": self.jobs, **self.asked}


def do(cells: list[Cell], worker: Callable[[], Worker], inside: dict[str, Any]) -> list[Outcome]:
    """In a job: all its cells, in their order."""
    engine = Processes(**inside)
    try:
        ends = {(end.cell.key, end.cell.part): end for end in engine.run(cells, worker)}
    finally:
        engine.close()
    return [ends[cell.key, cell.part] for cell in cells]


def _outcomes(job: Any, share: list[Piece]) -> list[Outcome]:
    """What a job has to say; one that Slurm ended says nothing, and what it had finished is found next time."""
    if (error := job.exception()) is None:
        outcomes: list[Outcome] = job.result()
        return outcomes
    reason = f"job {job.job_id} {job.state}: {' '.join(str(error).split())[-300:]}"
    return [Outcome(piece.cell, "interrupted", reason) for piece in share]
