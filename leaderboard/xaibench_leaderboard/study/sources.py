"""Ours: from the results folders of a study's parts to one figure with its interval, and why if there is none."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xaibench.references import parse
from xaibench_leaderboard.comparisons import critical_difference
from xaibench_leaderboard.statistics import Estimate, mean_estimate
from xaibench_leaderboard.study.resampled import Said, estimate, of_class, overall

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xaibench.contracts import Prediction, Result, Results
    from xaibench_leaderboard.ranking import CriticalDifference
    from xaibench_leaderboard.study.plan import Table

HOUR = 3600.0
OVERLAP = ("iou", "iou-matched")


@dataclass(frozen=True)
class Ours:
    """One figure."""

    estimate: Estimate | None
    trainings: int = 0
    reason: str = ""  # why there is none


@dataclass(frozen=True)
class Done:
    """What a part has come to: one results folder per seed."""

    name: str
    results: tuple[Results, ...]

    def predictions(self, model: str) -> list[Prediction]:
        """Of all seeds and folds."""
        found = [one for results in self.results for one in results.predictions if one.truth]
        return [one for one in found if not model or _name(one.cards, "model") == model]

    def scores(self, model: str) -> list[Result]:
        """Of all seeds and folds."""
        found = [one for results in self.results for one in results.scores]
        return [one for one in found if not model or _name(one.cards, "model") == model]

    def rows(self, kind: str, model: str) -> list[str]:
        """What there is to show, where a table asks for everything."""
        if kind == "overall" or kind == "training":
            return list(dict.fromkeys(_name(one.cards, "model") for one in self.predictions("")))
        if kind == "class":
            return list(dict.fromkeys(name for one in self.predictions(model) for name in one.classes))
        return list(dict.fromkeys(named(one, "explainer") for one in self.scores(model)))


def _name(cards: Mapping[str, Mapping[str, Any]], kind: str) -> str:
    return str(cards.get(kind, {}).get("name", ""))


def named(result: Result, kind: str) -> str:
    """By its card; a cell that was never finished has none."""
    return _name(result.cards, kind) or parse(result.labels.get(kind, "")).target


def ours(done: Done, table: Table, row: str, measure: str) -> Ours:
    """The figure of one cell of a table."""
    if table.kind == "overall":
        return _classified(done, row, overall(measure))
    if table.kind == "class":
        return _of_class(done, table.model, row, measure)
    if table.kind == "training":
        return _trained(done, row, measure)
    if table.kind == "ranks":
        return _ranked(done, row, measure)
    return _explained(done, table.model, row, measure)


def _classified(done: Done, model: str, figure: Any) -> Ours:
    predictions = done.predictions(model)
    if not predictions:
        return Ours(None, reason=f"{model or 'no model'} was not run")
    found = estimate([Said(one) for one in predictions], figure)
    return Ours(found, len(predictions), "" if found else "undefined for these images")


def _of_class(done: Done, model: str, row: str, measure: str) -> Ours:
    classes = next((one.classes for one in done.predictions(model)), ())
    if row not in classes:
        return Ours(None, reason=f"there is no class {row}" if classes else "no model was run")
    return _classified(done, model, of_class(measure, classes.index(row)))


def _trained(done: Done, model: str, measure: str) -> Ours:
    """What the trainings themselves report; the mean, without an interval."""
    name, unit = ("seconds", HOUR) if measure == "hours" else (measure, 1.0)
    values = [one.training.get(name) for one in done.predictions(model)]
    known = [float(value) / unit for value in values if isinstance(value, int | float)]
    if not known:
        return Ours(None, reason="not recorded")
    return Ours(Estimate(sum(known) / len(known), None, None, 0, 0), len(known))


def _explained(done: Done, model: str, explainer: str, metric: str) -> Ours:
    found = picked(done, model, explainer, metric)
    if not found:
        return Ours(None, reason="not run")
    good = [one for one in found if one.status == "ok"]
    if not good:
        return Ours(None, reason=f"{found[0].status}: {found[0].reason}" if found[0].reason else found[0].status)
    _, values, patients = per_image(good)
    told = mean_estimate(values, patients)
    if told and metric == "seconds":  # batches share their time, and machines differ: patients tell nothing of it
        told = replace(told, mean=told.mean if told.median is None else told.median, low=None, high=None)
    return Ours(told, len(good), "" if told else "defined for no image")


def explained(done: Done, model: str, explainer: str, metric: str) -> Estimate | None:
    """The mean of one explainer under one metric; None if there is none."""
    return _explained(done, model, explainer, metric).estimate


def spread(done: Done, model: str, explainer: str, metric: str) -> tuple[float, float] | None:
    """The lowest and the highest mean of a single training; None if there is only one."""
    each = [explained(Done(done.name, (one,)), model, explainer, metric) for one in done.results]
    means = [one.mean for one in each if one]
    return (min(means), max(means)) if len(means) > 1 else None


def of_the_true_class(done: Done, model: str) -> tuple[int, int]:
    """Of how many images with lesions the map is of the true class, and how many there are, over all trainings."""
    answers = []
    for results in done.results:
        one = Done(done.name, (results,))
        marked = {(score.labels.get("fold"), name) for score in one.scores(model) for name in _with_lesions(score)}
        answers += [
            truth == logits.index(max(logits))
            for said in one.predictions(model)
            for name, truth, logits in zip(said.ids, said.truth, said.logits, strict=True)
            if (said.labels.get("fold"), name) in marked
        ]
    return sum(answers), len(answers)


def _with_lesions(result: Result) -> list[str]:
    """Images on which overlap is defined have a lesion."""
    if result.status != "ok" or result.labels.get("metric", "").partition("(")[0] not in OVERLAP:
        return []
    return [name for name, value in zip(result.ids, result.values, strict=True) if value is not None]


def fails_audit(done: Done, metric: str) -> bool:
    """Whether a measure was put to the test on these data and does not rank a known truth above noise."""
    verdicts = [one for results in done.results for task in results.audit.values() for one in task.values()]
    return any(one["verdict"] == "fail" and parse(one["metric"]).target == metric for one in verdicts)


def picked(done: Done, model: str, explainer: str, metric: str) -> list[Result]:
    """The scores of one explainer under one metric, of all seeds and folds."""
    return [one for one in done.scores(model) if _is(one, explainer, metric)]


def _is(result: Result, explainer: str, metric: str) -> bool:
    return named(result, "explainer") == explainer and named(result, "metric") == metric


def per_image(found: Sequence[Result]) -> tuple[list[str], list[float | None], list[str]]:
    """Images, the mean over trainings of each one's value, patients; an image that never has a value keeps None."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for result in found:
        for name, patient, value in zip(result.ids, result.patients, result.values, strict=True):
            values[name, patient] += [] if value is None else [value]
    means = [float(np.mean(one)) if one else None for one in values.values()]
    return [name for name, _ in values], means, [patient for _, patient in values]


