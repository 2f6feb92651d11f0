"""All that the page shows, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xaibench_leaderboard.page.curves import curves_content
from xaibench_leaderboard.page.models import model_content
from xaibench_leaderboard.page.provenance import Provenance, provenance_of
from xaibench_leaderboard.page.sizes import sizes_content, strata_by_cell
from xaibench_leaderboard.page.standings import ranking_content
from xaibench_leaderboard.page.tables import Names, board_content, keys_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xaibench.contracts import Results
    from xaibench_leaderboard.board import Board
    from xaibench_leaderboard.ranking import Ranking, Rankings

RANKED = ("task", "model", "target", "precision")


@dataclass(frozen=True)
class Drawn:
    """What a page is drawn from."""

    results: Results
    boards: Sequence[Board]
    rankings: Rankings
    gallery: Mapping[str, Any]


def content_of(drawn: Drawn) -> dict[str, Any]:
    """The whole content of the page; JSON can hold it."""
    names, keys, known = Names(), keys_of(drawn.results.scores), provenance_of(drawn.results)
    strata = strata_by_cell(drawn.results)
    boards = [
        {
            **board_content(board, keys, names),
            "ranking": _ranking_of(board, drawn.rankings.each),
            "curves": curves_content(board, keys),
            "sizes": sizes_content(board, strata),
            "seed": known.seed(board.labels),
        }
        for board in drawn.boards
    ]
    overall = drawn.rankings.overall
    return {
        "folder": drawn.results.folder.name,
        "whole_keys": keys.whole,
        "boards": boards,
        "metrics": [item | known.plugin("metric", item["label"]) for item in names.metrics.items],
        "explainers": [item | known.plugin("explainer", item["label"]) for item in names.explainers.items],
        "texts": names.texts.items,
        "models": [
            model_content(one) | known.plugin("model", one.labels["model"]) for one in drawn.results.predictions
        ],
        "tasks": _tasks(drawn.results, known),
        "rankings": [ranking_content(ranking) for ranking in drawn.rankings.each],
        "overall": ranking_content(overall) if overall else None,
        "gallery": dict(drawn.gallery),
    }


def _ranking_of(board: Board, rankings: Sequence[Ranking]) -> int:
    """Which ranking a board belongs to; -1 for none."""
    own = [board.labels.get(name, "") for name in RANKED]
    found = [at for at, one in enumerate(rankings) if [one.labels.get(name, "") for name in RANKED] == own]
    return found[0] if found else -1


def _tasks(results: Results, known: Provenance) -> dict[str, Any]:
    """The cards of the datasets."""
    cards = {one.labels["task"]: dict(one.cards.get("task", {})) for one in results.scores if "task" in one.labels}
    return {label: {"card": card, **known.plugin("task", label)} for label, card in cards.items()}
