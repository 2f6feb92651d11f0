"""What of a study may be shown: tables, drawings, and the results without anything made of films."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from xaibench.caching import cache_root
from xaibench.errors import UsageError
from xaibench.files import from_json, write_json
from xaibench_leaderboard.archives import opened
from xaibench_leaderboard.claims import NAME
from xaibench_leaderboard.differing import differences
from xaibench_leaderboard.study.figures import draw
from xaibench_leaderboard.study.packing import pack_runs
from xaibench_leaderboard.study.rendering import markdown, plain, section, table_csv
from xaibench_leaderboard.study.running import done, folders
from xaibench_leaderboard.submitting import LEFT_OUT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xaibench_leaderboard.study.comparison import Filled
    from xaibench_leaderboard.study.plan import Study


def write(study: Study, tables: Sequence[Filled], command: str, folder: Path, runs: Sequence[dict[str, Any]]) -> None:
    """Tables in all forms."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "reproduction.json", plain(study, tables, command, runs))
    _text(folder / "tables.csv", table_csv(tables))
    _text(folder / "section.html", section(study, tables, command))
    _text(folder / "index.md", markdown(study, tables, command))


def alone(folder: Path) -> FileLock:
    """Within it, nobody else with our cache publishes in the folder. Nothing of it lies among what is published."""
    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    place = cache_root() / "publishing" / f"{name}.lock"
    place.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(place)


def publish(study: Study, tables: Sequence[Filled], command: str, folder: Path, out: Path, seed: int) -> None:
    """The study's folder in the documentation: no film, and no map over one."""
    with tempfile.TemporaryDirectory(prefix="xaibench-publish-") as scratch:
        packed = pack_runs(folders(study, out, seed), Path(scratch))
        _refuse_to_lose(folder, Path(scratch), out)
        folder.mkdir(parents=True, exist_ok=True)
        for one in packed:
            _put(Path(scratch) / one["file"], folder / one["file"])
    write(study, tables, command, folder, packed)
    pictures = draw(study, tables, done(study, out, seed), folder)
    beside = [f"![{words}]({name})\n\n*{words}.*" for name, words in pictures]
    beside.append(_how_to_verify(packed))
    _text(folder / "index.md", markdown(study, tables, command, beside))


def _refuse_to_lose(published: Path, packed: Path, out: Path) -> None:
    """What is published stays until somebody takes it away who means it."""
    for archive in sorted(published.glob("*.zip")):
        new = packed / archive.name
        if not new.exists():
            why = f"{out} has nothing of it (another plan, seed or command, or a part that was only begun)"
        elif _cells(new) < _cells(archive):
            why = f"{out} has only {_cells(new)} of its {_cells(archive)} cells"
        else:
            continue
        raise UsageError(f"{archive} would be lost: {why}; move it away if that is meant. Nothing was published")


def _put(new: Path, place: Path) -> None:
    """An archive that holds nothing new stays, byte for byte. Whoever looks sees the old one or the new one, whole."""
    if not place.exists() or _tells_more(new, place):
        beside = place.with_name(f".{place.name}.unfinished")
        shutil.copyfile(new, beside)
        beside.replace(place)


def _tells_more(new: Path, old: Path) -> bool:
    """Other processors round the claims otherwise; that is nothing new if the records are the same."""
    if {**_members(new), NAME: 0} != {**_members(old), NAME: 0}:
        return True
    with opened(new) as now, opened(old) as before:
        return any(differences(from_json(before.read(NAME)), from_json(now.read(NAME))))


def _members(archive: Path) -> dict[str, int]:
    """Names and check sums of the results."""
    with opened(archive) as packed:
        return {one.filename: one.CRC for one in packed.infolist() if one.filename != LEFT_OUT}


def _cells(archive: Path) -> int:
    return sum(name.endswith("/cell.json") for name in _members(archive))


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
