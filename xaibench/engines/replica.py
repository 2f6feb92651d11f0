"""What sits on a node of a Ray cluster: one worker with one model, and its weights where the node has none."""

from __future__ import annotations

import os
import platform
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xaibench.caching import cache_root
from xaibench.engines.seat import THREAD_VARIABLES, Report, done, held_to
from xaibench.files import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from xaibench.contracts import Cell, Worker


class Replica:
    """An actor: does what it is sent, one cell after another."""

    def __init__(self, make: Callable[[], Worker], threads: int, variables: Mapping[str, str]) -> None:
        # A node was started by someone else, with an environment of its own.
        os.environ.update({**variables, **dict.fromkeys(THREAD_VARIABLES, str(threads))})
        self.threads = held_to(threads)
        self.worker = make()

    def about(self) -> tuple[str, int]:
        """Where it is, and how many threads it has."""
        return platform.node(), self.threads

    def execute(self, cells: Sequence[Cell], weights: Mapping[str, Any]) -> list[Report]:
        """How each of the cells ended. `weights`: path -> object of the cluster with the file's bytes."""
        return [done(self.worker, _with_local_weights(cell, weights)) for cell in cells]


def _with_local_weights(cell: Cell, weights: Mapping[str, Any]) -> Cell:
    path = cell.references.get("weights")
    if path is None or path not in weights or Path(path).exists():
        return cell
    import ray  # an extra; whoever is here runs in it

    return replace(cell, references={**cell.references, "weights": str(kept(ray.get(weights[path]).tobytes()))})


def kept(content: bytes) -> Path:
    """Weights as a file of this node, written once however many replicas ask."""
    path: Path = cache_root() / "weights" / "sent" / f"{digest(content)}.safetensors"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}")
        beside.write_bytes(content)
        beside.replace(path)
    return path
