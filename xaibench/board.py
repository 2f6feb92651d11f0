"""The results of a run in Python: numbers as data frames, the table, the page, the maps."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from xaibench.heatmaps import heatmaps_of
from xaibench.registry import create
from xaibench.results import load_results

if TYPE_CHECKING:
    from xaibench.contracts import Results
    from xaibench.heatmaps import Heatmaps

LABELS = ["task", "fold", "model", "explainer", "metric", "target", "precision"]
SUBJECT = ["task", "fold", "model", "precision"]


class Board:
    """A results folder: what `xaibench.run` returns, and `Board("xaibench-results")` for one that is there."""

    def __init__(self, folder: str | Path, *, temporary: bool = False) -> None:
        """A `temporary` folder is removed with the board."""
        self.folder = Path(folder)
        if temporary:
            weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.results: Results = load_results(self.folder)

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One row per image, explainer and metric; `failed` maps have the metric's worst value."""
        rows = [
            {**{name: one.labels.get(name, "") for name in LABELS}, "id": image, "patient": patient,
             "value": value, "failed": failed}
            for one in self.results.scores
            for image, patient, value, failed in zip(one.ids, one.patients, one.values, one.failed, strict=True)
        ]  # fmt: skip
        frame = pd.DataFrame(rows, columns=[*LABELS, "id", "patient", "value", "failed"])
        return frame.astype({"value": float, "failed": bool})

    @cached_property
    def summary(self) -> pd.DataFrame:
        """One row per explainer and metric: the mean over images, how many, and why there is none."""
        rows = []
        for one in self.results.scores:
            values = [value for value in one.values if value is not None]
            rows.append(
                {name: one.labels.get(name, "") for name in LABELS}
                | {"mean": sum(values) / len(values) if values else float("nan"), "images": len(values)}
                | {"failed": sum(one.failed), "status": one.status, "reason": one.reason}
            )
        return pd.DataFrame(rows, columns=[*LABELS, "mean", "images", "failed", "status", "reason"])

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """One row per image and model: the true class, the predicted one, and the logit of every class."""
        rows = [
            {**{name: one.labels.get(name, "") for name in SUBJECT}, "id": image, "patient": patient,
             "truth": one.classes[truth], "predicted": one.classes[logits.index(max(logits))],
             **{f"logit of {name}": logit for name, logit in zip(one.classes, logits, strict=True)}}
            for one in self.results.predictions
            for image, patient, truth, logits in zip(one.ids, one.patients, one.truth, one.logits, strict=True)
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=None if rows else [*SUBJECT, "id", "patient", "truth", "predicted"])

    def maps(self, **labels: str) -> list[Heatmaps]:
        """Raw heatmaps by label, as in `board.maps(explainer="gradcam")[0].maps`: [images, rows, columns]."""
        return list(heatmaps_of(self.folder, **labels))

    def table(self) -> None:
        """Print the leaderboard."""
        create("reports", "table").plugin.render(self.results, self.folder)

    def to_html(self, path: str | Path) -> Path:
        """Write the leaderboard as one offline page; pictures, if there are any, lie in a folder beside it."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as place:
            page = Path(create("reports", "html").plugin.render(self.results, Path(place)))
            for folder in (beside for beside in Path(place).iterdir() if beside.is_dir()):
                shutil.copytree(folder, target.parent / folder.name, dirs_exist_ok=True)
            shutil.copyfile(page, target)
        return target

    def _pivot(self) -> pd.DataFrame:
        """Means by explainer and metric, as a notebook shows them."""
        rows = ["task", "fold", "model", "target", "precision", "explainer"]
        varying = [name for name in rows if name == "explainer" or self.summary[name].nunique() > 1]
        return self.summary.pivot_table(
            "mean", index=varying, columns="metric", aggfunc="first", dropna=False, observed=True, sort=False
        ).dropna(how="all")

    def _repr_html_(self) -> str:
        """For notebooks: the means. Names come from strangers, and pandas escapes them."""
        if self.summary.empty:
            return "<p>no scores</p>"
        return self._pivot().to_html(float_format="{:.3f}".format, na_rep="-", border=0)

    def __repr__(self) -> str:
        models, explainers = (self.summary[name].nunique() for name in ("model", "explainer"))
        return f"<Board of {models} models and {explainers} explainers, {len(self.summary)} scores in {self.folder}>"
