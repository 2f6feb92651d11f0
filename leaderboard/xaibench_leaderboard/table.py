"""The leaderboard in a terminal: all numbers, nothing cut, readable through a pipe."""

from __future__ import annotations

import io
import math
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
from xaibench_leaderboard.infills import agreements_of
from xaibench_leaderboard.panel import PANEL
from xaibench_leaderboard.shortcut import shortcuts_of
from xaibench_leaderboard.standings import rankings_of
from xaibench_leaderboard.weights import parse_weights

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from rich.console import RenderableType

    from xaibench.contracts import Results
    from xaibench_leaderboard.board import Board, Row, Score
    from xaibench_leaderboard.ranking import Ranking, Standing
    from xaibench_leaderboard.shortcut import Shortcut, Witness


class Table:
    """Prints one table per model, task and target."""

    card = Card(name="table", summary="The leaderboard in the terminal")

    def __init__(self, weights: str = "") -> None:
        self.weights = parse_weights(weights)

    def render(self, results: Results, folder: Path) -> Path | None:
        """Print; no file is written."""
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # an arrow must not end a run on a console without arrows
        boards, rankings = boards_of(results), rankings_of(results, self.weights)
        each = {tuple(ranking.labels[name] for name in PANEL): ranking for ranking in rankings.each}
        pieces = [
            piece for board in boards for piece in _board(board, each[tuple(board.labels[name] for name in PANEL)])
        ]
        pieces += _overall(rankings.overall) if rankings.overall else []
        pieces += [piece for report in shortcuts_of(results) for piece in _shortcut(report)]
        pieces += [_line(wording.infills(found)) for found in agreements_of(results)]
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


def _board(board: Board, ranking: Ranking) -> list[RenderableType]:
    notes: dict[str, int] = {}
    grid = _grid(board, ranking, notes)
    lines = [_line(f"{board.title} ({wording.subject(board)})", "bold"), _line(wording.accuracy(board.accuracy))]
    lines += [_line(f"! {flag}", "bold yellow") for flag in wording.flags(board)]
    below = [_line(f"[{at}] {note}") for note, at in notes.items()]
    below += [
        _line(f"grey: {column.label} failed the audit: {column.reason}") for column in board.columns if column.greyed
    ]
    below += [_line(f"not ranked: {one.explainer}: {one.reason}") for one in ranking.unranked]
    below += [_line(f"ranking: {note}") for note in ranking.notes]
    told = filter(None, [wording.ranked_by(ranking), wording.tested(ranking.critical)])
    return [*lines, grid, *below, *(_line(text, "dim") for text in told), Text("")]


def _overall(ranking: Ranking) -> list[RenderableType]:
    """Over all boards: places, and the mean rank in each family."""
    grid = Grid(box=box.HORIZONTALS, pad_edge=False)
    for name in ("explainer", "rank", "mean rank", *ranking.weights):
        grid.add_column(printable(name), justify="left" if name == "explainer" else "right", overflow="fold")
    for standing in ranking.standings:
        ranks = [standing.families.get(family) for family in ranking.weights]
        numbers = [wording.number(rank) if rank is not None else "-" for rank in (standing.mean_rank, *ranks)]
        grid.add_row(_line(standing.explainer), wording.place(standing), *numbers)
    below = [_line(f"not ranked: {one.explainer}: {one.reason}") for one in ranking.unranked]
    below += [_line(f"ranking: {note}") for note in ranking.notes]
    told = filter(None, [wording.ranked_by(ranking), wording.tested(ranking.critical)])
    return [_line("Over all boards", "bold"), grid, *below, *(_line(text, "dim") for text in told), Text("")]


def _grid(board: Board, ranking: Ranking, notes: dict[str, int]) -> Grid:
    grid = Grid(box=box.HORIZONTALS, pad_edge=False)
    grid.add_column("explainer", overflow="fold")
    grid.add_column("rank", justify="right", no_wrap=True)
    for at, column in enumerate(board.columns):
        style = "dim" if column.greyed else ""
        grid.add_column(Text(_heading(board, at), style=style), style=style, justify="right", overflow="fold")
    grid.add_column("maps ok", justify="right")
    grid.add_column("model's\naccuracy", justify="right")
    places = {standing.explainer: standing for standing in ranking.standings}
    _add_rows(grid, board, _by_place(board, places), places, notes)
    grid.add_section()
    _add_rows(grid, board, board.references, places, notes)
    return grid


def _by_place(board: Board, places: Mapping[str, Standing]) -> list[Row]:
    """Ranked methods first; the others stay in their order."""
    return sorted(
        board.methods,
        key=lambda row: places[row.explainer].place if row.explainer in places else math.inf,
    )


def _heading(board: Board, at: int) -> str:
    column = board.columns[at]
    unit = f"({column.card['unit']})" if column.card.get("unit") else ""
    lines = [f"{column.label} {wording.arrow(column)} {unit}", f"n {wording.images(board, at)}"]
    return "\n".join(map(printable, filter(None, [*lines, wording.audited(column)])))


def _add_rows(
    grid: Grid, board: Board, rows: Iterable[Row], places: Mapping[str, Standing], notes: dict[str, int]
) -> None:
    for row in rows:
        name = wording.titled(row)
        place = "" if row.reference else wording.place(places.get(row.explainer))
        cells = [_cell(score, board, notes) for score in row.scores]
        grid.add_row(_line(name), place, *cells, wording.covered(row, board), wording.beside(board))


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
        kind = wording.kind(witness.row) or witness.verdict
        grid.add_row(*map(_line, (witness.row.explainer, *shares, kind, witness.reason)))
