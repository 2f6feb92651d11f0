"""From a results folder to what reports draw: the newest cell of every row, with its values per image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xaibench.contracts import Prediction, Result, Results
from xaibench.store import Shard, Store, cell_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xaibench.places import Location

Row = dict[str, Any]


def load_results(folder: Location) -> Results:
    """All that is in a results folder. Of rows with the same labels, the newest run's counts."""
    store = Store(folder).check()
    runs = store.runs()
    predictions = (_prediction(store, row) for row in _newest(store, (row for run in runs for row in run["subjects"])))
    scores = (_result(store, row) for row in _newest(store, _score_rows(runs)))
    return Results(
        folder=folder,
        predictions=tuple(prediction for prediction in predictions if prediction),
        scores=tuple(scores),
        audit=_audits(store),
        environment=store.environment(runs[-1]["environment"]) if runs else {},
    )


def _score_rows(runs: list[Row]) -> Iterable[Row]:
    return (row for run in runs for row in run["cells"] if row["kind"] == "score")


def _newest(store: Store, rows: Iterable[Row]) -> list[Row]:
    """One row per set of labels: the newest run's work, with the most samples that any run finished of it."""
    found: dict[tuple[tuple[str, str], ...], dict[str, dict[int, Row]]] = {}
    for row in rows:
        keys = found.setdefault(tuple(sorted(row["labels"].items())), {})
        counts = keys.pop(row["key"], {})  # and in again at the end: the last key is the newest
        keys[row["key"]] = counts | {row["count"]: row}
    return [_fullest(store, list(keys.values())[-1]) for keys in found.values()]


def _fullest(store: Store, counts: dict[int, Row]) -> Row:
    finished = [count for count in counts if store.shards(counts[count]["key"], count) is not None]
    return counts[max(finished or counts)]


def _prediction(store: Store, row: Row) -> Prediction | None:
    shards, description = store.shards(row["key"], row["count"]), store.description(row["key"])
    if shards is None or description is None:
        return None
    return Prediction(
        key=row["key"],
        labels=row["labels"],
        cards=description["cards"],
        classes=tuple(row["classes"]),
        ids=tuple(_column(shards, "ids")),
        patients=tuple(_column(shards, "patients")),
        truth=tuple(_column(shards, "truth")),
        logits=tuple(map(tuple, _column(shards, "logits"))),
        training=row["training"],
        weights=row["weights"],
    )


def _result(store: Store, row: Row) -> Result:
    shards = store.shards(row["key"], row["count"])
    description = store.description(row["key"])
    if shards is None or description is None:
        return _unfinished(store, row, description["cards"] if description else row["cards"])
    columns = {name: _column(shards, name) for name in ("applies", "ids", "patients", "values", "flaws")}
    chosen = [index for index, applies in enumerate(columns["applies"]) if applies]
    shares = _column(shards, "lesion_share") if all("lesion_share" in shard.record for shard in shards) else []
    curves = _column(shards, "curves") if description["cards"]["metric"].get("curve") else []
    return Result(
        key=row["key"],
        labels=row["labels"],
        cards=description["cards"],
        status="ok",
        ids=tuple(columns["ids"][index] for index in chosen),
        patients=tuple(columns["patients"][index] for index in chosen),
        values=tuple(columns["values"][index] for index in chosen),
        failed=tuple(bool(columns["flaws"][index]) for index in chosen),
        curves=tuple(curves[index] and tuple(curves[index]) for index in chosen) if curves else (),
        shares=tuple(shares[index] for index in chosen) if shares else (),
        count=row["count"],
        total=row["total"],
    )


def _unfinished(store: Store, row: Row, cards: Any) -> Result:
    """A cell without values, and why: known before the run, or recorded by the last attempt."""
    status, reason = row["status"], row["reason"]
    if trouble := store.troubles(row["key"]):
        status, reason = trouble["status"], trouble["reason"]
    if store.damaged_description(row["key"]):
        status, reason = "failed", f"what it was is torn: remove {cell_name(row['key'])}, and run again"
    if status in ("planned", "ok"):
        status, reason = "interrupted", "not finished yet; the same command goes on with it"
    counts = {"count": row["count"], "total": row["total"]}
    return Result(key=row["key"], labels=row["labels"], cards=cards, status=status, reason=reason, **counts)


def _audits(store: Store) -> dict[str, dict[str, Any]]:
    """Verdicts by task and metric; the newest where there are several."""
    found: dict[str, dict[str, Any]] = {}
    for verdict in sorted(store.audits(), key=lambda verdict: float(verdict["at"])):
        found.setdefault(verdict["task"], {})[verdict["metric"]] = verdict
    return found


def _column(shards: list[Shard], name: str) -> list[Any]:
    return [value for shard in shards for value in shard.column(name)]
