"""What classifiers said, with every seed apart: a board shows the newest training, an evaluation all repeats of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xaibench.contracts import Prediction
from xaibench.store import Store

if TYPE_CHECKING:
    from xaibench.places import Location
    from xaibench.store import Shard


@dataclass(frozen=True)
class Answers:
    """The predictions of one model with one set of weights, and how they came about."""

    prediction: Prediction
    seed: int
    seconds: tuple[float, ...]  # of the network alone, per image; () in older results


def answers_of(folder: Location) -> list[Answers]:
    """All in a results folder, in the order of their making; of one seed the newest weights count."""
    store = Store(folder).check()
    newest: dict[Any, tuple[dict[str, Any], dict[str, Any]]] = {}
    for run in store.runs():
        for row in run["subjects"]:
            if about := store.description(row["key"]):
                newest[(*sorted(row["labels"].items()), about["identity"]["seed"])] = (row, about)
    found = (_answers(store, row, about) for row, about in newest.values())
    return [answers for answers in found if answers]


def _answers(store: Store, row: dict[str, Any], about: dict[str, Any]) -> Answers | None:
    shards = store.shards(row["key"], row["count"])
    if not shards:
        return None
    prediction = Prediction(
        key=row["key"],
        labels=row["labels"],
        cards=about["cards"],
        classes=tuple(row["classes"]),
        ids=tuple(_column(shards, "ids")),
        patients=tuple(_column(shards, "patients")),
        truth=tuple(_column(shards, "truth")),
        logits=tuple(map(tuple, _column(shards, "logits"))),
        training=row["training"],
        weights=row["weights"],
    )
    timed = all("seconds" in shard.record for shard in shards)
    return Answers(prediction, about["identity"]["seed"], tuple(_column(shards, "seconds")) if timed else ())


def _column(shards: list[Shard], name: str) -> list[Any]:
    return [value for shard in shards for value in shard.column(name)]
