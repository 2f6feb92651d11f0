"""What cells took in earlier runs into the same folder, on this machine and in the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xaibench.environment import here
from xaibench.estimate_cost import Cost
from xaibench.identity import key_of

if TYPE_CHECKING:
    from xaibench.contracts import Cell
    from xaibench.runner import Request
    from xaibench.store import Store

# What of an identity does not change the cost: other weights of the same network take as long.
BESIDE = {"weights", "own_weights", "weights_of_variants", "seed", "fold"}
SAME = ("device", "batch_size", "engine")  # of the request


class History:
    """Seconds per image of what was done before."""

    def __init__(self, store: Store, request: Request) -> None:
        self.store = store
        self.rows: dict[str, dict[str, Any]] = {}
        self.surroundings = here()
        wanted = {name: getattr(request, name) for name in SAME}
        for run in store.runs():
            if {name: run["request"].get(name) for name in SAME} == wanted and self._is_here(run):
                self._learn(run)

    def _is_here(self, run: dict[str, Any]) -> bool:
        environment = self.store.environment(run["environment"])
        return all(environment.get(name) == value for name, value in self.surroundings.items())

    def _learn(self, run: dict[str, Any]) -> None:
        for row in run["cells"]:
            if row["status"] == "ok" and row.get("seconds") and (about := self.store.description(row["key"])):
                self.rows[family(about["identity"])] = row

    def cost(self, cell: Cell) -> Cost | None:
        """Of a cell like one that was done; None if none was."""
        if (row := self.rows.get(family(cell.identity))) is None:
            return None
        forward, backward = self._passes(row, cell)
        return Cost(row["seconds"] / row["count"] * cell.count, forward, backward, None, "an earlier run")

    def _passes(self, row: dict[str, Any], cell: Cell) -> tuple[float | None, float | None]:
        """Counted then; scores do not say."""
        if cell.kind != "explain" or not (shards := self.store.shards(row["key"], row["count"])):
            return None, None
        forward, backward = (
            sum(sum(shard.column(name)) for shard in shards) / row["count"] * cell.count
            for name in ("forward", "backward")
        )
        return forward, backward


def family(identity: Any) -> str:
    """The same for all that takes as long."""
    return key_of({name: value for name, value in identity.items() if name not in BESIDE})
