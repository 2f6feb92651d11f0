"""Verdicts on metrics, kept beside the results they belong to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from xaibench.errors import XaibenchError
from xaibench.identity import key_of, plugin_identity, task_identity
from xaibench.registry import Broken, Loaded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xaibench.audit.witness import Witness
    from xaibench.store import Store

VERSION = 2  # raise it when the audit asks otherwise


def verdicts(
    store: Store, tasks: Sequence[Loaded | Broken], metrics: Sequence[Loaded | Broken]
) -> Iterator[tuple[dict[str, Any], bool]]:
    """The verdict on every metric on every task's kind of data, and whether it was known before."""
    for task in tasks:
        if isinstance(task, Broken):
            continue
        witness: Witness | str = ""
        for metric in metrics:
            if isinstance(metric, Broken):
                continue
            key = _key(task, metric)
            if (known := store.audit(key)) is not None:
                yield _relabelled(store, key, known, task, metric), True
                continue
            witness = witness or _witness(task)
            yield _audit(store, key, task, metric, witness), False


def _key(task: Loaded, metric: Loaded) -> str:
    identity = {"task": task_identity(task), "metric": plugin_identity(metric)}
    return key_of({"kind": "audit", "version": VERSION, **identity})


def _witness(task: Loaded) -> Witness | str:
    """The witness on this task's images, or why there is none."""
    from xaibench.audit.auditing import IMAGES  # these bring torch, which a known verdict does not need
    from xaibench.audit.witness import Witness

    try:
        return Witness(task.plugin, IMAGES)
    except XaibenchError as error:
        return str(error)
    except (Exception, SystemExit) as error:  # the task of a stranger may raise anything
        return f"its images cannot be loaded: {type(error).__name__}: {error}"


def _audit(store: Store, key: str, task: Loaded, metric: Loaded, witness: Witness | str) -> dict[str, Any]:
    from xaibench.audit.auditing import audit_metric, not_audited

    found = not_audited(witness) if isinstance(witness, str) else audit_metric(metric, witness)
    verdict = {"task": task.label, "metric": metric.label, **found, "at": time.time()}
    if not found.get("transient"):  # memory that was short once need not be short again
        store.save_audit(key, verdict)
    return verdict


def _relabelled(store: Store, key: str, known: dict[str, Any], task: Loaded, metric: Loaded) -> dict[str, Any]:
    """The same metric may be written in another way today: a verdict is found by what it is called."""
    if (known["task"], known["metric"]) == (task.label, metric.label):
        return known
    verdict = {**known, "task": task.label, "metric": metric.label}
    store.save_audit(key_of({"of": key, "task": task.label, "metric": metric.label}), verdict)
    return verdict
