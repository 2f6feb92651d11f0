"""What of a study may be shown: tables, drawings, and the results without anything made of films."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xaibench.files import write_json
from xaibench_leaderboard.study.figures import draw
from xaibench_leaderboard.study.packing import pack_runs
from xaibench_leaderboard.study.rendering import markdown, plain, section, table_csv
from xaibench_leaderboard.study.running import done, folders

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from xaibench_leaderboard.study.comparison import Filled
    from xaibench_leaderboard.study.plan import Study


def write(study: Study, tables: Sequence[Filled], command: str, folder: Path, runs: Sequence[dict[str, Any]]) -> None:
    """Tables in all forms."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "reproduction.json", plain(study, tables, command, runs))
    _text(folder / "tables.csv", table_csv(tables))
    _text(folder / "section.html", section(study, tables, command))
    _text(folder / "index.md", markdown(study, tables, command))


def publish(study: Study, tables: Sequence[Filled], command: str, folder: Path, out: Path, seed: int) -> None:
    """The study's folder in the documentation: no film, and no map over one."""
    packed = pack_runs(folders(study, out, seed), folder)
    for left in {path.name for path in folder.glob("*.zip")} - {one["file"] for one in packed}:
        (folder / left).unlink()  # of a run that the study no longer has
    write(study, tables, command, folder, packed)
    pictures = draw(study, tables, done(study, out, seed), folder)
    beside = [f"![{words}]({name})\n\n*{words}.*" for name, words in pictures]
    beside.append(_how_to_verify(packed))
    _text(folder / "index.md", markdown(study, tables, command, beside))


def _how_to_verify(packed: Sequence[dict[str, Any]]) -> str:
    if not packed:
        return ""
    files = ", ".join(f"`{one['file']}`" for one in packed)
    return (
        "All figures as [JSON](reproduction.json) and [CSV](tables.csv). The scores of every image, without films or "
        f"maps of films: {files}; `xaibench verify FILE` makes a sample of them again, where the data are."
    )


def _text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