def _ranked(done: Done, row: str, measure: str) -> Ours:
    """Friedman and Nemenyi over folds (or seeds), by accuracy."""
    test = critical(done)
    if test is None:
        return Ours(None, reason="fewer than three models or two folds, or all models are equal in every fold")
    if measure == "rank":
        value = dict(zip(test.explainers, test.mean_ranks, strict=True)).get(row)
    elif " / " in row:
        value = _pair(test, *row.split(" / "))
    else:
        value = {"statistic": test.statistic, "p": test.p, "distance": test.distance}.get(measure)
    if value is None:
        return Ours(None, reason=f"{row} was not run")
    return Ours(Estimate(value, None, None, 0, 0), test.blocks)


def _pair(test: CriticalDifference, one: str, other: str) -> float | None:
    if one not in test.explainers or other not in test.explainers:
        return None
    return test.pairs[test.explainers.index(one)][test.explainers.index(other)]


def critical(done: Done) -> CriticalDifference | None:
    """The models of a part against each other; blocks are the folds and seeds that all of them have."""
    tables: dict[str, dict[tuple[str, int], float]] = defaultdict(dict)
    for seed, results in enumerate(done.results):
        for one in results.predictions:
            right = np.array(one.truth) == np.array(one.logits).argmax(axis=1)
            tables[_name(one.cards, "model")][one.labels.get("fold", "0"), seed] = float(right.mean())
    shared = sorted(set.intersection(*(set(table) for table in tables.values()))) if tables else []
    models = sorted(tables)
    if len(models) < 3 or len(shared) < 2:
        return None
    scores = -np.array([[tables[model][block] for model in models] for block in shared])
    return critical_difference(models, scores, "folds")
