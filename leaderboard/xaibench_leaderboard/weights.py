"""How much each family of metrics counts in a mean rank."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from xaibench.errors import UsageError
from xaibench_leaderboard.board import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Mapping

# Cost is measured and ranked, but a cheap map is no better an explanation; and since times hardly vary between films,
# it would tell explainers apart that are equally good. Whoever wants it in the mean says `--weights cost=1`.
# Sanity is a gate: who fails it is not ranked, and who passes it is no better for it.
DEFAULT: Mapping[str, float] = {family: 0.0 if family in ("cost", "sanity") else 1.0 for family in FAMILIES}


def parse_weights(text: str) -> dict[str, float]:
    """Read `localisation=2,cost=0`; families that are not named keep their weight."""
    weights = dict(DEFAULT)
    for part in filter(None, (part.strip() for part in text.split(","))):
        family, mark, value = (piece.strip() for piece in part.partition("="))
        if family not in FAMILIES or not mark:
            msg = f"--weights {text}: {part!r} is no family=number; families are {', '.join(FAMILIES)}"
            raise UsageError(msg)
        weights[family] = _weight(text, value)
    if not any(weights.values()):
        msg = f"--weights {text}: every family has weight 0, so nothing is left to rank by"
        raise UsageError(msg)
    return weights


def _weight(text: str, value: str) -> float:
    try:
        weight = float(value)
    except ValueError:
        weight = math.nan
    if not (math.isfinite(weight) and weight >= 0):
        msg = f"--weights {text}: {value!r} is no weight; a weight is 0 or a positive number"
        raise UsageError(msg)
    return weight
