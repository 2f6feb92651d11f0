"""Which explainer would have warned that the model looks at the film marker instead of the breast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TypeAlias

    from xaibench_leaderboard.board import Board, Row, Score
    from xaibench_leaderboard.statistics import Estimate

    Verdict: TypeAlias = Literal["yes", "unclear", "no", "unknown", ""]

MARKER, LESION, NOISE = "energy-marker", "energy", "random"


@dataclass(frozen=True)
class Witness:
    """An explainer, the share of its energy on marker and lesion, and whether it gives the marker away.

    References get no verdict: they never look at the model.
    """

    row: Row
    marker: Score | None
    lesion: Score | None
    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class Shortcut:
    """What one board says about the marker."""

    board: Board
    methods: tuple[Witness, ...]
    references: tuple[Witness, ...]

    @property
    def taken(self) -> bool:
        """Whether there is something to warn of: accuracy collapsed, or the model provably sees the marker alone."""
        found = self.board.accuracy
        return found is not None and (found.collapsed or found.evidence == "marker")

    @property
    def revealing(self) -> tuple[str, ...]:
        """The explainers that give the marker away."""
        return tuple(witness.row.explainer for witness in self.methods if witness.verdict == "yes")


def shortcuts_of(boards: Iterable[Board]) -> tuple[Shortcut, ...]:
    """A report for every board whose images carry the marker."""
    return tuple(report for board in boards if (report := _shortcut(board)))


def _shortcut(board: Board) -> Shortcut | None:
    marker, lesion = board.column(MARKER), board.column(LESION)
    if marker is None or lesion is None or not any(_estimate(row, marker) for row in board.rows):
        return None
    floors = {
        row.explainer: found
        for row in board.references
        if row.reference == "floor" and (found := _estimate(row, marker))
    }
    noise = {row.explainer for row in board.references if row.name == NOISE}
    return Shortcut(
        board,
        tuple(
            Witness(row, row.scores[marker], row.scores[lesion], *_verdict(_estimate(row, marker), floors, noise))
            for row in board.methods
        ),
        tuple(Witness(row, row.scores[marker], row.scores[lesion], "", "") for row in board.references),
    )


def _verdict(own: Estimate | None, floors: Mapping[str, Estimate], noise: set[str]) -> tuple[Verdict, str]:
    """An explainer reveals the marker if it stands clear of noise, and of every floor: edges are bright there too."""
    if own is None or own.low is None:
        return "unknown", "no interval for this explainer"
    clear = {name for name, floor in floors.items() if floor.high is not None and own.low > floor.high}
    random = noise & floors.keys()
    if not random:
        return "unknown", f"no row {NOISE} to compare with"
    if not random <= clear:
        return "no", "no more than noise puts there"
    if level := sorted(floors.keys() - clear):
        return "unclear", f"more than noise, but {', '.join(level)} may show as much without looking at the model"
    return "yes", "more than every floor"


def _estimate(row: Row, at: int) -> Estimate | None:
    score = row.scores[at]
    return score.estimate if score else None
