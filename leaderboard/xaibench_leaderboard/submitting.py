"""A results folder packed for sending: scores, records and claims, and no more of the images than may leave the house.

Pictures and heatmaps of a dataset go along only if its card names a licence that lets everybody pass them on; a
heatmap shows where a lesion is, and some show the film itself. Whatever is left out is told, in the archive too.
"""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xaibench.errors import DataError, UsageError
from xaibench.files import read_json
from xaibench.store import Store, check_schema
from xaibench_leaderboard.claims import NAME
from xaibench_leaderboard.links import refuse_links

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Licences under which anybody may pass on the images and what is derived from them, spelled in full: "CC BY 4.0 is
# often quoted" is no licence, and "CC BY-NC-ND" allows no derivatives.
FREE = re.compile(
    r"cc0( 1\.0)?|cc[ -]by(-sa)?[ -][1-4]\.0|mit|apache-2\.0|bsd-[23]-clause|public domain", re.IGNORECASE
)
PLAIN = ("xaibench.json", NAME)
LEFT_OUT = "left_out.json"  # the archive's own word on what it lacks
MAPS = ("maps.npy", "maps.z")
RECORDS = ("runs", "environments", "audits")


@dataclass(frozen=True)
class Packed:
    """What went into the archive, and what did not."""

    archive: Path
    files: int
    left_out: tuple[tuple[str, str], ...]  # (what, why)


def submit(folder: Path, archive: Path) -> Packed:
    """Pack a results folder."""
    _check(folder, archive)
    files, left_out = _sorted_out(folder)
    beside = archive.with_name(f".{archive.name}.unfinished")
    with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in files:
            packed.write(path, path.relative_to(folder).as_posix())
        told = [{"what": what, "why": why} for what, why in left_out]
        packed.writestr(LEFT_OUT, json.dumps(told, indent=1, ensure_ascii=False))
    beside.replace(archive)
    return Packed(archive, len(files), tuple(left_out))


def _check(folder: Path, archive: Path) -> None:
    marker = read_json(folder / "xaibench.json")
    if marker is None:
        msg = f"{folder} is not a results folder; `xaibench run --out {folder}` makes one"
        raise DataError(msg)
    check_schema(folder, marker)
    refuse_links(folder)
    if not (folder / NAME).exists():
        msg = f"{folder} holds no {NAME}; `xaibench leaderboard --results {folder}` writes the claims to be sent"
        raise DataError(msg)
    if archive.exists():
        msg = f"--out {archive}: it is there already; name a new file"
        raise UsageError(msg)


def _sorted_out(folder: Path) -> tuple[list[Path], list[tuple[str, str]]]:
    """Files to send, and what is left out and why."""
    files = [folder / name for name in PLAIN]
    files += [path for name in RECORDS for path in sorted((folder / name).glob("*.json"))]
    left_out: dict[str, str] = {}
    for cell in sorted((folder / "cells").glob("??/*")):
        description = Store(folder).description(cell.name) or {}
        free, why = may_pass_on(description.get("cards", {}).get("task", {}))
        for path in sorted(path for path in cell.rglob("*") if path.is_file() and not path.name.startswith(".")):
            if path.name in MAPS and not free:
                left_out[f"heatmaps on {description.get('labels', {}).get('task', 'an unknown task')}"] = why
            elif path.name in ("cell.json", "record.json", "trouble.json", *MAPS):
                files.append(path)
    return files, [*left_out.items(), *_others(folder)]


def _others(folder: Path) -> Iterator[tuple[str, str]]:
    """Everything in the folder that is no record: pages and pictures can be made again, the rest is not ours."""
    known = {*PLAIN, *RECORDS, LEFT_OUT, "cells", "tmp", "damaged"}
    for path in sorted(folder.iterdir()):
        if path.name not in known:
            yield path.name, "pages and pictures are made again from the records"


def may_pass_on(card: Any) -> tuple[bool, str]:
    """Whether images of a task, and maps made of them, may be sent to others; and why not."""
    licence = str(card.get("licence", "")) if isinstance(card, dict) else ""
    if not licence:
        return False, "the task's card names no licence"
    if all(FREE.fullmatch(part.strip()) for part in licence.split(";")):  # several: of data taken together
        return True, ""
    return False, f"the licence of the task lets not everybody pass them on: {licence}"
