"""The engine of one machine: worker processes, each with one model at a time; a worker's death costs its cell alone."""

from __future__ import annotations

import os
from collections import deque
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from xaibench.contracts import Card, Outcome
from xaibench.engines.seat import INTERRUPTED, Ready, Report, Seat, dismiss, ending
from xaibench.engines.work import Piece, Work
from xaibench.environment import memory_gib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from xaibench.contracts import Cell, Status, Worker

GIB = 2**30
LOOK_SECONDS = 0.5  # how often deaths, deadlines and memory are looked at while nobody reports
FALSE_STARTS = 3  # so many workers in a row that end before they begin: none will


class Processes:
    """Cells in spawned processes.

    `timeout`: seconds that a cell, or one part of a large cell, may take; 0: any time. `memory`: GiB that a worker may
    use; past it a cell is ended, and a worker is replaced. 0: a worker is replaced once it has its share of the
    machine, and no cell is ended. `images`: larger cells are shared out in parts of so many, or fewer. `gpus`:
    workers are dealt out over so many GPUs; 0: all see all. `workers`: 0 is one per core and thread.
    """

    card = Card(name="processes", summary="cells in worker processes; a worker that dies or hangs costs its cell alone")

    def __init__(
        self,
        workers: int = 0,
        threads: int = 1,
        timeout: float = 0.0,
        memory: float = 0.0,
        images: int = 256,
        gpus: int = 0,
    ) -> None:
        for name, value, least in (("workers", workers, 0), ("threads", threads, 1), ("images", images, 1)):
            if value < least:
                raise ValueError(f"{name} must be at least {least}")
        if min(timeout, memory, gpus) < 0:
            raise ValueError("timeout, memory and gpus cannot be negative")
        self.workers = workers or max(usable_cores() // threads, 1)
        self.threads, self.timeout, self.memory, self.images, self.gpus = threads, timeout, memory, images, gpus
        self._seats: list[Seat] = []
        self._false_starts = 0
        self._replaced = 0
        self._threads_seen: set[int] = set()

    def run(self, cells: Sequence[Cell], worker: Callable[[], Worker]) -> Iterator[Outcome]:
        """Yield the outcome of every cell, in the order of finishing."""
        work = Work.of(cells, self.images, self.workers)
        try:
            while work.open():
                self._staff(work, worker)
                self._deal(work)
                for seat in self._speaking():
                    yield from self._listen(seat, work)
                yield from self._overstepped(work)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Send the workers home."""
        seats, self._seats = self._seats, []
        dismiss(seats)

    def about(self) -> dict[str, Any]:
        """Who did the work."""
        return {
            "workers": self.workers,
            "threads": sorted(self._threads_seen),
            "timeout": self.timeout,
            "memory": self.memory,
            "replaced": self._replaced,
        }

    # ------------------------------------------------------------------------------------------------- handing out work

    def _staff(self, work: Work, worker: Callable[[], Worker]) -> None:
        """Have as many workers as there is work for."""
        staying = [seat for seat in self._seats if not seat.leaving]
        wanted = min(self.workers, len(work) + sum(bool(seat.pieces) for seat in staying))
        for _ in range(wanted - len(staying)):
            self._seats.append(Seat(worker, self.threads, self._gpu()))

    def _gpu(self) -> str | None:
        """The GPU with the fewest workers."""
        if not self.gpus:
            return None
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(self.gpus)))
        used = [seat.gpu for seat in self._seats]
        return min(visible.split(",")[: self.gpus], key=used.count)

    def _deal(self, work: Work) -> None:
        """Give everybody one piece, and the quick ones some more; never so many that others go without."""
        fair = max(len(work) // max(len(self._seats), 1), 1)
        for seat in sorted(self._seats, key=lambda seat: len(seat.pieces)):
            while len(seat.pieces) < min(seat.depth(), fair) and (piece := work.take(seat.group)):
                seat.send(piece)

    # ----------------------------------------------------------------------------------------------- hearing of its end

    def _speaking(self) -> list[Seat]:
        """Who has something to say, or has died."""
        heard = wait([seat.pipe for seat in self._seats], LOOK_SECONDS)
        if heard:
            return [seat for seat in self._seats if seat.pipe in heard]
        # A process that a plugin has left behind may hold the pipe of a dead worker open.
        return [seat for seat in self._seats if not seat.process.is_alive()]

    def _listen(self, seat: Seat, work: Work) -> Iterator[Outcome]:
        heard = seat.hear() if seat.pipe.poll() else None
        if isinstance(heard, Report):
            yield from self._reported(seat, heard, work)
        elif isinstance(heard, Ready):
            seat.ready, self._false_starts = heard, 0
            self._threads_seen.add(heard.threads)
        else:
            yield from self._dead(seat, work)

    def _reported(self, seat: Seat, report: Report, work: Work) -> Iterator[Outcome]:
        piece = seat.pieces.popleft()
        seat.done, seat.pace = seat.done + 1, report.seconds
        if report.memory > self._share():
            seat.leaving = True
        if seat.leaving and not seat.pieces:
            self._remove(seat)
        yield from work.ended(piece, Outcome(piece.cell, report.status, report.reason, report.seconds, report.cached))

    def _share(self) -> float:
        """Bytes past which a worker is replaced by a fresh one."""
        whole = memory_gib() or float("inf")
        return (self.memory or 0.9 * whole / self.workers) * GIB

    def _dead(self, seat: Seat, work: Work) -> Iterator[Outcome]:
        code = self._remove(seat)
        if not seat.ready:
            self._false_start(seat, code, work)
        elif seat.pieces:
            status: Status = "interrupted" if code == INTERRUPTED else "failed"
            yield from self._cut_off(seat, status, f"the worker {ending(code)}", work)

    def _false_start(self, seat: Seat, code: int | None, work: Work) -> None:
        self._false_starts += 1
        if self._false_starts >= FALSE_STARTS:
            raise RuntimeError(f"{FALSE_STARTS} workers in a row did not begin: the last {ending(code)}")
        work.again(seat.pieces)

    def _remove(self, seat: Seat) -> int | None:
        self._seats.remove(seat)
        self._replaced += 1
        return seat.kill()

    def _cut_off(self, seat: Seat, status: Status, reason: str, work: Work) -> Iterator[Outcome]:
        """The piece that the worker was at has ended; those behind it go to others."""
        piece, *behind = seat.pieces
        seat.pieces = deque()
        work.again(behind)
        yield from work.ended(piece, Outcome(piece.cell, status, reason, seat.busy_seconds()))

    def _overstepped(self, work: Work) -> Iterator[Outcome]:
        """End what takes too long or too much."""
        for seat in [seat for seat in self._seats if seat.pieces and seat.ready]:
            if self.timeout and seat.busy_seconds() > self.timeout:
                self._remove(seat)
                reason = f"took longer than the {self.timeout:g} s that a cell may take (timeout={self.timeout:g})"
                yield from self._cut_off(seat, "timeout", reason, work)
            elif self.memory and (used := seat.memory()) > self.memory * GIB:
                yield from self._too_large(seat, used, work)

    def _too_large(self, seat: Seat, used: int, work: Work) -> Iterator[Outcome]:
        self._remove(seat)
        if seat.done:  # cells before it may have filled the worker: a fresh one will tell
            work.again(seat.pieces)
            seat.pieces = deque[Piece]()
            return
        reason = f"used {used / GIB:.2f} GiB, more than the {self.memory:g} a worker may use (memory={self.memory:g})"
        yield from self._cut_off(seat, "oom", reason, work)


def usable_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
