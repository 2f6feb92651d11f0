"""Which explainer would have warned that the model looks at the film marker instead of the breast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from xaibench_leaderboard.board import boards_of
from xaibench_leaderboard.statistics import mean_estimate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    from xaibench.contracts import Result, Results
    from xaibench_leaderboard.board import Board, Row, Score
    from xaibench_leaderboard.statistics import Estimate

    Values: TypeAlias = Mapping[tuple[str, str], float]
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


def shortcuts_of(results: Results) -> tuple[Shortcut, ...]:
    """A report for every board whose images carry the marker."""
    scores = {one.key: one for one in results.scores}
    return tuple(report for board in boards_of(results) if (report := _shortcut(board, scores)))


def _shortcut(board: Board, scores: Mapping[str, Result]) -> Shortcut | None:
    marker, lesion = board.column(MARKER), board.column(LESION)
    if marker is None or lesion is None or not any(_measured(row.scores[marker]) for row in board.rows):
        return None
    floors = {
        row.explainer: _values(row.scores[marker], scores)
        for row in board.references
        if row.reference == "floor" and _measured(row.scores[marker])
    }
    noise = {row.explainer for row in board.references if row.name == NOISE}
    return Shortcut(
        board,
        tuple(
            Witness(
                row,
                row.scores[marker],
                row.scores[lesion],
                *_verdict(_values(row.scores[marker], scores), floors, noise & floors.keys()),
            )
            for row in board.methods
        ),
        tuple(Witness(row, row.scores[marker], row.scores[lesion], "", "") for row in board.references),
    )


def _verdict(own: Values, floors: Mapping[str, Values], noise: set[str]) -> tuple[Verdict, str]:
    """An explainer reveals the marker if it shows more of it than noise, and than every floor: edges are bright there.

    They are compared image by image: what makes a marker easy or hard to hit makes it so for both.
    """
    if not noise:
        return "unknown", f"no row {NOISE} to compare with"
    gaps = {name: _gap(own, floor) for name, floor in floors.items()}
    if any(gap is None or gap.low is None for name, gap in gaps.items() if name in noise):
        return "unknown", "no interval for this explainer"
    more = {name for name, gap in gaps.items() if gap and gap.low is not None and gap.low > 0}
    if less := sorted(name for name, gap in gaps.items() if gap and gap.high is not None and gap.high < 0):
        return "no", f"less than {', '.join(less)}"
    if level := sorted(floors.keys() - more):
        return "unclear", f"not clearly more than {', '.join(level)}"
    return "yes", "more than every floor"


def _measured(score: Score | None) -> bool:
    return score is not None and score.estimate is not None


def _values(score: Score | None, scores: Mapping[str, Result]) -> Values:
    """What is defined, by image and patient."""
    found = scores.get(score.key) if score is not None and score.status == "ok" else None
    if found is None:
        return {}
    rows = zip(found.ids, found.patients, found.values, strict=True)
    return {(name, patient): value for name, patient, value in rows if value is not None}


def _gap(one: Values, other: Values) -> Estimate | None:
    shared = [key for key in one if key in other]
    return mean_estimate([one[key] - other[key] for key in shared], [patient for _, patient in shared])
