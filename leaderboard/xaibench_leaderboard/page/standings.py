"""Rankings as the page holds them. The ranks per family travel along, so that the page can weigh them anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xaibench_leaderboard import wording
from xaibench_leaderboard.page.packing import rounded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xaibench_leaderboard.ranking import Agreement, CriticalDifference, Pairwise, Pareto, Ranking

RANK_DIGITS = 15  # ranks are compared in the page: rounding must not make equals of them
P_DIGITS = 2


def ranking_content(ranking: Ranking) -> dict[str, Any]:
    """One ranking."""
    return {
        "labels": dict(ranking.labels),
        "title": ranking.title,
        "weights": dict(ranking.weights),
        "metrics": {family: list(names) for family, names in ranking.metrics.items()},
        "standings": [
            {
                "explainer": one.explainer,
                "place": one.place,
                "low": one.low,
                "high": one.high,
                "tied": one.tied,
                "mean_rank": rounded(one.mean_rank, RANK_DIGITS),
                "families": {family: rounded(rank, RANK_DIGITS) for family, rank in one.families.items()},
                "quality": rounded(one.quality),
            }
            for one in ranking.standings
        ],
        "unranked": [
            {"explainer": one.explainer, "reason": one.reason, "gated": one.gated} for one in ranking.unranked
        ],
        "notes": [*filter(None, [wording.too_few(ranking)]), *ranking.notes],
        "limited": ranking.limited,
        "patients": ranking.patients,
        "critical": _critical(ranking.critical),
        "pairwise": _pairwise(ranking.pairwise),
        "agreement": _agreement(ranking.agreement),
        "pareto": [_pareto(one) for one in ranking.pareto],
    }


def _critical(found: CriticalDifference | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "explainers": list(found.explainers),
        "ranks": [rounded(rank) for rank in found.mean_ranks],
        "blocks": found.blocks,
        "unit": found.unit,
        "level": found.level,
        "statistic": rounded(found.statistic),
        "p": rounded(found.p),
        "distance": rounded(found.distance),
        "bars": [list(bar) for bar in found.bars],
    }


def _pairwise(found: Pairwise | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "explainers": list(found.explainers),
        "blocks": found.blocks,
        "unit": found.unit,
        "p": _above_diagonal(found.p),
        "better": _above_diagonal(found.better),
        "worse": _below_diagonal(found.better),
    }


def _above_diagonal(matrix: Sequence[Sequence[float]]) -> list[list[float | None]]:
    return [[rounded(value, P_DIGITS) for value in row[at + 1 :]] for at, row in enumerate(matrix)]


def _below_diagonal(matrix: Sequence[Sequence[float]]) -> list[list[float | None]]:
    """The mirrored places, in the order of `_above_diagonal`."""
    return [[rounded(matrix[to][at], P_DIGITS) for to in range(at + 1, len(matrix))] for at in range(len(matrix))]


def _agreement(found: Agreement | None) -> dict[str, Any] | None:
    if found is None:
        return None
    tau = [[rounded(value, 3) for value in row] for row in found.tau]
    return {"metrics": list(found.metrics), "tau": tau, "explainers": found.explainers}


def _pareto(found: Pareto) -> dict[str, Any]:
    points = [[one.explainer, rounded(one.quality), rounded(one.cost), one.front] for one in found.points]
    return {"metric": found.metric, "unit": found.unit, "points": points}
