"""Reliability diagrams: how often a model is right, by how sure it was."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from xaibench_leaderboard.evaluation import Evaluation, Summary


def draw_reliability(summary: Summary, file: Path) -> None:
    """Above the diagonal a model is too modest, below it too sure; below the diagram, how many images there are."""
    figure = Figure(figsize=(4.2, 4.8), layout="constrained")
    diagram, counts = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    diagram.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for number, one in enumerate(summary.evaluations):
        bins = [row for row in one.reliability if row["images"]]
        diagram.plot(
            [row["sure"] for row in bins], [row["right"] for row in bins], "o-", ms=4, label=_name(one, number)
        )
        counts.plot([row["sure"] for row in bins], [row["images"] for row in bins], "o-", ms=3)
    diagram.set(ylabel="share that is right", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    diagram.legend(frameon=False, fontsize="small")
    counts.set(xlabel="how sure the model was", ylabel="images", ylim=(0, None))
    errors = [one.overall["calibration_error"] or 0.0 for one in summary.evaluations]
    error = sum(errors) / len(errors)
    figure.suptitle(
        _plain(f"{summary.model} on {summary.task}\nexpected calibration error {error:.3f}"), fontsize="small"
    )
    figure.savefig(file, dpi=150)


def reliability_files(summaries: Sequence[Summary], folder: Path) -> list[Path]:
    """Draw one diagram per model and task."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, summary in enumerate(summaries):
        words = re.sub(r"[^A-Za-z0-9.+-]+", "-", f"{summary.task}-{summary.model}").strip("-.")[:80]
        files.append(folder / f"reliability-{number + 1}-{words}.png")
        draw_reliability(summary, files[-1])
    return files


def _name(one: Evaluation, number: int) -> str:
    return f"fold {one.labels['fold']}, seed {one.seed}, ECE {one.overall['calibration_error']:.3f}"


def _plain(text: str) -> str:
    """A dollar sign begins mathematics there."""
    return text.replace("$", r"\$")
