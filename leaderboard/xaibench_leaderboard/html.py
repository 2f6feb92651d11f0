"""The leaderboard as one file that needs neither network nor server: data inside, drawn by a script of our own."""

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
from xaibench_leaderboard.accuracy import BAR, DROP, FEWEST, WIDEST
from xaibench_leaderboard.board import boards_of
from xaibench_leaderboard.infills import agreements_of
from xaibench_leaderboard.page.content import Drawn, content_of
from xaibench_leaderboard.page.gallery import gallery_of
from xaibench_leaderboard.page.packing import pack
from xaibench_leaderboard.page.scorecard import CITATION, answers
from xaibench_leaderboard.remembering import uncollected
from xaibench_leaderboard.shortcut import shortcuts_of
from xaibench_leaderboard.standings import rankings_of
from xaibench_leaderboard.statistics import REPLICATES
from xaibench_leaderboard.weights import DEFAULT, parse_weights

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from xaibench.contracts import Results
    from xaibench_leaderboard.board import Board, Column

NAME = "leaderboard.html"
SCRIPTS = ("base", "ranking", "board", "cell", "export", "plots", "statistics", "models", "gallery", "about", "main")
PLAIN = 4000  # numbers up to which the page carries plain tables for browsers without script


class Html:
    """Writes `leaderboard.html`, and pictures beside it where they may be passed on, or `gallery` asks for them."""

    card = Card(name="html", summary=f"The leaderboard as {NAME}, one offline page")

    def __init__(self, weights: str = "", gallery: bool = False) -> None:
        self.weights = parse_weights(weights)
        self.gallery = gallery

    def render(self, results: Results, folder: Path) -> Path:
        """Write the file, whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        beside = folder / f".{NAME}.{uuid.uuid4().hex}"
        pictures = gallery_of(results, boards_of(results), folder, asked=self.gallery)
        with uncollected():
            page = page_of(results, self.weights, pictures)
        beside.write_text(page, encoding="utf-8", errors="replace")
        beside.replace(folder / NAME)
        return folder / NAME


def page_of(results: Results, weights: Mapping[str, float] = DEFAULT, gallery: Mapping[str, Any] | None = None) -> str:
    """The whole page."""
    style, script = _asset("board.css"), "".join(_asset(f"{name}.js") for name in SCRIPTS)
    boards = boards_of(results)
    drawn = Drawn(results, boards, rankings_of(results, weights), gallery or {})
    template = _environment().get_template("board.html.j2")
    return template.render(
        boards=boards,
        plain=sum(len(board.rows) * len(board.columns) for board in boards) <= PLAIN,
        content=pack(content_of(drawn)),
        shortcuts=shortcuts_of(results),
        infills=agreements_of(results),
        columns=_metrics(boards),
        answers=answers(boards),
        citation=CITATION,
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
        fewest=FEWEST,
        widest=WIDEST,
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
    """Nothing runs but our own style and script, known by their digests; pictures come from beside the page only."""
    return (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; img-src 'self' file:; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


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
