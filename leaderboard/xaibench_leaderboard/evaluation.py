"""How good a classifier is, from its logits: overall, per class, over folds and repeats, against its rivals."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from imblearn.metrics import geometric_mean_score, specificity_score
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support, roc_auc_score

from xaibench_leaderboard.comparisons import critical_difference
from xaibench_leaderboard.page.models import calibration_error, probabilities, reliability
from xaibench_leaderboard.statistics import Estimate, balanced_accuracy, mean_estimate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from xaibench.contracts import Prediction
    from xaibench_leaderboard.ranking import CriticalDifference

IBA_ALPHA = 0.1
COMPARED = "balanced_accuracy"  # what models are ranked by


@dataclass(frozen=True)
class Evaluation:
    """One model with one set of weights on one fold."""

    labels: Mapping[str, str]
    classes: tuple[str, ...]
    images: int
    patients: int
    accuracy: Estimate | None
    balanced: Estimate | None
    overall: Mapping[str, float | None]
    per_class: Mapping[str, Mapping[str, float | None]]
    confusion: tuple[tuple[int, ...], ...]  # true class by predicted class
    reliability: tuple[Mapping[str, Any], ...]
    training_seconds: float | None
    parameters: int | None


def evaluate(prediction: Prediction) -> Evaluation:
    """All that the logits tell."""
    truth, shares = np.array(prediction.truth), probabilities(np.array(prediction.logits, dtype=np.float64))
    said, labels = shares.argmax(axis=1), list(range(len(prediction.classes)))
    precision, recall, f1, support = precision_recall_fscore_support(truth, said, labels=labels, zero_division=0.0)
    specificity = specificity_score(truth, said, labels=labels, average=None)
    auc = [_auc(truth == label, shares[:, label]) for label in labels]
    right = (said == truth).astype(float).tolist()
    training = prediction.training
    return Evaluation(
        labels=prediction.labels,
        classes=prediction.classes,
        images=len(truth),
        patients=len(set(prediction.patients)),
        accuracy=mean_estimate(right, prediction.patients),
        balanced=balanced_accuracy(prediction),
        overall=_overall(truth, said, shares, np.array(support), auc),
        per_class={
            name: {
                "precision": float(precision[at]),
                "recall": float(recall[at]),
                "specificity": float(specificity[at]),
                "f1": float(f1[at]),
                "auc": auc[at],
                "images": float(support[at]),
            }
            for at, name in enumerate(prediction.classes)
        },
        confusion=tuple(map(tuple, confusion_matrix(truth, said, labels=labels).tolist())),
        reliability=tuple(reliability(truth, shares)),
        training_seconds=training.get("seconds"),
        parameters=training.get("parameters"),
    )


def _overall(
    truth: NDArray[Any], said: NDArray[Any], shares: NDArray[Any], support: NDArray[Any], auc: Sequence[float | None]
) -> dict[str, float | None]:
    """Figures for all classes together; macro is the plain mean over classes that have images."""
    present = [int(at) for at in np.flatnonzero(support)]
    precision, recall, f1, counts = precision_recall_fscore_support(truth, said, labels=present, zero_division=0.0)
    specificity = specificity_score(truth, said, labels=present, average=None)
    known = [auc[at] for at in present]
    defined = [value for value in known if value is not None]
    # Index of balanced accuracy per class, averaged as imbalanced-learn's report does it: weighted by support.
    balance = (1 + IBA_ALPHA * (recall - specificity)) * recall * specificity
    return {
        "accuracy": float((truth == said).mean()),
        "balanced_accuracy": float(np.mean(recall)),
        "macro_precision": float(np.mean(precision)),
        "macro_f1": float(np.mean(f1)),
        "macro_auc": float(np.mean(defined)) if defined and len(defined) == len(known) else None,
        "g_mean": float(geometric_mean_score(truth, said, labels=present)),  # of the recalls
        "iba": float(np.average(balance, weights=counts)),
        "calibration_error": calibration_error(truth, shares),
        "majority": float(support.max() / support.sum()),
    }


def _auc(positive: NDArray[np.bool_], score: NDArray[Any]) -> float | None:
    """One class against the rest; None if all images are of one kind."""
    return float(roc_auc_score(positive, score)) if positive.any() and not positive.all() else None


@dataclass(frozen=True)
class Summary:
    """One model on one task, over its folds and repeats."""

    task: str
    model: str
    evaluations: tuple[Evaluation, ...]
    mean: Mapping[str, float]
    sd: Mapping[str, float | None]  # over folds and repeats; None for one


def summaries(predictions: Sequence[Prediction]) -> list[Summary]:
    """Every model on every task."""
    groups: dict[tuple[str, str], list[Evaluation]] = defaultdict(list)
    for prediction in predictions:
        if prediction.truth:
            groups[prediction.labels["task"], prediction.labels["model"]].append(evaluate(prediction))
    return [_summary(task, model, found) for (task, model), found in groups.items()]


def _summary(task: str, model: str, found: list[Evaluation]) -> Summary:
    columns = {name: [one.overall[name] for one in found] for name in found[0].overall}
    whole = {name: np.array(values, dtype=float) for name, values in columns.items() if None not in values}
    return Summary(
        task=task,
        model=model,
        evaluations=tuple(found),
        mean={name: float(values.mean()) for name, values in whole.items()},
        sd={name: float(values.std(ddof=1)) if len(values) > 1 else None for name, values in whole.items()},
    )


def rivals(found: Sequence[Summary]) -> CriticalDifference | None:
    """Friedman and Nemenyi between the models of one task, over the folds that all of them have."""
    tables = [{one.labels["fold"]: one.overall[COMPARED] for one in summary.evaluations} for summary in found]
    shared = sorted(set.intersection(*(set(table) for table in tables))) if tables else []
    if len(found) < 3 or len(shared) < 2:
        return None
    scores = -np.array([[table[fold] for table in tables] for fold in shared], dtype=np.float64)
    return critical_difference([summary.model for summary in found], scores, "fold")
