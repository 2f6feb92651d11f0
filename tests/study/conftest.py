"""Results made by hand: small enough to work every figure of a study out on paper."""

from dataclasses import asdict
from pathlib import Path

import pytest

from xaibench.contracts import ExplainerCard, MetricCard, ModelCard, Prediction, Result, Results, TaskCard
from xaibench_leaderboard.study.sources import Done

CLASSES = ("normal", "benign", "malignant")
HIGH = 4.0  # a logit that decides


def plain(card):
    return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in asdict(card).items()}


@pytest.fixture
def prediction():
    """What a model said: classes as numbers, one film per patient unless patients are named."""

    def make(truth, said, *, model="net", fold="0", patients=None, training=None, weights="w"):
        logits = tuple(tuple(HIGH if at == one else 0.0 for at in range(len(CLASSES))) for one in said)
        return Prediction(
            key=f"{model}-{fold}",
            labels={"task": "films", "fold": fold, "model": model, "precision": "fp32"},
            cards={
                "task": plain(TaskCard(name="films", summary="")),
                "model": plain(ModelCard(name=model, summary="")),
            },
            classes=CLASSES,
            ids=tuple(f"film-{at}" for at in range(len(truth))),
            patients=tuple(patients or (f"{fold}-p{at}" for at in range(len(truth)))),
            truth=tuple(truth),
            logits=logits,
            training=training or {},
            weights=weights,
        )

    return make


@pytest.fixture
def score():
    """One explainer under one metric; a film per patient."""

    def make(
        explainer, metric, values, *, status="ok", reason="", higher=True, model="net", patients=None, reference=""
    ):
        patients = tuple(patients or (f"p{at}" for at in range(len(values))))
        labels = {"task": "films", "fold": "0", "model": model, "target": "predicted", "precision": "fp32"}
        return Result(
            key=f"{explainer}-{metric}",
            labels=labels | {"explainer": explainer, "metric": metric},
            cards={
                "task": plain(TaskCard(name="films", summary="")),
                "model": plain(ModelCard(name=model, summary="")),
                "explainer": plain(ExplainerCard(name=explainer, summary="", family="cam", reference=reference)),
                "metric": plain(MetricCard(name=metric, summary="", family="localisation", higher_is_better=higher)),
            },
            status=status,
            reason=reason,
            ids=tuple(f"film-{at}" for at in range(len(values))),
            patients=patients,
            values=tuple(values),
            failed=tuple(False for _ in values),
            count=len(values),
            total=len(values),
        )

    return make


@pytest.fixture
def done():
    """A part of a study: one results folder per seed."""

    def make(*folders, name="one"):
        return Done(
            name,
            tuple(
                Results(
                    folder=Path("made-by-hand"),
                    predictions=tuple(one for one in folder if isinstance(one, Prediction)),
                    scores=tuple(one for one in folder if isinstance(one, Result)),
                    audit={},
                    environment={"xaibench": "1.2.3", "libraries": {"torch": "9.9"}},
                )
                for folder in folders
            ),
        )

    return make
