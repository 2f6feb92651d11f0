"""xaibench: which explanation of an image classifier can be trusted, what it costs, and how sure we are.

    import xaibench as xb

    board = xb.run(models=[net], explainers="all", task=xb.task("phantom"))
    board.table()
    board.to_html("x.html")
    board.scores  # a pandas DataFrame

`metrics` is a package of ours, so the names of all metrics are `xb.names("metrics")`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xaibench.api import explainer, explainers, metric, model, models, names, run, task, tasks
    from xaibench.board import Board
    from xaibench.contracts import (
        Batch,
        Case,
        Classifier,
        Entry,
        ExplainerCard,
        MetricCard,
        ModelCard,
        Sample,
        TaskCard,
    )

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "Board",
    "Case",
    "Classifier",
    "Entry",
    "ExplainerCard",
    "MetricCard",
    "ModelCard",
    "Sample",
    "TaskCard",
    "__version__",
    "explainer",
    "explainers",
    "metric",
    "model",
    "models",
    "names",
    "run",
    "task",
    "tasks",
]

_HOMES = {
    "xaibench.api": "explainer explainers metric model models names run task tasks",
    "xaibench.board": "Board",
    "xaibench.contracts": "Batch Case Classifier Entry ExplainerCard MetricCard ModelCard Sample TaskCard",
}


def __getattr__(name: str) -> Any:
    """Bring what is asked for, and only then what it needs: `import xaibench` itself costs nothing."""
    for module, known in _HOMES.items():
        if name in known.split():
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module 'xaibench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
