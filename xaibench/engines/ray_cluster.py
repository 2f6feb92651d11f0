"""The engine of many machines: actors of a Ray cluster, each with one model; what a lost node had is done by others."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import signal
import socket
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xaibench.contracts import Card, Outcome
from xaibench.engines.replica import Replica
from xaibench.engines.work import Piece, Work
from xaibench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from xaibench.contracts import Cell, Worker
    from xaibench.engines.seat import Report

LOOK_SECONDS = 1.0
QUICK_SECONDS = 0.05  # cells quicker than this are sent several at once: a call takes about a millisecond
TOGETHER = 16
PROBE_SECONDS = 2.0
HEAD_SECONDS = 20.0  # a head that is away for longer is lost; after 60 Ray would end this process
LONGEST_START = 600.0  # seconds without any actor after which there is none to come


@dataclass(eq=False)
class Berth:
    """An actor and the call it is at."""

    actor: Any
    call: Any
    ready: bool = False
    pieces: list[Piece] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    pace: float = QUICK_SECONDS
    group: Hashable = None

    def idle(self) -> bool:
        """Whether it can be given work."""
        return self.ready and self.call is None


class Ray:
    """Cells on a Ray cluster.

    `address`: of a cluster that is there ("auto": the one this machine belongs to); empty: one is started here.
    `workers`: actors; 0: as many as the cluster has room for. `cpus`, `gpus`: what each of them takes of a node, in
    fractions if you like. `timeout`: seconds for a cell, or one part of a large cell; 0: any time. `retries`: how
    often a cell whose actor died is tried again elsewhere. `images`: larger cells are shared out in parts of so many.
    """

    card = Card(name="ray", summary="cells on a Ray cluster; what a lost node had is done by another")

    def __init__(
        self,
        address: str = "",
        workers: int = 0,
        cpus: float = 1.0,
        gpus: float = 0.0,
        threads: int = 1,
        timeout: float = 0.0,
        retries: int = 2,
        images: int = 256,
    ) -> None:
        if importlib.util.find_spec("ray") is None:
            raise UsageError("the engine ray needs Ray: pip install 'xaibench[ray]'")
        if min(workers, cpus, gpus, timeout, retries) < 0 or min(threads, images) < 1:
            raise ValueError("workers, cpus, gpus, timeout and retries cannot be negative, threads and images not 0")
        self.address, self.workers, self.cpus, self.gpus, self.threads = address, workers, cpus, gpus, threads
        self.timeout, self.retries, self.images = timeout, retries, images
        self._ray: Any = None
        self._berths: list[Berth] = []
        self._weights: dict[str, Any] = {}
        self._seen: set[tuple[str, int]] = set()
        self._lost = self._rooms = 0
        self._someone = self._answered = self._probed = 0.0  # when there last was an actor, an answer, a question
        self._head = self._headless = ""

    def run(self, cells: Sequence[Cell], worker: Callable[[], Worker]) -> Iterator[Outcome]:
        """Yield the outcome of every cell, in the order of finishing."""
        if self._headless:
            yield from Work.of(cells, self.images).given_up("interrupted", self._headless)
            return
        try:
            self._connect()
            work = Work.of(cells, self.images, self._rooms)
            self._put_weights(cells)
            self._someone = time.monotonic()
            while work.open():
                self._staff(work, worker)
                self._deal(work)
                for berth in self._speaking():
                    yield from self._listen(berth, work)
                yield from self._overdue(work)
                if self._head_is_lost():
                    yield from work.given_up("interrupted", self._headless)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the cluster its room back; one that was started here ends."""
        berths, self._berths = self._berths, []
        if self._ray is not None and not self._headless:  # without a head, Ray answers no call any more
            for berth in berths:
                self._ray.kill(berth.actor)
            self._ray.shutdown()
        self._weights, self._ray = {}, None

    def about(self) -> dict[str, Any]:
        """Who did the work."""
        return {
            "nodes": sorted({node for node, _ in self._seen}),
            "threads": sorted({threads for _, threads in self._seen}),
            "lost": self._lost,
        }

    # ---------------------------------------------------------------------------------------------------- the cluster

    def _connect(self) -> None:
        if self._ray is not None:
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing goes over the network unasked
        ray = importlib.import_module("ray")
        ours = signal.getsignal(signal.SIGTERM)
        # Without "local", Ray would look for whatever cluster was last on this machine, even a dead one.
        where: dict[str, Any] = {"address": self.address or "local"}
        where |= {} if self.address else {"include_dashboard": False}
        try:
            if re.fullmatch(r"[^:/]+:\d+", self.address):  # Ray itself would try for minutes
                _touch(self.address)
            ray.init(**where, log_to_driver=False, logging_level="WARNING", configure_logging=False)
        except (OSError, RuntimeError, ValueError) as error:
            msg = f"no Ray cluster at address {self.address!r}: {error}; without an address one is started here"
            raise UsageError(msg) from error
        signal.signal(signal.SIGTERM, ours)  # Ray's own would end us without a record
        self._ray, self._head, self._answered = ray, ray.get_runtime_context().gcs_address, time.monotonic()
        self._rooms = self._count_rooms()

    def _head_is_lost(self) -> bool:
        """Whether the head has not answered for a while: a restarted one knows nothing of our actors."""
        if time.monotonic() - self._probed > PROBE_SECONDS and self._head_answers():
            self._rooms = self._count_rooms()
        if time.monotonic() - self._answered > HEAD_SECONDS:
            self._headless = f"the head of the Ray cluster, {self._head}, is lost"
        return bool(self._headless)

    def _head_answers(self) -> bool:
        """Asked by a connection of our own: Ray's calls would wait for a minute, and then end this process."""
        self._probed = time.monotonic()
        try:
            _touch(self._head)
        except OSError:
            return False
        self._answered = time.monotonic()
        return True

    def _put_weights(self, cells: Sequence[Cell]) -> None:
        """Weights travel once to every node that has not got the file, however many actors it has."""
        for path in {cell.references["weights"] for cell in cells if "weights" in cell.references}:
            if path not in self._weights:
                self._weights[path] = self._ray.put(np.frombuffer(Path(path).read_bytes(), dtype=np.uint8))

    def _count_rooms(self) -> int:
        """Actors that the cluster, as it is now, has room for."""
        if self.workers:
            return self.workers
        total = self._ray.cluster_resources()
        rooms = [int(total.get(name, 0) / each) for name, each in (("CPU", self.cpus), ("GPU", self.gpus)) if each > 0]
        return max(min(rooms, default=1), 1)

    def _staff(self, work: Work, worker: Callable[[], Worker]) -> None:
        busy = sum(bool(berth.pieces) for berth in self._berths)
        for _ in range(min(self._rooms, len(work) + busy) - len(self._berths)):
            if not self._head_answers():
                return
            variables = {name: value for name, value in os.environ.items() if name.startswith("XAIBENCH_")}
            made = self._ray.remote(num_cpus=self.cpus, num_gpus=self.gpus, max_restarts=0)(Replica)
            actor = made.remote(worker, self.threads, variables)
            self._berths.append(Berth(actor, actor.about.remote()))

    # ------------------------------------------------------------------------------------------------- handing out work

    def _deal(self, work: Work) -> None:
        fair = max(len(work) // max(len(self._berths), 1), 1)
        for berth in [berth for berth in self._berths if berth.idle()]:
            several = TOGETHER if berth.pace < QUICK_SECONDS and not self.timeout else 1
            while len(berth.pieces) < min(several, fair) and (piece := work.take(berth.group)):
                berth.pieces.append(piece)
                berth.group = piece.group
                if piece.attempt > 1:
                    break
            if berth.pieces:
                self._send(berth)

    def _send(self, berth: Berth) -> None:
        cells = [piece.cell for piece in berth.pieces]
        paths = {cell.references["weights"] for cell in cells if "weights" in cell.references}
        berth.call = berth.actor.execute.remote(cells, {path: self._weights[path] for path in paths})
        berth.began = time.monotonic()

    # ----------------------------------------------------------------------------------------------- hearing of its end

    def _speaking(self) -> list[Berth]:
        calls = {berth.call: berth for berth in self._berths if berth.call is not None}
        done, _ = self._ray.wait(list(calls), num_returns=1, timeout=LOOK_SECONDS)
        if any(berth.ready for berth in self._berths):
            self._someone = time.monotonic()
        elif time.monotonic() - self._someone > LONGEST_START:
            raise RuntimeError(f"no actor began within {LONGEST_START:g} s; `ray status` shows what the cluster lacks")
        return [calls[call] for call in done]

    def _listen(self, berth: Berth, work: Work) -> Iterator[Outcome]:
        try:
            answer = self._ray.get(berth.call)
        except self._ray.exceptions.RayError as error:
            yield from self._gone(berth, error, work)
            return
        berth.call = None
        if not berth.ready:
            berth.ready = True
            self._seen.add(answer)
            return
        yield from self._reported(berth, answer, work)

    def _reported(self, berth: Berth, reports: list[Report], work: Work) -> Iterator[Outcome]:
        pieces, berth.pieces = berth.pieces, []
        for piece, report in zip(pieces, reports, strict=True):
            berth.pace = report.seconds
            outcome = Outcome(piece.cell, report.status, report.reason, report.seconds, report.cached)
            yield from work.ended(piece, outcome)

    def _gone(self, berth: Berth, error: Exception, work: Work) -> Iterator[Outcome]:
        """What it had is tried again, each piece alone; a piece that has had its share of actors has failed."""
        self._berths.remove(berth)
        self._lost += 1
        if not berth.ready and self._lost > 3 * max(len(self._berths), 1) and not self._seen:
            raise RuntimeError(f"actors end before they begin: {error}") from error
        for piece in berth.pieces:
            if piece.attempt <= self.retries:
                work.again([replace(piece, attempt=piece.attempt + 1)])
                continue
            told = " ".join(str(error).split())[:300]
            reason = f"the actor or its node was lost {piece.attempt} times: {type(error).__name__}: {told}"
            yield from work.ended(piece, Outcome(piece.cell, "failed", reason, time.monotonic() - berth.began))

    def _overdue(self, work: Work) -> Iterator[Outcome]:
        for berth in [berth for berth in self._berths if self.timeout and berth.pieces]:
            if (taken := time.monotonic() - berth.began) <= self.timeout:
                continue
            self._ray.kill(berth.actor)
            self._berths.remove(berth)
            reason = f"took longer than the {self.timeout:g} s that a cell may take (timeout={self.timeout:g})"
            for piece in berth.pieces:
                yield from work.ended(piece, Outcome(piece.cell, "timeout", reason, taken))


def _touch(address: str) -> None:
    """Connect to host:port and go away again; OSError if nobody is there."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), PROBE_SECONDS).close()
