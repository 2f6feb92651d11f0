"""The leaderboard in a terminal: all numbers, nothing cut, readable through a pipe."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group
from rich.measure import Measurement
from rich.table import Table as Grid
from rich.text import Text

from xaibench.contracts import Card
from xaibench_leaderboard import wording
from xaibench_leaderboard.board import boards_of
from xaibench_leaderboard.shortcut import shortcuts_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rich.console import RenderableType

    from xaibench.contracts import Results
    from xaibench_leaderboard.board import Board, Row, Score
    from xaibench_leaderboard.shortcut import Shortcut, Witness


class Table:
    """Prints one table per model, task and target."""

    card = Card(name="table", summary="The leaderboard in the terminal")

    def render(self, results: Results, folder: Path) -> Path | None:
        """Print; no file is written."""
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # an arrow must not end a run on a console without arrows
        boards = boards_of(results)
        pieces = [piece for board in boards for piece in _board(board)]
        pieces += [piece for report in shortcuts_of(boards) for piece in _shortcut(report)]
        console = Console(markup=False, highlight=False, emoji=False, legacy_windows=False)
        console.width = _width(console, pieces)
        console.print(Group(*pieces))
        return None


def _width(console: Console, pieces: list[RenderableType]) -> int:
    """Through a pipe as wide as the content; on a terminal as wide as it is, unless that would cut numbers."""
    endless = console.options.update(max_width=10_000)
    if console.is_terminal:
        grids = [piece for piece in pieces if isinstance(piece, Grid)]
        return max(console.width, *(Measurement.get(console, endless, grid).minimum for grid in grids), 0)
    return max(console.width, Measurement.get(console, endless, Group(*pieces)).maximum)


def printable(text: str) -> str:
    """On one line, without control characters: names and reasons come from strangers."""
    line = " ".join(text.split())
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in line)


def _line(text: str, style: str = "") -> Text:
    return Text(printable(text), style=style)


def _board(board: Board) -> list[RenderableType]:
    notes: dict[str, int] = {}
    grid = _grid(board, notes)
    lines = [_line(f"{board.title} ({wording.subject(board)})", "bold"), _line(wording.accuracy(board.accuracy))]
    lines += [_line(f"! {flag}", "bold yellow") for flag in wording.flags(board)]
    below = [_line(f"[{at}] {note}") for note, at in notes.items()]
    below += [
        _line(f"grey: {column.label} failed the audit: {column.reason}") for column in board.columns if column.greyed
    ]
    return [*lines, grid, *below, _line(wording.order(board), "dim"), Text("")]


def _grid(board: Board, notes: dict[str, int]) -> Grid:
    grid = Grid(box=box.HORIZONTALS, pad_edge=False)
    grid.add_column("explainer", overflow="fold")
    for at, column in enumerate(board.columns):
        style = "dim" if column.greyed else ""
        grid.add_column(Text(_heading(board, at), style=style), style=style, justify="right", overflow="fold")
    grid.add_column("maps ok", justify="right")
    _add_rows(grid, board, board.methods, notes)
    grid.add_section()
    _add_rows(grid, board, board.references, notes)
    return grid


def _heading(board: Board, at: int) -> str:
    column = board.columns[at]
    unit = f"({column.card['unit']})" if column.card.get("unit") else ""
    lines = [f"{column.label} {wording.arrow(column)} {unit}", f"n {wording.images(board, at)}"]
    return "\n".join(map(printable, filter(None, [*lines, wording.audited(column)])))


def _add_rows(grid: Grid, board: Board, rows: Iterable[Row], notes: dict[str, int]) -> None:
    for row in rows:
        name = f"{row.explainer} ({row.reference})" if row.reference else row.explainer
        cells = [_cell(score, board, notes) for score in row.scores]
        grid.add_row(_line(name), *cells, wording.covered(row, board))


def _cell(score: Score | None, board: Board, notes: dict[str, int]) -> str:
    if score is None or score.estimate is None:
        text = printable(wording.status(score))
        return f"{score.status} {_note(text, notes)}" if score and score.reason else text
    mark = _note(partial, notes) if (partial := wording.partial(score, board)) else ""
    return f"{wording.measured(score.estimate)} {mark}".rstrip()


def _note(text: str, notes: dict[str, int]) -> str:
    return f"[{notes.setdefault(text, len(notes) + 1)}]"


def _shortcut(report: Shortcut) -> list[RenderableType]:
    grid = Grid(box=box.HORIZONTALS, pad_edge=False)
    for name in ("explainer", "energy on marker", "energy on lesion", "reveals the marker", "why"):
        grid.add_column(name, overflow="fold")
    _add_witnesses(grid, report.methods)
    grid.add_section()
    _add_witnesses(grid, report.references)
    title = f"Shortcut report: {report.board.title} ({wording.subject(report.board)})"
    return [_line(title, "bold"), _line(wording.drop(report)), _line(wording.warned(report)), grid, Text("")]


def _add_witnesses(grid: Grid, witnesses: Iterable[Witness]) -> None:
    for witness in witnesses:
        shares = [
            wording.measured(score.estimate) if score and score.estimate else wording.status(score)
            for score in (witness.marker, witness.lesion)
        ]
        kind = witness.row.reference or witness.verdict
        grid.add_row(*map(_line, (witness.row.explainer, *shares, kind, witness.reason)))
