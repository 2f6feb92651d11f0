"""One worker process and what stands between it and us: a pipe, its death, its memory."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xaibench.contracts import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess
    from types import FrameType

    from xaibench.contracts import Cell, Status, Worker
    from xaibench.engines.work import Piece

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
INTERRUPTED = 130
GRACE_SECONDS = 5.0  # between asking a worker to stop and stopping it
GROUPS = hasattr(os, "killpg")  # of processes; Windows has none, and a plugin's own children may outlive it there
QUICK_SECONDS = 0.05  # cells quicker than this are sent ahead, so that a worker need not wait for the next
AHEAD = 4


@dataclass(frozen=True)
class Ready:
    """A worker has loaded what all cells need."""

    threads: int


@dataclass(frozen=True)
class Report:
    """How the first of the pieces that a worker was sent has ended."""

    status: Status
    reason: str
    seconds: float
    cached: bool
    memory: int  # bytes in use by the worker, 0 where the system does not tell


@dataclass
class Seat:
    """A place at which one worker process sits. A new one takes it when the old one has died."""

    worker: Callable[[], Worker]
    threads: int
    gpu: str | None
    pieces: deque[Piece] = field(default_factory=deque)  # sent and not reported; the first is being worked on
    ready: Ready | None = None
    leaving: bool = False  # it gets no more work
    done: int = 0
    group: Hashable = None
    pace: float = QUICK_SECONDS  # seconds of its last cell

    def __post_init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(
            target=serve, args=(theirs, self.worker, self.threads, self.gpu), name="xaibench worker"
        )
        self.process.start()
        theirs.close()  # else we would not see the end of it
        self.began = time.monotonic()

    def depth(self) -> int:
        """How many pieces it should have before it."""
        if self.leaving:
            return 0
        return AHEAD if self.ready and self.pace < QUICK_SECONDS else 1

    def send(self, piece: Piece) -> None:
        """Put a piece before the worker."""
        if not self.pieces:
            self.began = time.monotonic()
        self.pieces.append(piece)
        self.group = piece.group
        with suppress(BrokenPipeError, ConnectionResetError):  # it has died: whoever listens next finds out
            self.pipe.send(piece.cell)

    def hear(self) -> Ready | Report | None:
        """What the worker says; None if it has died."""
        try:
            heard: Ready | Report = self.pipe.recv()
        except (EOFError, OSError):
            return None
        self.began = time.monotonic()
        return heard

    def busy_seconds(self) -> float:
        """How long it has been at the piece it is at; what it takes to begin is not the piece's fault."""
        return time.monotonic() - self.began if self.pieces and self.ready else 0.0

    def memory(self) -> int:
        """Bytes the worker has in use."""
        return memory_of(self.process.pid) if self.process.pid else 0

    def kill(self) -> int | None:
        """End the worker now, with all processes that plugins may have left behind, and say how it had ended."""
        self.pipe.close()
        self.process.join(0.2)  # one that has died by itself has an exit code of its own
        code = self.process.exitcode
        if GROUPS:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid or 0, signal.SIGKILL)
        self.process.kill()
        self.process.join()
        return code


def dismiss(seats: list[Seat]) -> None:
    """Ask all to stop, give them a moment, and end those who have not."""
    for seat in seats:
        if seat.pieces:
            seat.process.terminate()
        else:
            seat.pipe.close()  # it waits for this
    deadline = time.monotonic() + GRACE_SECONDS
    for seat in seats:
        seat.process.join(max(deadline - time.monotonic(), 0))
    for seat in seats:
        seat.kill()


def ending(code: int | None) -> str:
    """How a process ended, in words."""
    if code is None:
        return "closed its pipe and did not end"
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    return f"was killed by {name}" + (
        " (from outside, or by a system that was short of memory)" if name == "SIGKILL" else ""
    )


def memory_of(pid: int) -> int:
    """Resident bytes of a process; 0 where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


# ------------------------------------------------------------------------------------------------- in the new process


def serve(pipe: Connection[Any, Any], make: Callable[[], Worker], threads: int, gpu: str | None) -> None:
    """Be a worker until the pipe is closed."""
    _settle(threads, gpu)
    try:
        ready = Ready(held_to(threads))
        worker = make()
        pipe.send(ready)
        while True:
            pipe.send(done(worker, pipe.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # nobody has any more work for us
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _settle(threads: int, gpu: str | None) -> None:
    """A group of our own, our own threads, no word on stdout, and an end when our parent ends."""
    if GROUPS:
        os.setsid()  # Ctrl-C is for the parent; and plugins' children can be ended together with us
    os.dup2(2, 1)  # what plugins print, on whatever level, is not the answer of the run
    faulthandler.enable()  # a segmentation fault says where
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    """A parent killed outright cannot tell us; without it our work goes nowhere."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        if GROUPS:
            os.killpg(0, signal.SIGKILL)
        os._exit(INTERRUPTED)


def held_to(threads: int) -> int:
    """Hold torch to so many threads, and say how many it has."""
    import torch  # heavy; the process that only hands out work does without

    torch.set_num_threads(threads)
    return torch.get_num_threads()


def done(worker: Worker, cell: Cell) -> Report:
    """Do a cell, and say how it ended."""
    try:
        outcome = worker.execute(cell)
    except Exception as error:  # it promised never to raise for a cell's fault: this is ours, and costs the cell too
        traceback.print_exc()
        outcome = Outcome(cell, "failed", f"{type(error).__name__}: {error}")
    return Report(outcome.status, outcome.reason, outcome.seconds, outcome.cached, memory_of(os.getpid()))
