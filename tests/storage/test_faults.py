"""What goes wrong with a disk, and with the files on it: nothing finished is lost, nothing half-written is read."""

import json
import os
import shutil
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from xaibench.__main__ import call
from xaibench.housekeeping import faults
from xaibench.results import load_results
from xaibench.store import Store

PLUGINS = Path(__file__).with_name("plenty_plugins.py")
COUNT = 80  # three shards, of 16 KiB for every map


@dataclass
class Ended:
    """How a run ended, in our words: a traceback is none of them."""

    code: int
    answer: dict
    err: str


def run(out, explainer="Ramp", count=COUNT, maps="exact"):
    arguments = [
        "run", "--tasks", f"{PLUGINS}:Plenty(count={COUNT})", "--models", f"{PLUGINS}:Grey",
        "--explainers", f"{PLUGINS}:{explainer}", "--metrics", f"{PLUGINS}:MeanInside,iou", "--limit", str(count),
        "--no-references", "--no-audit", "--maps", maps, "--json", "--out", str(out),
    ]  # fmt: skip
    with redirect_stdout(StringIO()) as text, redirect_stderr(StringIO()) as err:
        code = call(arguments)
    assert "Traceback" not in err.getvalue()
    return Ended(code, json.loads(text.getvalue() or "{}"), err.getvalue())


def scores(out):
    return {result.labels["metric"]: (result.ids, result.values) for result in load_results(out).scores}


def shards(out):
    return {path.parent: path.stat().st_mtime_ns for path in out.glob("cells/*/*/*/record.json")}


def sound(out):
    return not list(faults(Store(out)))


def reasons(ended):
    return {cell["reason"] for cell in ended.answer["cells"] if cell["status"] == "failed"}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XAIBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "out"
    assert run(out).code == 0
    return out


@pytest.fixture
def disk(tmp_path):
    """A disk of 600 KiB: room for the predictions and one shard of maps."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(place)], capture_output=True)
    if made.returncode:
        pytest.skip(f"a disk of our own cannot be mounted here: {made.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def remount(disk, options):
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


def test_a_full_disk_ends_in_words_and_with_room_the_same_command_completes(disk, finished):
    ended = run(disk)
    assert ended.code in (1, 2)
    told = ended.err + " ".join(reasons(ended) if ended.answer else [])
    assert f"cannot write results to {disk}: No space left on device; choose another folder with --out" in told
    kept = shards(disk)
    assert len(kept) > 3  # predictions, and some maps
    assert sound(disk)
    remount(disk, "size=20m")
    assert run(disk).code == 0
    assert kept.items() <= shards(disk).items()
    assert scores(disk) == scores(finished)
    assert sound(disk)


def test_a_disk_that_becomes_read_only_ends_in_words_and_the_same_command_completes(disk, finished):
    remount(disk, "size=20m")
    saboteur = f'Saboteur(folder="{disk}",act="read-only")'
    ended = run(disk, saboteur)
    assert ended.code in (1, 2)
    assert f"cannot write results to {disk}: Read-only file system" in ended.err
    kept = shards(disk)
    assert len(kept) > 3
    again = run(disk, saboteur)
    assert again.code == 2
    assert "Read-only file system; choose another folder with --out" in again.err
    remount(disk, "rw")
    assert sound(disk)
    assert run(disk).code == 0
    assert kept.items() <= shards(disk).items()
    assert scores(disk)["iou"] == scores(finished)["iou"]


def test_a_folder_that_vanishes_is_told_and_is_not_made_anew_behind_the_users_back(tmp_path):
    out = tmp_path / "out"
    saboteur = f'Saboteur(folder="{out}",act="vanish")'
    ended = run(out, saboteur)
    assert ended.code in (1, 2)
    assert f"cannot write results to {out}: it is not there any more" in ended.err
    assert not out.exists()


def keep_length(path, at, change):
    content = bytearray(path.read_bytes())
    content[at] ^= change
    path.write_bytes(content)


DAMAGES = {
    "maps cut short": lambda shard: (shard / "maps.npy").write_bytes((shard / "maps.npy").read_bytes()[:-9]),
    "a bit of the maps": lambda shard: keep_length(shard / "maps.npy", -70, 8),
    "no maps": lambda shard: (shard / "maps.npy").unlink(),
    "record cut short": lambda shard: os.truncate(shard / "record.json", 200),
    "a bit of the record": lambda shard: keep_length(shard / "record.json", -40, 1),
    "an empty record": lambda shard: os.truncate(shard / "record.json", 0),
    "no record": lambda shard: (shard / "record.json").unlink(),
    "a folder for a record": lambda shard: ((shard / "record.json").unlink(), (shard / "record.json").mkdir()),
    "a file for a shard": lambda shard: (shutil.rmtree(shard), shard.write_text("mine")),
    "a stranger's files": lambda shard: ((shard / "notes").write_text("mine"), (shard.parent / "x-y").mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_maps_are_never_scored_and_are_made_again(finished, tmp_path, damage):
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    record = Store(out).runs()[-1]
    explained = next(row["key"] for row in record["cells"] if row["kind"] == "explain")
    for row in record["cells"]:  # as if a new metric were asked for
        if row["kind"] == "score":
            shutil.rmtree(Store(out).folder(row["key"]))
    DAMAGES[damage](Store(out).folder(explained) / "000032-000064")
    ended = run(out)
    if ended.code:  # a flipped bit shows when the maps are read: then they are set aside, and the next run makes them
        assert damage == "a bit of the maps"
        assert any(
            "is not what was written: it is set aside, and the same command makes it again" in reason
            for reason in reasons(ended)
        )
        assert run(out).code == 0
    assert scores(out) == scores(finished)


@pytest.mark.parametrize("damage", ["record cut short", "a bit of the record", "no record", "a file for a shard"])
def test_damaged_scores_are_not_shown_and_are_made_again(finished, tmp_path, damage):
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    key = next(row["key"] for row in Store(out).runs()[-1]["cells"] if row["kind"] == "score")
    DAMAGES[damage](Store(out).folder(key) / "000032-000064")
    (broken,) = [result for result in load_results(out).scores if result.status != "ok"]
    assert broken.key == key
    assert "not finished yet; the same command goes on with it" in broken.reason
    assert run(out).code == 0
    assert scores(out) == scores(finished)


def test_a_torn_description_costs_its_row_and_says_what_to_do(finished, tmp_path):
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    key = next(row["key"] for row in Store(out).runs()[-1]["cells"] if row["kind"] == "score")
    os.truncate(Store(out).folder(key) / "cell.json", 50)
    (broken,) = [result for result in load_results(out).scores if result.status != "ok"]
    assert broken.reason.startswith("what it was is torn: remove cells/")
    shutil.rmtree(Store(out).folder(key))
    assert run(out).code == 0
    assert scores(out) == scores(finished)


def test_a_torn_record_of_a_run_costs_no_finished_work(finished, tmp_path):
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    (path,) = (out / "runs").iterdir()
    os.truncate(path, 100)
    ended = run(out)
    assert ended.code == 0
    assert all(cell["cached"] for cell in ended.answer["cells"])
    assert scores(out) == scores(finished)
