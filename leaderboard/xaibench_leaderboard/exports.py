"""The leaderboard in the formats others read: CSV, Parquet, Markdown, LaTeX, and Every Eval Ever."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from xaibench.errors import DataError, UsageError
from xaibench_leaderboard import wording
from xaibench_leaderboard.board import boards_of
from xaibench_leaderboard.claims import claims_of
from xaibench_leaderboard.evalever import reports_of
from xaibench_leaderboard.panel import PANEL
from xaibench_leaderboard.standings import rankings_of
from xaibench_leaderboard.table import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from xaibench.contracts import Results
    from xaibench_leaderboard.board import Board
    from xaibench_leaderboard.ranking import Ranking

    Weights = Mapping[str, float]

LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
         ">": r"\textgreater{}", "↑": r"$\uparrow$", "↓": r"$\downarrow$",
         "[": "{[}", **{char: f"\\{char}" for char in "&%$#_{}"}}  # fmt: skip


def export(results: Results, kind: str, folder: Path, weights: Weights) -> Path:
    """Write one format into the folder and return the file."""
    if not results.scores:
        msg = f"{results.folder} holds no scores yet; `xaibench run --out {results.folder}` makes some"
        raise DataError(msg)
    folder.mkdir(parents=True, exist_ok=True)
    return FORMATS[kind](results, folder, weights)


def frame_of(results: Results, weights: Weights) -> pd.DataFrame:
    """One row per explainer and metric, with the place of the explainer."""
    import pandas as pd  # half a second that no other report needs

    claims = claims_of(results, weights)
    places = {
        (*(ranking["labels"][name] for name in PANEL), standing["explainer"]): standing
        for ranking in claims["rankings"]
        for standing in ranking["standings"]
    }
    rows = []
    for row in claims["rows"]:
        found = places.get((*(row[name] for name in PANEL), row["explainer"]), {})
        flat = {name: value for name, value in row.items() if name != "versions"}
        ranks = {f"place_{name}".removesuffix("_place"): found.get(name) for name in ("place", "low", "high")}
        rows.append({**flat, **ranks, "tie_group": found.get("tied"), "mean_rank": found.get("mean_rank")})
    frame = pd.DataFrame(rows)
    counts = [name for name in COUNTS if name in frame]
    return frame.astype(dict.fromkeys(counts, "Int64"))


COUNTS = ("n", "patients", "images", "failed", "undefined", "count", "total", "place_low", "place_high", "tie_group")


def _csv(results: Results, folder: Path, weights: Weights) -> Path:
    path = folder / "results.csv"
    frame_of(results, weights).to_csv(path, index=False, lineterminator="\n")
    return path


def _parquet(results: Results, folder: Path, weights: Weights) -> Path:
    try:
        import pyarrow  # noqa: F401  # an optional extra
    except ImportError as error:
        msg = "--format parquet needs pyarrow; pip install 'xaibench[parquet]'"
        raise UsageError(msg) from error
    path, frame = folder / "results.parquet", frame_of(results, weights)
    versions = [name for name in frame if str(name).endswith("_version")]  # a stranger's version may be any text
    frame.astype(dict.fromkeys(versions, "string")).to_parquet(path, index=False, compression="zstd")
    return path


def _markdown(results: Results, folder: Path, weights: Weights) -> Path:
    path = folder / "results.md"
    path.write_text("\n".join(_pages(results, weights, _markdown_table)), encoding="utf-8", errors="replace")
    return path


def _latex(results: Results, folder: Path, weights: Weights) -> Path:
    path = folder / "results.tex"
    path.write_text("\n".join(_pages(results, weights, _latex_table)), encoding="utf-8", errors="replace")
    return path


def _evalever(results: Results, folder: Path, weights: Weights) -> Path:
    target = folder / "every_eval_ever"
    target.mkdir(exist_ok=True)
    for name, report in reports_of(results):
        text = json.dumps(report, allow_nan=False, indent=1, ensure_ascii=False)
        (target / f"{name}.json").write_text(text, encoding="utf-8")
    return target


FORMATS: Mapping[str, Callable[[Results, Path, Weights], Path]] = {
    "csv": _csv,
    "parquet": _parquet,
    "markdown": _markdown,
    "latex": _latex,
    "every-eval-ever": _evalever,
}


def _pages(
    results: Results, weights: Weights, table: Callable[[str, Sequence[str], list[list[str]], list[str]], list[str]]
) -> Iterator[str]:
    rankings = {tuple(one.labels[name] for name in PANEL): one for one in rankings_of(results, weights).each}
    for board in boards_of(results):
        ranking = rankings[tuple(board.labels[name] for name in PANEL)]
        title = printable(f"{board.title} ({wording.subject(board)})")
        heads = ["explainer", "rank", *(f"{one.label} {wording.arrow(one)}".rstrip() for one in board.columns)]
        notes = [wording.accuracy(board.accuracy), *wording.flags(board), wording.ranked_by(ranking)]
        notes += [f"not ranked: {one.explainer}: {one.reason}" for one in ranking.unranked]
        yield from table(title, list(map(printable, heads)), _body(board, ranking), list(map(printable, notes)))


def _body(board: Board, ranking: Ranking) -> list[list[str]]:
    places = {standing.explainer: standing for standing in ranking.standings}
    rows = sorted(board.methods, key=lambda row: places[row.explainer].place if row.explainer in places else 1e9)
    return [
        [
            printable(wording.titled(row)),
            "" if row.reference else wording.place(places.get(row.explainer)),
            *(
                wording.measured(score.estimate) if score and score.estimate else printable(wording.status(score))
                for score in row.scores
            ),
        ]
        for row in (*rows, *board.references)
    ]


def _markdown_table(title: str, heads: Sequence[str], body: list[list[str]], notes: list[str]) -> list[str]:
    rows = [heads, ["---"] * len(heads), *body]
    lines = ["| " + " | ".join(cells) + " |" for cells in ([_in_markdown(cell) for cell in row] for row in rows)]
    return [f"## {_in_markdown(title)}", "", *lines, "", *(f"- {_in_markdown(note)}" for note in notes), ""]


def _in_markdown(text: str) -> str:
    """Names come from strangers: neither a table, nor HTML, nor a link may come of them."""
    if text == "---":
        return text
    for char in "\\`*_|[]":
        text = text.replace(char, f"\\{char}")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _latex_table(title: str, heads: Sequence[str], body: list[list[str]], notes: list[str]) -> list[str]:
    rows = [" & ".join(map(_in_latex, row)) + r" \\" for row in body]
    return [
        r"\begin{table}",
        rf"\caption{{{_in_latex(title)}}}",
        rf"\begin{{tabular}}{{ll{'r' * (len(heads) - 2)}}}",
        r"\hline",
        " & ".join(map(_in_latex, heads)) + r" \\",
        r"\hline",
        *rows,
        r"\hline",
        r"\end{tabular}",
        *(rf"\par {_in_latex(note)}" for note in notes),
        r"\end{table}",
        "",
    ]


def _in_latex(text: str) -> str:
    return "".join(LATEX.get(char, char) for char in text)
