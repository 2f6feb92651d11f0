"""The leaderboard as one file that needs neither network nor server: tables first, a little script for sorting."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from xaibench import __version__
from xaibench.contracts import Card
from xaibench_leaderboard import wording
from xaibench_leaderboard.accuracy import BAR, DROP
from xaibench_leaderboard.board import boards_of
from xaibench_leaderboard.shortcut import shortcuts_of
from xaibench_leaderboard.statistics import REPLICATES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from xaibench.contracts import Results
    from xaibench_leaderboard.board import Board, Column

NAME = "leaderboard.html"
SHADES = 6


class Html:
    """Writes `leaderboard.html`."""

    card = Card(name="html", summary=f"The leaderboard as {NAME}, one offline page")

    def render(self, results: Results, folder: Path) -> Path:
        """Write the file, whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        beside = folder / f".{NAME}.{uuid.uuid4().hex}"
        beside.write_text(page_of(results), encoding="utf-8")
        beside.replace(folder / NAME)
        return folder / NAME


def page_of(results: Results) -> str:
    """The whole page."""
    style, script = _asset("board.css"), _asset("board.js")
    boards = boards_of(results)
    template = _environment().get_template("board.html.j2")
    return template.render(
        boards=[(board, _shades(board)) for board in boards],
        shortcuts=shortcuts_of(boards),
        columns=_metrics(boards),
        audit=results.audit,
        environment=list(_flat(results.environment)),
        folder=results.folder.name,
        style=style,
        script=script,
        policy=_policy(style, script),
        wording=wording,
        version=__version__,
        replicates=REPLICATES,
        bar=BAR,
        drop=DROP,
    )


def _environment() -> Environment:
    """Everything is escaped, whatever a template is called: names and reasons come from strangers."""
    return Environment(
        loader=PackageLoader("xaibench_leaderboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _asset(name: str) -> str:
    return (files("xaibench_leaderboard") / "templates" / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Nothing is fetched and nothing runs but our own style and script, known by their digests."""
    return (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _shades(board: Board) -> list[list[int | None]]:
    """Per method and column: 0 (the worst mean of the column, references included) to `SHADES` (the best)."""
    columns = [_scale(board, at) for at in range(len(board.columns))]
    return [[column[at] for column in columns] for at in range(len(board.methods))]


def _scale(board: Board, at: int) -> list[int | None]:
    means = [score.mean if (score := row.scores[at]) else None for row in board.rows]
    known = [mean for mean in means if mean is not None]
    if not board.columns[at].judges or not known or min(known) == max(known):
        return [None] * len(means)
    worst, best = (min(known), max(known)) if board.columns[at].higher_is_better else (max(known), min(known))
    return [None if mean is None else round(SHADES * (mean - worst) / (best - worst)) for mean in means]


def _metrics(boards: Sequence[Board]) -> list[Column]:
    """Every metric of the page once."""
    return list({column.label: column for board in boards for column in board.columns}.values())


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """A nested record as rows of a table."""
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
