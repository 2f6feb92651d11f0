"""Short trials of cells: the very code of a run, on a few images, in a folder that is thrown away."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xaibench.allocator import keep_memory
from xaibench.execution import CellWorker
from xaibench.store import SHARD, spans
from xaibench.workbench import Setting

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xaibench.contracts import Cell

PATIENCE = 1.0  # seconds; what takes longer for one image is not tried on more
STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Trial:
    """What a cell took for so many images."""

    count: int
    seconds: float
    inside: float  # of these in the explainer, measured as the run measures it; 0 for other cells
    forward: float  # per image
    backward: float
    peak: int | None  # bytes of the whole process; None where the system does not tell
    base: int | None  # of these before the cell began
    batch: int
    plain: bool  # an explanation that is no variant has one image go ahead
    shard: float = 0.0  # seconds of a score for every shard, however many images it has

    def seconds_for(self, count: int, *, variant: bool = False) -> float:
        """Of the same cell with so many images."""
        if not self.inside:
            each = (self.seconds - self.shard * len(spans(self.count))) / self.count
            return each * count + self.shard * len(spans(count))
        each = self.inside / self.count
        ahead = each if self.plain and self.count > 1 else 0.0  # one that is tried on one image alone pays for imports
        rest = max(0.0, self.seconds - self.inside - ahead) if self.count > 1 else 0.0
        return each * (count + (not variant)) + rest * len(spans(count)) / len(spans(self.count))

    def peak_for(self, batch: int) -> int | None:
        """In batches of this size: what gradients need grows with them, masked images have a batch of their own."""
        if self.peak is None or self.base is None:
            return None
        growth = max(1.0, batch / min(self.count, self.batch)) if self.backward else 1.0
        return round(self.base + (self.peak - self.base) * growth)


class Probe:
    """A worker for trials. Cells may be tried again on more images; the inputs of a cell must have been tried first."""

    def __init__(self, folder: Path, device: str, batch_size: int) -> None:
        keep_memory()
        self.worker = CellWorker(Setting(folder, device, batch_size, "trial"))
        self.worker.bench.store.open()
        self.batch_size = batch_size

    def tried(self, cell: Cell, count: int) -> Trial | str:
        """Do the first so many images; if it cannot be done, why."""
        cell = replace(cell, count=min(count, cell.total))
        bench = self.worker.bench
        counters = bench.classifier(cell).counters
        before, base = (counters.forward, counters.backward), _resident(forget_peak=True)
        outcome = self.worker.execute(cell)
        if outcome.status != "ok":
            return f"{outcome.status}: {outcome.reason}"
        inside = 0.0
        passes: tuple[float, float] = (counters.forward - before[0], counters.backward - before[1])
        if cell.kind == "explain":
            columns = self._columns(cell, "seconds", "forward", "backward")
            inside, passes = columns["seconds"], (columns["forward"], columns["backward"])
        each = [value / cell.count for value in passes]
        batch, plain = bench.batch_size(cell), not cell.identity.get("variant")
        return Trial(cell.count, outcome.seconds, inside, each[0], each[1], _resident(), base, batch, plain)

    def adaptive(self, cell: Cell, most: int = SHARD) -> Trial | str:
        """One image first, which also pays for imports; if it is quick, as many as a shard has."""
        first = self.tried(cell, 1)
        if isinstance(first, str) or min(most, cell.count) == 1:
            return first
        each = first.inside or first.seconds
        if each > PATIENCE:
            return first if first.inside else self.tried(cell, 2)
        enough = most if each * most < 4 * PATIENCE else min(most, self.batch_size)
        return self.tried(cell, enough) if first.inside else self._score(cell, enough)

    def _score(self, cell: Cell, most: int) -> Trial | str:
        """Two trials, which tell what each image takes from what each shard does."""
        few, many = self.tried(cell, 2), self.tried(cell, most)
        if isinstance(few, str) or isinstance(many, str) or many.count <= few.count:
            return many
        each = max(0.0, (many.seconds - few.seconds) / (many.count - few.count))
        return replace(many, shard=min(many.seconds, max(0.0, few.seconds - each * few.count)))

    def _columns(self, cell: Cell, *names: str) -> dict[str, float]:
        shards = self.worker.bench.store.shards(cell.key, cell.count) or []
        return {name: float(sum(sum(shard.column(name)) for shard in shards)) for name in names}

    def shows_all(self, cell: Cell, count: int) -> bool:
        """Whether all of these maps show something; makes them first."""
        return not isinstance(self.tried(cell, count), str) and self.shown(cell, count) == 1.0

    def shown(self, cell: Cell, count: int) -> float:
        """How many of these maps, which have been made, are neither flat nor broken: a metric would skip them."""
        shards = self.worker.bench.store.shards(cell.key, min(count, cell.total)) or []
        maps = [one for shard in shards for one in shard.maps()]
        return float(np.mean([np.isfinite(one).all() and one.max() > max(0.0, one.min()) for one in maps] or [0.0]))


def _resident(*, forget_peak: bool = False) -> int | None:
    """The peak of this process's memory since it was last forgotten; what it has now, if it is to be forgotten."""
    if forget_peak:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS" if forget_peak else "VmHWM")


def _status(name: str) -> int | None:
    try:
        found: Any = re.search(rf"{name}:\s+(\d+) kB", STATUS.read_text())
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def cheapest(cells: Iterable[Cell], trials: dict[str, Trial]) -> list[Cell]:
    """Those that were tried, the cheapest first."""
    known = [cell for cell in cells if cell.key in trials]
    return sorted(known, key=lambda cell: trials[cell.key].inside / trials[cell.key].count)
