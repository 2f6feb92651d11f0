"""Several devices at one training: how many there are, and whether this process leads them."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# What launchers tell their processes: torchrun and Lightning the first four, Slurm the last.
RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")


@dataclass(frozen=True)
class Fleet:
    """How a training is done, which is no part of what is learned: the recipe's batches are shared among devices."""

    devices: int = 1  # per node
    nodes: int = 1
    compiled: bool = False

    @property
    def size(self) -> int:
        """Processes, each with its device."""
        return self.devices * self.nodes

    @property
    def helps(self) -> bool:
        """Whether another process leads, tells and keeps what is learned, and this one only computes."""
        return self.size > 1 and any(os.environ.get(name, "0") != "0" for name in RANKS)


def leave_with_the_leader() -> None:
    """End this process when the one that started it is gone: it would wait for that one for half an hour."""
    leader = os.getppid()

    def watch() -> None:
        while os.getppid() == leader:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


_FLEET: ContextVar[Fleet] = ContextVar("fleet", default=Fleet())  # noqa: B039  # it is frozen


def current() -> Fleet:
    """The devices that a training begun here is to use."""
    return _FLEET.get()


@contextlib.contextmanager
def using(fleet: Fleet) -> Iterator[None]:
    """Within it, trainings use these devices."""
    token = _FLEET.set(fleet)
    try:
        yield
    finally:
        _FLEET.reset(token)
