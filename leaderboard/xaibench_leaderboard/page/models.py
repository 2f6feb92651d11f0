"""How good the explained model is: confusion, ROC and reliability, from its logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xaibench_leaderboard.page.packing import rounded

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    from xaibench.contracts import Prediction

    Doubles: TypeAlias = NDArray[np.float64]

BINS = 10  # of confidence
POINTS = 200  # of a ROC curve at most


def model_content(prediction: Prediction) -> dict[str, Any]:
    """One model on one task."""
    base: dict[str, Any] = {
        **prediction.labels,
        "key": prediction.key,
        "weights": prediction.weights,
        "classes": list(prediction.classes),
        "images": len(prediction.ids),
        "patients": len(set(prediction.patients)),
        "card": dict(prediction.cards.get("model", {})),
        "training": {name: value for name, value in prediction.training.items() if _plain(value)},
    }
    if not prediction.truth:
        return base
    truth, shares = np.array(prediction.truth), probabilities(np.array(prediction.logits, dtype=np.float64))
    return base | {
        "confusion": confusion(truth, shares.argmax(axis=1), len(prediction.classes)),
        "roc": [roc(truth == at, shares[:, at]) for at in range(len(prediction.classes))],
        "reliability": reliability(truth, shares),
        "calibration_error": rounded(calibration_error(truth, shares)),
    }


def probabilities(logits: Doubles) -> Doubles:
    """Softmax, row by row."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Doubles = raised / raised.sum(axis=1, keepdims=True)
    return shares


def confusion(truth: NDArray[np.int64], said: NDArray[np.intp], classes: int) -> list[list[int]]:
    """Images by true class (row) and predicted class (column)."""
    table = np.zeros((classes, classes), dtype=int)
    np.add.at(table, (truth, said), 1)
    rows: list[list[int]] = table.tolist()
    return rows


def roc(positive: NDArray[np.bool_], score: Doubles) -> dict[str, Any] | None:
    """One class against the rest; None if all images are of one kind. Images of one score move together."""
    if positive.all() or not positive.any():
        return None
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.diff(score[order], append=-np.inf))  # the last image of each score
    hits = np.concatenate([[0], np.cumsum(positive[order])[ends]]) / positive.sum()
    alarms = np.concatenate([[0], np.cumsum(~positive[order])[ends]]) / (~positive).sum()
    area = float(np.sum(np.diff(alarms) * (hits[1:] + hits[:-1]) / 2))
    chosen = np.unique(np.linspace(0, len(hits) - 1, min(len(hits), POINTS)).round().astype(int))
    points = [[rounded(float(alarms[at]), 4), rounded(float(hits[at]), 4)] for at in chosen]
    return {"points": points, "area": rounded(area)}


def reliability(truth: NDArray[np.int64], shares: Doubles) -> list[dict[str, Any]]:
    """Per bin of confidence that has images: how sure the model was, and how often right."""
    sure, right, bins = _confidence(truth, shares)
    return [
        {
            "sure": rounded(float(sure[bins == at].mean())),
            "right": rounded(float(right[bins == at].mean())),
            "images": int((bins == at).sum()),
        }
        for at in range(BINS)
        if (bins == at).any()
    ]


def calibration_error(truth: NDArray[np.int64], shares: Doubles) -> float:
    """Mean distance between how sure and how often right, over bins weighted by their images."""
    sure, right, bins = _confidence(truth, shares)
    gaps = [abs(float((sure - right)[bins == at].sum())) for at in range(BINS)]
    return sum(gaps) / len(truth)


def _confidence(truth: NDArray[np.int64], shares: Doubles) -> tuple[Doubles, Doubles, NDArray[np.int64]]:
    sure = shares.max(axis=1)
    right = (shares.argmax(axis=1) == truth).astype(np.float64)
    return sure, right, np.minimum((sure * BINS).astype(np.int64), BINS - 1)


def _plain(value: object) -> bool:
    return isinstance(value, str | int | float | bool) or value is None
