"""Results made up by numbers: any count of explainers, metrics, models and patients, with known differences."""

from dataclasses import asdict

import numpy as np
import pytest

from xaibench.contracts import ExplainerCard, MetricCard, ModelCard, Prediction, Result, Results, TaskCard
from xaibench.seeds import derive
from xaibench.store import Store, spans


def plain(card):
    return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in asdict(card).items()}


class Campaign:
    """Collects results; `results()` hands them over as a results folder would."""

    def __init__(self, patients=20, films=2):
        self.ids = tuple(f"film-{number:05d}" for number in range(patients * films))
        self.patients = tuple(f"p{number // films:04d}" for number in range(patients * films))
        self.metrics, self.references, self.scores, self.predictions, self.audit = {}, {}, [], [], {}

    def metric(self, name, family="localisation", **more):
        more = {"higher_is_better": True, "summary": f"what {name} is"} | more
        self.metrics[name] = plain(MetricCard(name=name, family=family, **more))
        return self

    def reference(self, name, kind):
        self.references[name] = kind
        return self

    def add(self, explainer, metric, values, *, status="ok", reason="", count=None, total=None, **labels):
        """One cell; a single value stands for all films. Other keywords are labels, or versions: `metric_version`."""
        films = len(self.ids) if count is None else count
        versions = {name: labels.pop(f"{name}_version", None) for name in ("task", "model", "explainer", "metric")}
        values = tuple(np.broadcast_to(np.array(values, dtype=object), films).tolist()) if status == "ok" else ()
        own = {"task": "phantom", "fold": "0", "model": "m1", "target": "predicted", "precision": "fp32"} | labels
        own |= {"explainer": explainer, "metric": metric}
        self.scores.append(
            Result(
                key=f"{derive(*own.values()):016x}",
                labels=own,
                cards=self._cards(own, versions),
                status=status,
                reason=reason,
                ids=self.ids[: len(values)],
                patients=self.patients[: len(values)],
                values=values,
                failed=(False,) * len(values),
                count=films,
                total=len(self.ids) if total is None else total,
            )
        )
        return self

    def _cards(self, labels, versions):
        if labels["metric"] not in self.metrics:
            self.metric(labels["metric"])
        name, kind = labels["explainer"], self.references.get(labels["explainer"], "")
        cards = {
            "task": plain(TaskCard(name=labels["task"], summary="")),
            "model": plain(ModelCard(name=labels["model"], summary="")),
            "explainer": plain(ExplainerCard(name=name, summary="", family="gradient", reference=kind)),
            "metric": self.metrics[labels["metric"]],
        }
        return {
            kind: card if versions[kind] is None else {**card, "version": versions[kind]}
            for kind, card in cards.items()
        }

    def prediction(self, truth, said, **labels):
        labels = {"task": "phantom", "fold": "0", "model": "m1", "precision": "fp32"} | labels
        self.predictions.append(
            Prediction(
                key=f"{derive(*labels.values()):016x}",
                labels=labels,
                cards={"model": plain(ModelCard(name=labels["model"], summary=""))},
                classes=("normal", "malignant"),
                ids=self.ids[: len(truth)],
                patients=self.patients[: len(truth)],
                truth=tuple(truth),
                logits=tuple(tuple(float(at == answer) for at in range(2)) for answer in said),
                training={},
                weights="abc",
            )
        )
        return self

    def results(self):
        return Results(None, tuple(self.predictions), tuple(self.scores), self.audit, {})


@pytest.fixture
def campaign():
    """Make a campaign: `campaign(patients=20, films=2)`."""
    return Campaign


@pytest.fixture
def folder_of(tmp_path):
    """Write results as a run would have left them."""

    def write(results, name="results", run="20260101T000000-1"):
        store, rows = Store(tmp_path / name).open(), []
        for one in results.scores:
            for start, stop in spans(len(one.ids)) if one.status == "ok" else ():
                part = slice(start, stop)
                record = {"ids": one.ids[part], "patients": one.patients[part], "values": one.values[part]}
                record |= {
                    "flaws": ["flat" if bad else "" for bad in one.failed[part]],
                    "applies": [True] * (stop - start),
                }
                store.commit(one.key, (start, stop), record)
            store.describe(one.key, {"cards": dict(one.cards), "labels": dict(one.labels)})
            row = {"key": one.key, "kind": "score", "labels": dict(one.labels), "cards": dict(one.cards)}
            rows.append(row | {"count": one.count, "total": one.total, "status": one.status, "reason": one.reason})
        store.save_run(run, {"subjects": [], "cells": rows, "environment": "none"})
        return store.root

    return write
