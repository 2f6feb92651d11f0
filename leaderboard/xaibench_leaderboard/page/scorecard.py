"""The scorecard: what a results folder answers of the four questions that a regulator's framework asks of explanations.

The terms are those of Lago et al., "Evaluating explanations of AI for medical images" (arXiv 2506.13917).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from xaibench_leaderboard.board import Board, Column

CITATION = "Lago et al., arXiv 2506.13917"


@dataclass(frozen=True)
class Criterion:
    """One of the four questions."""

    name: str
    question: str
    families: tuple[str, ...]
    missing: str  # what no metric of this kind measures, whatever was run


@dataclass(frozen=True)
class Answer:
    """What a folder holds on one question."""

    criterion: Criterion
    measured: tuple[str, ...]  # metrics which passed the audit, or were not audited
    distrusted: tuple[str, ...]  # metrics which failed it

    @property
    def verdict(self) -> str:
        """In one word or two."""
        if self.measured:
            return "measured"
        return "measured by nothing that can be trusted" if self.distrusted else "not measured"


CRITERIA = (
    Criterion(
        "Consistency",
        "Does the explanation stay the same when what should not matter changes: seed, noise, training?",
        ("stability", "robustness"),
        "Whether the explanations of a newly trained model agree is measured only where runs with several trainings "
        "are in the folder.",
    ),
    Criterion(
        "Plausibility",
        "Does it lie where a reader sees the lesion?",
        ("localisation",),
        "Masks are the opinion of few readers; a model may be right for a reason that no mask holds, and then a low "
        "score is no fault of the explanation.",
    ),
    Criterion(
        "Fidelity",
        "Does it show what the model used?",
        ("faithfulness", "sanity"),
        "On real images nobody knows what the model used: fidelity is measured by changing the image, and the "
        "change itself leaves the data the model knows. Models with provable evidence show how far that goes.",
    ),
    Criterion(
        "Usefulness",
        "Does it help the person who reads it to decide better?",
        (),
        "Nothing computed can answer this: it needs a study with readers. No number here is one.",
    ),
)


def answers(boards: Iterable[Board]) -> tuple[Answer, ...]:
    """The four questions and what the boards say of them."""
    columns = list({column.label: column for board in boards for column in board.columns}.values())
    return tuple(_answer(criterion, columns) for criterion in CRITERIA)


def _answer(criterion: Criterion, columns: Sequence[Column]) -> Answer:
    # What a map does on a marker is no question of this framework.
    own = [one for one in columns if one.card.get("family") in criterion.families and not one.card.get("region")]
    return Answer(
        criterion,
        tuple(column.label for column in own if not column.greyed),
        tuple(column.label for column in own if column.greyed),
    )
