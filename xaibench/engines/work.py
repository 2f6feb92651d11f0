"""What is left of a stage: cells, cut into pieces where they are large, in groups that need the same network."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from xaibench.contracts import Cell, Outcome, Status
from xaibench.store import SHARD
from xaibench.variants import parse

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

EACH = 8  # pieces for every worker, where cells can be shared out in so many
# What a cell is whose pieces ended differently: the worst of them.
GRAVITY: tuple[Status, ...] = ("failed", "oom", "timeout", "interrupted", "unavailable", "unsupported", "ok")


@dataclass(frozen=True)
class Piece:
    """What one worker does in one go: a cell or a part of it."""

    number: int  # of the cell in its stage
    cell: Cell
    group: Hashable
    attempt: int = 1


@dataclass
class Work:
    """The pieces that nobody has taken yet, and the ends of cells that others are still working on."""

    waiting: dict[Hashable, deque[Piece]] = field(default_factory=dict)
    taken: set[Hashable] = field(default_factory=set)
    cells: dict[int, Cell] = field(default_factory=dict)
    pieces_left: dict[int, int] = field(default_factory=dict)
    ends: dict[int, list[Outcome]] = field(default_factory=dict)

    @classmethod
    def of(cls, cells: Sequence[Cell], images: int, workers: int = 1) -> Work:
        """Cells of more than `images` samples are shared out, smaller ones where there are few; dear ones first.

        Otherwise all but one of the workers would wait for the last cell in the end.
        """
        work = cls(cells=dict(enumerate(cells)))
        if workers > 1:
            images = min(images, sum(cell.count for cell in cells) // (workers * EACH))
        for number, cell in sorted(work.cells.items(), key=lambda one: not is_dear(one[1])):
            pieces = [Piece(number, part, group_of(cell)) for part in parts(cell, images)]
            work.pieces_left[number], work.ends[number] = len(pieces), []
            work.waiting.setdefault(group_of(cell), deque()).extend(pieces)
        return work

    def __len__(self) -> int:
        return sum(map(len, self.waiting.values()))

    def open(self) -> bool:
        """Whether any cell has not ended."""
        return bool(self.pieces_left)

    def take(self, group: Hashable) -> Piece | None:
        """A piece for a worker that has the network of `group`: of that group, of one nobody has begun, of any."""
        open_groups = [name for name, pieces in self.waiting.items() if pieces]
        if not open_groups:
            return None
        if group not in open_groups:
            untouched = [name for name in open_groups if name not in self.taken]
            group = untouched[0] if untouched else max(open_groups, key=lambda name: len(self.waiting[name]))
        self.taken.add(group)
        return self.waiting[group].popleft()

    def again(self, pieces: Iterable[Piece]) -> None:
        """Whoever had taken these did not come to do them."""
        for piece in reversed(list(pieces)):
            self.waiting[piece.group].appendleft(piece)

    def ended(self, piece: Piece, outcome: Outcome) -> list[Outcome]:
        """The outcome of the cell, if this was its last piece."""
        self.ends[piece.number].append(outcome)
        self.pieces_left[piece.number] -= 1
        if self.pieces_left[piece.number]:
            return []
        del self.pieces_left[piece.number]
        return [joined(self.cells[piece.number], self.ends.pop(piece.number))]

    def given_up(self, status: Status, reason: str) -> list[Outcome]:
        """The outcomes of all cells that have not ended."""
        left, self.pieces_left = self.pieces_left, {}
        return [Outcome(self.cells[number], status, reason) for number in left]


def parts(cell: Cell, images: int) -> list[Cell]:
    """The cell, or parts of it that begin where shards begin."""
    size = max(images // SHARD, 1) * SHARD
    if cell.count <= size or cell.part:  # a part is not parted again
        return [cell]
    return [replace(cell, part=(start, min(start + size, cell.count))) for start in range(0, cell.count, size)]


def is_dear(cell: Cell) -> bool:
    """Whether it needs many passes, as far as its cards tell."""
    if cell.kind == "score":
        return "model" in cell.cards.get("metric", {}).get("needs", ())
    return cell.kind == "explain" and bool(cell.cards.get("explainer", {}).get("dear"))


def group_of(cell: Cell) -> Hashable:
    """What a worker has loaded for this cell, so that it need not be loaded again for the next."""
    network = parse(cell.identity.get("variant", "")).network
    references = tuple(cell.references.get(name) for name in ("task", "model", "weights"))
    return (*references, cell.identity["fold"], cell.identity["precision"], cell.identity["seed"], network)


def joined(cell: Cell, ends: Sequence[Outcome]) -> Outcome:
    """One outcome of several pieces: as bad as the worst, and as long as all together."""
    worst = min(ends, key=lambda end: GRAVITY.index(end.status))
    cached = all(end.cached for end in ends)
    return Outcome(cell, worst.status, worst.reason, sum(end.seconds for end in ends), cached)
