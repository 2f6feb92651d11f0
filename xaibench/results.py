"""From a results folder to what reports draw: the newest cell of every row, with its values per image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xaibench.contracts import Prediction, Result, Results
from xaibench.store import Store, cell_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xaibench.places import Location

Row = dict[str, Any]
SCORED = ("applies", "ids", "patients", "values", "flaws", "lesion_share", "curves")


def load_results(folder: Location) -> Results:
    """All that is in a results folder. Of rows with the same labels, the newest run's counts."""
    store = Store(folder).check()
    runs = store.runs()
    columns = _Columns(store)
    subjects = _newest(store, (row for run in runs for row in run["subjects"]))
    predictions = (_prediction(store, row, columns) for row in subjects)
    scores = (_result(store, row, columns) for row in _newest(store, _score_rows(runs)))
    return Results(
        folder=folder,
        predictions=tuple(prediction for prediction in predictions if prediction),
        scores=tuple(scores),
        audit=_audits(store),
        environment=store.environment(runs[-1]["environment"]) if runs else {},
    )


class _Columns:
    """Columns of whole cells, read shard by shard. What many rows have in common, such as ids, is held once."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._known: dict[tuple[Any, ...], tuple[Any, ...]] = {}

    def read(self, row: Row, names: Iterable[str]) -> dict[str, list[Any]] | None:
        """The columns of these names that all shards have; None if a shard is missing."""
        found: dict[str, list[Any]] = {name: [] for name in names}
        for shard in self.store.every_shard(row["key"], row["count"]):
            if shard is None:
                return None
            found = {name: values for name, values in found.items() if name in shard.record}
            for name, values in found.items():
                values += shard.column(name)
        return found

    def held(self, values: Iterable[Any]) -> tuple[Any, ...]:
        """The same values; of equal ones, the first that came."""
        new = tuple(values)
        known = self._known.setdefault((len(new), *new[:1], *new[-1:]), new)
        return known if known == new else new


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
    if len(counts) == 1:
        return next(iter(counts.values()))
    finished = [count for count in counts if not store.missing(counts[count]["key"], count)]
    return counts[max(finished or counts)]


def _prediction(store: Store, row: Row, columns: _Columns) -> Prediction | None:
    found, description = columns.read(row, ("ids", "patients", "truth", "logits")), store.description(row["key"])
    if found is None or description is None:
        return None
    return Prediction(
        key=row["key"],
        labels=row["labels"],
        cards=description["cards"],
        classes=tuple(row["classes"]),
        ids=columns.held(found["ids"]),
        patients=columns.held(found["patients"]),
        truth=columns.held(found["truth"]),
        logits=tuple(map(tuple, found["logits"])),
        training=row["training"],
        weights=row["weights"],
    )


def _result(store: Store, row: Row, columns: _Columns) -> Result:
    found, description = columns.read(row, SCORED), store.description(row["key"])
    if found is None or description is None:
        return _unfinished(store, row, description["cards"] if description else row["cards"])
    chosen = [index for index, applies in enumerate(found["applies"]) if applies]
    curves = found["curves"] if description["cards"]["metric"].get("curve") else []
    return Result(
        key=row["key"],
        labels=row["labels"],
        cards=description["cards"],
        status="ok",
        ids=columns.held(found["ids"][index] for index in chosen),
        patients=columns.held(found["patients"][index] for index in chosen),
        values=tuple(found["values"][index] for index in chosen),
        failed=columns.held(bool(found["flaws"][index]) for index in chosen),
        curves=tuple(curves[index] and tuple(curves[index]) for index in chosen) if curves else (),
        shares=columns.held(found["lesion_share"][index] for index in chosen) if "lesion_share" in found else (),
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
