"""The gallery: which images, which rows, and the files beside the page."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xaibench.errors import XaibenchError
from xaibench.store import Store
from xaibench_leaderboard import wording
from xaibench_leaderboard.page import thumbnails
from xaibench_leaderboard.page.packing import rounded
from xaibench_leaderboard.page.sources import Maps, entry_of, maps_key, sign_of, task_of, union
from xaibench_leaderboard.page.tables import LESSONS, keys_of
from xaibench_leaderboard.submitting import may_pass_on

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from xaibench.contracts import Floats, Mask, Prediction, Result, Results, Task
    from xaibench_leaderboard.board import Board, Row
    from xaibench_leaderboard.page.tables import Keys

FOLDER = "leaderboard-gallery"
EACH = 4  # images of each kind: best, worst, wrong
ROWS = 60  # methods in a row of pictures
STRIPS = 12
RUNS = 5
UNASKED = 12  # boards that get pictures without being asked
ASKING = "xaibench leaderboard --results FOLDER --gallery"


@dataclass(frozen=True)
class Scene:
    """A board whose images and maps are at hand."""

    board: Board
    results: Mapping[str, Result]  # explainer -> the cell whose values order the images
    store: Store
    task: Task
    prediction: Prediction
    folder: Path

    def place(self, image: str) -> int:
        """Where an image stands in the run."""
        return self.prediction.ids.index(image)


def gallery_of(results: Results, boards: Sequence[Board], folder: Path, *, asked: bool) -> dict[str, Any]:
    """What the page needs to know of the pictures; the pictures are written into `folder`."""
    store, keys = Store(results.folder), keys_of(results.scores)
    found = {}
    for number, board in enumerate(boards, 1):
        if number > UNASKED and not asked:
            note = f"Pictures are made of the first {UNASKED} boards only, unless `{ASKING}` asks."
            found[str(number)] = {"note": note}
        else:
            found[str(number)] = _board(results, board, keys, store, folder / FOLDER, asked=asked)
    return found


def _board(results: Results, board: Board, keys: Keys, store: Store, folder: Path, *, asked: bool) -> dict[str, Any]:
    cells = {row.explainer: cell for row in board.rows if (cell := _cell(board, row, keys))}
    identity = next((_identity(store, cell) for cell in cells.values()), {})
    card = next((cell.cards.get("task", {}) for cell in cells.values()), {})
    licence, (free, why) = str(card.get("licence", "")), may_pass_on(card)
    if not identity:
        return {"note": "No pictures: the maps are not in this folder."}
    if not free and not asked:
        return {"note": f"No pictures: {why}. `{ASKING}` makes them, for your own eyes."}
    prediction = next((one for one in results.predictions if _is_of(one, board)), None)
    task = task_of(store, identity["task"])
    if task is None or prediction is None:
        return {"note": "No pictures: the data are not at hand here, or are not those of the run."}
    scene = Scene(board, cells, store, task, prediction, folder)
    terms = {"licence": licence, "citation": card.get("citation", ""), "private": not free}
    try:
        return _shown(scene) | terms
    except (XaibenchError, OSError) as error:  # of no path: the page may be passed on
        return {"note": f"No pictures: an image or a map could not be read ({type(error).__name__})."}


def _identity(store: Store, cell: Result) -> dict[str, Any]:
    return dict((store.description(cell.key) or {}).get("identity") or {})


def _cell(board: Board, row: Row, keys: Keys) -> Result | None:
    """The finished cell of a row whose values order images; else any finished one, for its maps."""
    columns = ([board.order] if board.order else []) + list(board.columns)
    cells = (keys.result(board, row, column) for column in columns)
    return next((cell for cell in cells if cell and cell.status == "ok"), None)


def _is_of(prediction: Prediction, board: Board) -> bool:
    names = ("task", "fold", "model", "precision")
    return all(prediction.labels.get(name, "") == board.labels.get(name, "") for name in names)


def _shown(scene: Scene) -> dict[str, Any]:
    chosen = _chosen(scene)
    places = [scene.place(image) for image in chosen]
    maps = {row.explainer: _maps(scene, row, "", places) for row in _rows(scene)}
    cases = [_case(scene, maps, image, why) for image, why in chosen.items()]
    methods = [row for row in _rows(scene) if not row.reference]
    strips = [strip for row in methods for image in list(chosen)[:1] if (strip := _strip(scene, row, image))]
    return {
        "tile": thumbnails.TILE,
        "metric": scene.board.order.label if scene.board.order else "",
        "cases": [case for case in cases if case],
        "strips": strips[:STRIPS],
        "strips_note": "The same image, model and explainer; only the seed differs. What changes from one to the next "
        "is chance, not explanation.",
    }


def _maps(scene: Scene, row: Row, variant: str, places: Sequence[int]) -> Maps:
    cell = scene.results[row.explainer]
    key = maps_key(_identity(scene.store, cell), variant)
    return Maps(scene.store, (key, cell.count), sign_of(cell), places)


# ------------------------------------------------------------------------------------------------------ which images


def _chosen(scene: Scene) -> dict[str, list[str]]:
    """Image -> why it is shown: best and worst over the methods, and wrong answers of the model; else the first."""
    means = image_means([scene.results[row.explainer] for row in scene.board.methods if row.explainer in scene.results])
    lower = scene.board.order is not None and not scene.board.order.higher_is_better
    seen = set(scene.prediction.ids)
    order = sorted(means.keys() & seen, key=lambda image: (means[image] if lower else -means[image], image))
    wrong = [image for image in scene.prediction.ids if _wrong(scene.prediction, image)]
    found: dict[str, list[str]] = {}
    for why, images in (("best", order[:EACH]), ("worst", order[-EACH:]), ("", wrong[:EACH])):
        for image in images:
            found.setdefault(image, []).extend([why] if why else [])
    return found or {image: [] for image in scene.prediction.ids[:EACH]}


def image_means(cells: Sequence[Result]) -> dict[str, float]:
    """The mean value of every image over several cells."""
    values: dict[str, list[float]] = {}
    for cell in cells:
        for image, value in zip(cell.ids, cell.values, strict=True):
            if value is not None:
                values.setdefault(image, []).append(value)
    return {image: sum(several) / len(several) for image, several in values.items()}


def _wrong(prediction: Prediction, image: str) -> bool:
    at = prediction.ids.index(image)
    return int(np.argmax(prediction.logits[at])) != prediction.truth[at]


# ---------------------------------------------------------------------------------------------------------- pictures


def _case(scene: Scene, maps: Mapping[str, Maps], image: str, why: list[str]) -> dict[str, Any] | None:
    entry = entry_of(scene.task, int(scene.board.labels["fold"]), image)
    if entry is None:
        return None
    sample, at, prediction = scene.task.load(entry), scene.place(image), scene.prediction
    mask = union(sample)
    rows = _rows(scene)
    pictures = [thumbnails.plain(sample.image, mask)]
    pictures += [_picture(sample.image, maps[row.explainer].small(at), mask) for row in rows]
    return {
        "id": image,
        "truth": prediction.classes[prediction.truth[at]],
        "said": prediction.classes[int(np.argmax(prediction.logits[at]))],
        "wrong": _wrong(prediction, image),
        "why": why,
        "sprite": _written(scene.folder, thumbnails.sprite(pictures)),
        "tiles": [{"name": "the image", "value": None}, *(_tile(scene, row, image) for row in rows)],
    }


def _rows(scene: Scene) -> list[Row]:
    """Methods as on the board, then the rows that teach a lesson."""
    lessons = [row for row in scene.board.references if row.name in LESSONS]
    return [row for row in [*scene.board.methods[:ROWS], *lessons] if row.explainer in scene.results]


def _picture(image: Floats, heatmap: Floats | None, mask: Mask) -> thumbnails.Pixels:
    return thumbnails.failed(image, mask) if heatmap is None else thumbnails.overlaid(image, heatmap, mask)


def _tile(scene: Scene, row: Row, image: str) -> dict[str, Any]:
    cell = scene.results[row.explainer]
    value = cell.values[cell.ids.index(image)] if image in cell.ids and _orders(scene, cell) else None
    name = wording.titled(row)
    return {"name": name, "value": rounded(value, 4)}


def _orders(scene: Scene, cell: Result) -> bool:
    return scene.board.order is not None and cell.labels.get("metric") == scene.board.order.label


def _written(folder: Path, content: bytes) -> str:
    """Under a name that its content gives: the same picture is never written twice. The address from the page."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.blake2b(content, digest_size=12).hexdigest()}.webp"
    if not path.exists():
        path.write_bytes(content)
    return f"{FOLDER}/{path.name}"


def _strip(scene: Scene, row: Row, image: str) -> dict[str, Any] | None:
    """One image, run after run; None for an explainer of which there are no maps with other seeds."""
    place, names = scene.place(image), ["", *(f"seed:{number}" for number in range(1, RUNS))]
    found = {name: _maps(scene, row, name, [place]) for name in names}
    maps = {name: several for name, several in found.items() if several.has(place)}
    entry = entry_of(scene.task, int(scene.board.labels["fold"]), image)
    if len(maps) < 2 or entry is None:
        return None
    sample = scene.task.load(entry)
    pictures = [_picture(sample.image, several.small(place), union(sample)) for several in maps.values()]
    return {
        "explainer": row.explainer,
        "id": image,
        "sprite": _written(scene.folder, thumbnails.sprite(pictures)),
        "tiles": [{"name": name or "the run's own", "value": None} for name in maps],
    }
