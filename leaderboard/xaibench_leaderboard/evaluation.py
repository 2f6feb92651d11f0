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
    from xaibench_leaderboard.evaluation_reading import Answers
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
    seed: int = 0
    training_seconds: float | None = None
    parameters: int | None = None
    flops: int | None = None  # of one image forward, by torch's counter: multiplications and additions, MACs x 2
    milliseconds: float | None = None  # of one image forward in a batch, the median; nothing but the network


def evaluate(prediction: Prediction, seed: int = 0, seconds: Sequence[float] = ()) -> Evaluation:
    """All that the logits tell, and what the records do. `seconds`: of the network, per image."""
    truth, shares = np.array(prediction.truth), probabilities(np.array(prediction.logits, dtype=np.float64))
    said, labels = shares.argmax(axis=1), list(range(len(prediction.classes)))
    precision, recall, f1, support = precision_recall_fscore_support(truth, said, labels=labels, zero_division=0.0)
    specificity = _specificities(truth, said, labels)
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
                "specificity": specificity[at],
                "f1": float(f1[at]),
                "auc": auc[at],
                "images": float(support[at]),
            }
            for at, name in enumerate(prediction.classes)
        },
        confusion=tuple(map(tuple, confusion_matrix(truth, said, labels=labels).tolist())),
        reliability=tuple(reliability(truth, shares)),
        seed=seed,
        training_seconds=training.get("seconds"),
        parameters=training.get("parameters"),
        flops=training.get("flops"),
        milliseconds=1000 * float(np.median(seconds)) if len(seconds) else None,
    )


def _specificities(truth: NDArray[Any], said: NDArray[Any], labels: Sequence[int]) -> list[float | None]:
    """Of each class; None where every image is of it."""
    defined = [label for label in labels if (truth != label).any()]
    found = specificity_score(truth, said, labels=defined, average=None) if defined else []
    known = {label: float(value) for label, value in zip(defined, found, strict=True)}
    return [known.get(label) for label in labels]


def _overall(
    truth: NDArray[Any], said: NDArray[Any], shares: NDArray[Any], support: NDArray[Any], auc: Sequence[float | None]
) -> dict[str, float | None]:
    """Figures for all classes together; macro is the plain mean over classes that have images."""
    present = [int(at) for at in np.flatnonzero(support)]
    precision, recall, f1, counts = precision_recall_fscore_support(truth, said, labels=present, zero_division=0.0)
    specificity = _specificities(truth, said, present)
    known = [auc[at] for at in present]
    return {
        "accuracy": float((truth == said).mean()),
        "balanced_accuracy": float(np.mean(recall)),
        "macro_precision": float(np.mean(precision)),
        "macro_recall": float(np.mean(recall)),
        "macro_specificity": _mean(specificity),
        "macro_f1": float(np.mean(f1)),
        "macro_auc": _mean(known),
        "g_mean": float(geometric_mean_score(truth, said, labels=present)),  # of the recalls
        "iba": _balance(recall, specificity, counts),
        "calibration_error": calibration_error(truth, shares),
        "majority": float(support.max() / support.sum()),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    """Over classes; None if that of one is not defined."""
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined and len(defined) == len(values) else None


def _balance(recall: NDArray[Any], specificity: Sequence[float | None], counts: NDArray[Any]) -> float | None:
    """Index of balanced accuracy per class, averaged as imbalanced-learn's report does it: weighted by support."""
    if None in specificity:
        return None
    other = np.array(specificity, dtype=np.float64)
    balance = (1 + IBA_ALPHA * (recall - other)) * recall * other
    return float(np.average(balance, weights=counts))


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


def summaries(found: Sequence[Answers]) -> list[Summary]:
    """Every model on every task."""
    groups: dict[tuple[str, str], list[Evaluation]] = defaultdict(list)
    for one in found:
        labels = one.prediction.labels
        if one.prediction.truth:
            groups[labels["task"], labels["model"]].append(evaluate(one.prediction, one.seed, one.seconds))
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
    """Friedman and Nemenyi between the models of one task, over the folds and repeats that all of them have."""
    tables = [
        {(one.labels["fold"], one.seed): one.overall[COMPARED] for one in summary.evaluations} for summary in found
    ]
    shared = sorted(set.intersection(*(set(table) for table in tables))) if tables else []
    if len(found) < 3 or len(shared) < 2:
        return None
    scores = -np.array([[table[fold] for table in tables] for fold in shared], dtype=np.float64)
    return critical_difference([summary.model for summary in found], scores, "fold")
