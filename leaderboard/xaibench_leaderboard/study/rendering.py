"""A filled study as Markdown, HTML, CSV and JSON: the same rows and words in each."""

from __future__ import annotations

import csv
import html
import io
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from xaibench_leaderboard.wording import interval, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xaibench_leaderboard.statistics import Estimate
    from xaibench_leaderboard.study.comparison import Filled, Line
    from xaibench_leaderboard.study.plan import Study

HEADINGS = ("row", "figure", "set-up", "paper", "ours", "difference", "reading")
FIELDS = ("table", *HEADINGS[:4], "ours", "low", "high", "images", "patients", "trainings", "difference", "reading")


def large(value: float) -> str:
    """A figure as people read it: millions and billions in words of their own."""
    for least, size, unit in ((1e9, 1e9, " G"), (1e5, 1e6, " M")):
        if abs(value) >= least:
            return f"{value / size:.1f}{unit}"
    return number(value)


def told(estimate: Estimate | None) -> str:
    """A figure with its interval."""
    if estimate is None:
        return "-"
    return f"{large(estimate.mean)} {interval(estimate)}".rstrip()


def cells(line: Line) -> tuple[str, ...]:
    """One row of a table, in words."""
    difference = line.difference
    return (
        line.row,
        line.measure.replace("_", " "),
        line.part,
        "-" if line.paper is None else large(line.paper),
        told(line.ours.estimate),
        "-" if difference is None else f"{'+' if difference >= 0 else '-'}{large(abs(difference))}",
        line.verdict,
    )


def grid(one: Filled) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and rows: a figure a row where the paper has some, else all figures of a row beside each other."""
    if any(line.paper is not None for line in one.lines):
        return HEADINGS, [cells(line) for line in one.lines]
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for line in one.lines:
        missing = "" if line.ours.estimate else line.ours.reason
        rows.setdefault((line.row, line.part), {})[line.measure] = missing or told(line.ours.estimate)
    measures = [name for name in one.table.measures if any(line.ours.estimate for line in _of(one, name))]
    heads = ("row", "set-up", *(measure.replace("_", " ") for measure in measures))
    return heads, [(*names, *(found.get(measure, "-") for measure in measures)) for names, found in rows.items()]


def _of(one: Filled, measure: str) -> list[Line]:
    return [line for line in one.lines if line.measure == measure]


def _run(one: Filled) -> bool:
    return any(line.ours.estimate for line in one.lines)


def _not_run(tables: Sequence[Filled]) -> str:
    missing = [f"{one.table.name} ({one.table.title})" for one in tables if not _run(one)]
    return f"Not run, or undefined: {'; '.join(missing)}." if missing else ""


def markdown(study: Study, tables: Sequence[Filled], command: str, beside: Sequence[str] = ()) -> str:
    """A page."""
    parts = [f"# {study.title}", _about(study), f"Made by `{command}`.", *beside]
    for one in filter(_run, tables):
        heads, body = grid(one)
        rows = [heads, ("---",) * len(heads), *body]
        lines = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
        parts += [f"## {one.table.name}: {one.table.title}", lines, f"*{one.caption}*", *_differs(study, one)]
    parts.append(_not_run(tables))
    return "\n\n".join(filter(None, parts)) + "\n"


def _about(study: Study) -> str:
    return f"After {study.paper}." if study.paper else ""


def _differs(study: Study, one: Filled) -> list[str]:
    shown = [f"In the paper: {one.table.shown}."] if one.table.shown and study.paper else []
    causes = "\n".join(f"- {cause}" for cause in one.causes)
    return shown + ([f"What differs, or pulls the figures apart:\n\n{causes}"] if causes else [])


def section(study: Study, tables: Sequence[Filled], command: str) -> str:
    """A piece of HTML, to be put into a page."""
    parts = [f"<section><h1>{_safe(study.title)}</h1>"]
    parts += [f"<p>{_safe(_about(study))} Made by <code>{_safe(command)}</code>.</p>"]
    for one in filter(_run, tables):
        heads, rows = grid(one)
        head = "".join(f"<th>{_safe(name)}</th>" for name in heads)
        body = "".join(f"<tr>{''.join(f'<td>{_safe(cell)}</td>' for cell in row)}</tr>" for row in rows)
        causes = "".join(f"<li>{_safe(cause)}</li>" for cause in one.causes)
        parts.append(
            f"<h2>{_safe(one.table.name)}: {_safe(one.table.title)}</h2>"
            f"<table><caption>{_safe(one.caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            f"<p>What differs:</p><ul>{causes}</ul>"
        )
    parts += [f"<p>{_safe(missing)}</p>"] if (missing := _not_run(tables)) else []
    return "\n".join([*parts, "</section>"]) + "\n"


def _safe(text: str) -> str:
    return html.escape(text)


def table_csv(tables: Sequence[Filled]) -> str:
    """One line per figure."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(FIELDS)
    for one in tables:
        for line in one.lines:
            found = line.ours.estimate
            numbers = [found.mean, found.low, found.high, found.images, found.patients] if found else [None] * 5
            told = [one.table.name, line.row, line.measure, line.part, line.paper, *numbers]
            writer.writerow([*told, line.ours.trainings, line.difference, line.verdict])
    return stream.getvalue()


def plain(study: Study, tables: Sequence[Filled], command: str, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All of it as JSON can hold it."""
    return {
        "study": study.name,
        "title": study.title,
        "paper": study.paper,
        "command": command,
        "reduced": study.cut,
        "runs": list(runs),
        "tables": [
            {
                "name": one.table.name,
                "title": one.table.title,
                "caption": one.caption,
                "causes": list(one.causes),
                "rows": [_row(line) for line in one.lines],
            }
            for one in tables
        ],
    }


def _row(line: Line) -> dict[str, Any]:
    found = line.ours.estimate
    return {
        "row": line.row,
        "figure": line.measure,
        "part": line.part,
        "paper": line.paper,
        "ours": asdict(found) if found else None,
        "trainings": line.ours.trainings,
        "difference": line.difference,
        "reading": line.verdict,
    }
