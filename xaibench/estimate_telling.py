"""An estimate in words and as JSON."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from xaibench.estimate_cost import Row
    from xaibench.estimate_gpu import Gpu

KINDS = {"train": "trainings", "predict": "predictions", "explain": "explanations", "score": "scores"}
UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))


def answer(rows: Sequence[Row], where: str, gpu: Gpu | None) -> dict[str, Any]:
    """For programs."""
    return {
        "where": where if gpu is None else gpu.name,
        "source": "measured here" if gpu is None else gpu.source,
        "seconds": sum(row.cost.seconds or 0.0 for row in rows),
        "forward": sum(row.cost.forward or 0.0 for row in rows),
        "backward": sum(row.cost.backward or 0.0 for row in rows),
        "memory": max((row.cost.memory for row in rows if row.cost.memory), default=None),
        "unknown": sum(row.cost.seconds is None for row in rows),
        "cells": [row.plain() for row in rows],
    }


def lines(rows: Sequence[Row], where: str, gpu: Gpu | None) -> list[str]:
    """For people."""
    told = [_line(row) for row in rows]
    kinds: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        kinds[row.kind].append(row)
    told += ["", *(f"{len(found):>6} {KINDS[kind]:<13} {_total(found)}" for kind, found in kinds.items())]
    told.append(f"{len(rows):>6} {'in all':<13} {_total(rows)}" if rows else "all is done: nothing is left to estimate")
    told.append(
        "figures of this machine, one cell after the other"
        if gpu is None
        else f"on one {gpu.name}, calculated from its figures ({gpu.source}), not measured: a factor of two is possible"
    )
    return told


def _line(row: Row) -> str:
    names = " · ".join(
        row.labels[name] for name in ("task", "model", "explainer", "metric", "variant") if name in row.labels
    )
    cost = row.cost
    passes = f"{_number(cost.forward)} forward {_number(cost.backward)} backward"
    memory = f"{cost.memory / 1e9:.1f} GB" if cost.memory else ""
    return f"{duration(cost.seconds):>9}  {passes:<32} {memory:>7}  {row.kind:<7} {names}  ({cost.how})"


def _total(rows: Iterable[Row]) -> str:
    rows = list(rows)
    unknown = sum(row.cost.seconds is None for row in rows)
    largest = max((row.cost.memory for row in rows if row.cost.memory), default=None)
    told = [duration(sum(row.cost.seconds or 0.0 for row in rows))]
    told.append(f"{_number(sum(row.cost.forward or 0 for row in rows))} forward")
    told.append(f"{_number(sum(row.cost.backward or 0 for row in rows))} backward")
    told += [f"{largest / 1e9:.1f} GB at most"] if largest else []
    told += [f"{unknown} unknown"] if unknown else []
    return ", ".join(told)


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:,.0f}"


def duration(seconds: float | None) -> str:
    """As a person says it."""
    if seconds is None:
        return "?"
    for unit, name in UNITS:
        if seconds >= unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"
