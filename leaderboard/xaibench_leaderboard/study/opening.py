"""The picture and the sentence that a README opens with: made of stored results, so that they can be checked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from xaibench.errors import DataError
from xaibench.results import load_results
from xaibench_leaderboard.archives import unpacked
from xaibench_leaderboard.board import boards_of
from xaibench_leaderboard.study.figures import GREY, OURS, save
from xaibench_leaderboard.study.packing import pack
from xaibench_leaderboard.study.paired import together
from xaibench_leaderboard.study.sources import Done, fails_audit
from xaibench_leaderboard.wording import measured, number

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from xaibench_leaderboard.board import Board, Row
    from xaibench_leaderboard.statistics import Estimate

ARCHIVE, PICTURE = "board.zip", "board.svg"
BEGIN, END = "<!-- made by `xaibench reproduce --opening`: -->", "<!-- up to here -->"
JUDGED = "iou-matched"
PANELS = (JUDGED, "pointing-game", "seconds")
TITLES = {JUDGED: "overlap with the lesion (matched IoU)", "pointing-game": "highest pixel on the lesion"}
COLOURS = {"": OURS, "ceiling": "#2e7d32", "floor": GREY}


@dataclass(frozen=True)
class Shown:
    """The board of the picture, and the values per image behind it."""

    board: Board
    done: Done

    def estimate(self, row: Row, metric: str) -> Estimate | None:
        """The figure of one explainer."""
        at = self.board.column(metric)
        score = None if at is None else row.scores[at]
        return score.estimate if score else None


def write_opening(readme: Path, docs: Path, results: Path | None) -> str:
    """Pack new results if there are any, draw the board, and put picture and sentence into the README."""
    if results is not None:
        pack(results, docs / ARCHIVE, PANELS)
    shown = shown_of(docs / ARCHIVE)
    save(drawn(shown), docs / PICTURE)
    text, place = readme.read_text(encoding="utf-8"), docs.resolve().relative_to(readme.resolve().parent)
    readme.write_text(placed(text, opening(shown, place)), encoding="utf-8")
    return finding(shown)


def shown_of(archive: Path) -> Shown:
    """The first board of packed results."""
    if not archive.is_file():
        raise DataError(f"{archive} is not there; name the results of a run to make it from: --board FOLDER")
    with unpacked(archive) as folder:
        results = load_results(folder)
        boards = boards_of(results)
    if not boards:
        raise DataError(f"{archive} holds no scores")
    return Shown(boards[0], Done("board", (results,)))


def opening(shown: Shown, docs: Path) -> str:
    """The block between the marks."""
    more = (
        f"Published claims about heatmaps, measured again: [what the heatmaps are worth]({docs.as_posix()}/index.md)."
    )
    return f"{BEGIN}\n![{caption(shown)}]({docs.as_posix()}/{PICTURE})\n\n{finding(shown)}\n\n{more}\n{END}"


def placed(text: str, block: str) -> str:
    """The README with the block: where it was, or behind the title and what follows it."""
    if BEGIN in text and END in text:
        return re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: block, text, count=1, flags=re.DOTALL)
    title, _, rest = text.partition("\n")
    return f"{title}\n\n{block}\n{rest}"


def caption(shown: Shown) -> str:
    """What the picture shows, with n and intervals."""
    known = [one for row in shown.board.rows if (one := shown.estimate(row, JUDGED))]
    images, patients = (max((getattr(one, name) for one in known), default=0) for name in ("images", "patients"))
    accuracy = shown.board.accuracy
    told = f", balanced accuracy {measured(accuracy.test)}" if accuracy else ""
    return (
        f"The board of {shown.board.title}{told}: {images} films with lesions of {patients} patients; bars are 95 % "
        "intervals over patients. Green: the truth, also as coarse as a CAM and under noise. Grey: maps that never "
        "look at the network"
    )


def finding(shown: Shown) -> str:
    """One sentence, whose every number follows from the board."""
    board = shown.board
    floors = [(one.mean, row) for row in board.references if row.reference == "floor"
              if (one := shown.estimate(row, JUDGED))]  # fmt: skip
    methods = [(one, row) for row in board.methods if (one := shown.estimate(row, JUDGED))]
    if not floors or not methods or fails_audit(shown.done, JUDGED):
        raise DataError(f"{board.title} lacks explainers or floors with {JUDGED}, or it fails its audit")
    mean, floor = max(floors, key=lambda one: one[0])
    model = str(shown.done.results[0].scores[0].cards["model"]["name"])
    words = list(together(shown.done, model, [row.name for _, row in methods], floor.name, JUDGED).values())
    best, row = max(methods, key=lambda one: one[0].mean)
    return (
        f"**Of {len(methods)} explainers of {board.title}, {words.count('more')} overlap with lesions clearly better "
        f"than `{floor.name}` ({number(mean)}), a map that never looks at the network, and {words.count('less')} "
        f"clearly worse; the highest mean is {measured(best)} of 1, that of `{row.name}`.** ({_limits(best)})"
    )


def _limits(best: Estimate) -> str:
    return (
        f"Matched IoU on the {best.images} test images with lesions; 95 % intervals over patients, differences taken "
        "image by image, and tested all together. One training of the network."
    )


def drawn(shown: Shown) -> Figure:
    """All rows, by overlap; one panel per figure."""
    rows = sorted(shown.board.rows, key=lambda row: one.mean if (one := shown.estimate(row, JUDGED)) else -1.0)
    figure = Figure(figsize=(10, 1.2 + 0.24 * len(rows)), layout="constrained", facecolor="white")
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for axes, metric in zip(panels, PANELS, strict=True):
        _panel(axes, shown, rows, metric)
    panels[0].set_yticks(range(len(rows)), [row.name for row in rows], fontsize=8)
    for label, row in zip(panels[0].get_yticklabels(), rows, strict=True):
        label.set_color(COLOURS[row.reference])
    figure.suptitle(shown.board.title, fontsize=10)
    return figure


def _panel(axes: Axes, shown: Shown, rows: list[Row], metric: str) -> None:
    for at, row in enumerate(rows):
        if (one := shown.estimate(row, metric)) is not None:
            colour = COLOURS[row.reference]
            axes.plot([one.mean], [at], "o", color=colour, markersize=4)
            if one.low is not None and one.high is not None:
                axes.plot([one.low, one.high], [at, at], color=colour, linewidth=1.6)
    if metric == "seconds":
        axes.set_xscale("log")
    else:
        axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel(TITLES.get(metric, "seconds per map"), fontsize=8)
    axes.tick_params(axis="x", labelsize=7)
    axes.grid(axis="x", color=GREY, alpha=0.3)
