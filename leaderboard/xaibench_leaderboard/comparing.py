"""What changed between two runs: the difference of every score that both have, on the images that both have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from xaibench_leaderboard.statistics import Estimate, estimates

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import TypeAlias

    from xaibench.contracts import Result, Results

    Change: TypeAlias = Literal["better", "worse", "higher", "lower", "no clear change", "the same", "added", "removed"]

LABELS = ("task", "fold", "model", "target", "precision", "explainer", "metric")


@dataclass(frozen=True)
class Difference:
    """One row of the comparison. `after` minus `before`, paired by image, with an interval over patients."""

    labels: Mapping[str, str]
    change: Change
    before: float | None
    after: float | None
    difference: Estimate | None  # None: they share no image with a value
    note: str  # what else changed: status, version, images


def compare(before: Results, after: Results) -> Iterator[Difference]:
    """Every score that is in either, in the order of the second, then what is gone."""
    olds, news = _by_labels(before), _by_labels(after)
    for labels, new in news.items():
        old = olds.get(labels)
        yield _compared(old, new) if old else _alone(new, "added")
    for labels, old in olds.items():
        if labels not in news:
            yield _alone(old, "removed")


def _by_labels(results: Results) -> dict[tuple[str, ...], Result]:
    return {tuple(one.labels.get(name, "") for name in LABELS): one for one in results.scores}


def _mean(result: Result) -> float | None:
    values = [value for value in result.values if value is not None]
    return float(np.mean(values)) if values else None


def _alone(result: Result, change: Change) -> Difference:
    mean = _mean(result)
    before, after = (None, mean) if change == "added" else (mean, None)
    return Difference(result.labels, change, before, after, None, _status(result))


def _compared(old: Result, new: Result) -> Difference:
    values = dict(zip(old.ids, old.values, strict=True))
    pairs = [
        (value - before, who)
        for image, who, value in zip(new.ids, new.patients, new.values, strict=True)
        if value is not None and (before := values.get(image)) is not None
    ]
    found = None
    if pairs:
        found = estimates(np.array([[gap for gap, _ in pairs]]), [who for _, who in pairs])[0]
    return Difference(new.labels, _change(found, new), _mean(old), _mean(new), found, _note(old, new, len(pairs)))


def _change(found: Estimate | None, result: Result) -> Change:
    """Better or worse only where the interval excludes no change, and the metric knows what is better."""
    if found is None:
        return "no clear change"
    if found.mean == 0 and found.sd in (0, None):
        return "the same"
    if found.low is None or found.high is None or found.low <= 0 <= found.high:
        return "no clear change"
    card = result.cards.get("metric", {})
    if not card.get("claims_quality", True) and card.get("family") != "cost":
        return "higher" if found.low > 0 else "lower"
    return "better" if (found.low > 0) == bool(card.get("higher_is_better", True)) else "worse"


def _note(old: Result, new: Result, shared: int) -> str:
    told = [text for text in (_status(old) and f"before: {_status(old)}", _status(new)) if text]
    told += [
        f"{kind} version {old.cards.get(kind, {}).get('version')} -> {new.cards.get(kind, {}).get('version')}"
        for kind in ("task", "model", "explainer", "metric")
        if old.cards.get(kind, {}).get("version") != new.cards.get(kind, {}).get("version")
    ]
    if old.status == new.status == "ok" and (len(old.ids), len(new.ids)) != (shared, shared):
        told.append(f"{len(old.ids)} images before, {len(new.ids)} after, {shared} compared")
    return "; ".join(told)


def _status(result: Result) -> str:
    return "" if result.status == "ok" else f"{result.status} ({result.reason})" if result.reason else result.status
