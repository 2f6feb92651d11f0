"""Which weights are wanted, and whether they are there already: no torch, so that resuming a run is quick."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from xaibench.caching import cache_root
from xaibench.files import read_json
from xaibench.identity import key_of, plugin_identity, task_identity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from xaibench.registry import Loaded


@dataclass(frozen=True)
class Prepared:
    """Weights ready to be benchmarked. `file` is None for a network that needs no training."""

    digest: str
    file: Path | None
    report: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Order:
    """What is to be prepared: the same order, the same weights."""

    model: Loaded
    task: Loaded
    fold: int
    seed: int

    def folder(self) -> Path:
        """Where the weights are kept once they are complete."""
        key = key_of(
            {
                "model": plugin_identity(self.model),
                "task": task_identity(self.task),
                "fold": self.fold,
                "seed": self.seed,
            }
        )
        root: Path = cache_root()
        return root / "weights" / f"{self.model.name}-{self.task.name}-{key}"

    def find(self) -> Prepared | None:
        """The weights, if an earlier run has made them."""
        folder = self.folder()
        card = read_json(folder / "card.json")
        if not isinstance(card, dict) or not (folder / "weights.safetensors").exists():
            return None
        return Prepared(card["digest"], folder / "weights.safetensors", card["report"])
