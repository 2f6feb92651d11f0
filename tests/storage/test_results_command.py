"""`xaibench results`: what it tells of a folder that was damaged, and that it removes only what nobody needs."""

import json
import shutil
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from xaibench.__main__ import call
from xaibench.places import Url
from xaibench.results import load_results
from xaibench.store import Store

FROZEN = Path(__file__).with_name("frozen")


@pytest.fixture
def folder(tmp_path):
    """A finished run: predictions, maps of two explainers, two metrics of each."""
    return Path(shutil.copytree(FROZEN / "schema-1", tmp_path / "out"))


def answer(*arguments):
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()):
        code = call(["results", *map(str, arguments), "--json"])
    return json.loads(out.getvalue()), code


def told(*arguments):
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        code = call(["results", *map(str, arguments)])
    return out.getvalue() + err.getvalue(), code


def row(folder, kind, explainer="saliency", metric=None):
    (run,) = Store(folder).runs()
    labels = {"explainer": explainer} | ({"metric": metric} if metric else {})
    return next(row for row in run["cells"] if row["kind"] == kind and labels.items() <= row["labels"].items())


def bytes_of(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_the_size_is_that_of_the_files_by_kind_by_model_and_by_explainer(folder):
    found, code = answer("du", folder)
    assert code == 0
    uses = {(use["by"], use["name"]): use for use in found}
    assert sum(use["bytes"] for use in found if use["by"] in ("kind", "other")) == bytes_of(folder)
    assert {name: use["cells"] for (by, name), use in uses.items() if by == "kind"} == {
        "predict": 1, "explain": 2, "score": 4,
    }  # fmt: skip
    explained = sum(
        bytes_of(Store(folder).folder(row(folder, *cell)["key"]))
        for cell in [("explain",), ("score", "saliency", "iou"), ("score", "saliency", "deletion")]
    )
    assert uses["explainer", "saliency"]["bytes"] == explained
    assert "in all" in told("du", folder)[0]


def test_a_sound_folder_has_nothing_to_remove_and_no_fault(folder):
    assert answer("gc", folder)[0]["files"] == []
    assert answer("validate", folder) == ({"sound": True, "faults": []}, 0)


def test_only_what_nobody_needs_is_removed_and_only_on_demand(folder):
    store, scored = Store(folder).open(), row(folder, "score", metric="iou")["key"]
    before = load_results(folder)
    store.commit("ffff", (0, 1), {"ids": ["x"]})
    store.describe("ffff", {"labels": {}, "identity": {}})
    store.trouble(scored, "failed", "it was a bad day", "")
    (folder / "damaged" / "x").mkdir(parents=True)
    (folder / "damaged" / "x" / "record.json").write_text("{")
    (folder / "tmp" / "y").write_text("")
    shard = store.folder(row(folder, "explain")["key"]) / "000000-000003"
    (shard / "maps.z").write_bytes(b"left by a writer that was overtaken")
    size = bytes_of(folder)
    found, code = answer("gc", folder)
    assert code == 0
    reasons = {
        "damaged" if one["name"].startswith("damaged") else one["name"].rpartition("/")[2]: one["why"]
        for one in found["files"]
    }
    assert reasons == {
        "record.json": "no recorded run refers to its cell",
        "cell.json": "no recorded run refers to its cell",
        "trouble.json": "an attempt that failed; the work was done since",
        "damaged": "damaged work, set aside",
        "y": "half-written work; remove it only while nothing runs",
        "maps.z": "no record refers to it",
    }
    assert bytes_of(folder) == size
    removed, _ = answer("gc", folder, "--yes")
    assert bytes_of(folder) == size - removed["bytes"]
    assert load_results(folder) == before
    assert answer("gc", folder)[0]["files"] == []
    assert answer("validate", folder)[1] == 0


def test_a_failure_is_kept_as_long_as_the_work_is_not_done(folder):
    key = row(folder, "score", metric="iou")["key"]
    shutil.rmtree(Store(folder).folder(key) / "000000-000003")
    Store(folder).trouble(key, "failed", "it was a bad day", "")
    assert answer("gc", folder)[0]["files"] == []


def test_nothing_is_removed_where_a_run_cannot_be_read(folder):
    (path,) = (folder / "runs").iterdir()
    path.write_text("{")
    message, code = told("gc", folder, "--yes")
    assert code == 2
    assert "is torn or altered: which cells it needs is not known" in message
    assert Store(folder).shards(row_key(folder), 3)


def row_key(folder):
    return next(path.parent.name for path in folder.glob("cells/*/*/cell.json"))


def spoil_maps(shard):
    content = bytearray((shard / "maps.npy").read_bytes())
    content[-3] ^= 4
    (shard / "maps.npy").write_bytes(content)


def shorten_maps(shard):
    content = (shard / "maps.npy").read_bytes()
    (shard / "maps.npy").write_bytes(content[:-5])


def tear_record(shard):
    (shard / "record.json").write_text('{"ids": [')


def drop_a_column(shard):
    record = json.loads((shard / "record.json").read_text())
    record["seconds"].pop()
    (shard / "record.json").write_text(json.dumps(record))


def add_a_file(shard):
    (shard / "notes.txt").write_text("mine")


def add_a_folder(shard):
    (shard.parent / "copy of 000000-000003").mkdir()
    (shard.parent / "copy of 000000-000003" / "record.json").write_text("{}")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (spoil_maps, "is not what was written; remove the folder"),
        (shorten_maps, "is not what was written"),
        (tear_record, "is torn or altered: the shard counts as missing, and is made again"),
        (drop_a_column, "has 2 seconds for 3 samples"),
        (add_a_file, "was not written by xaibench"),
        (add_a_folder, "was not written by xaibench"),
    ],
)
def test_every_kind_of_damage_is_named_with_its_place(folder, damage, said):
    damage(Store(folder).folder(row(folder, "explain")["key"]) / "000000-000003")
    found, code = answer("validate", folder)
    assert code == 1
    assert any(said in fault["what"] for fault in found["faults"])
    assert row(folder, "explain")["key"] in found["faults"][0]["name"]
    assert "faults" in told("validate", folder)[0]


def test_a_changed_digit_is_found_once_the_folder_is_of_todays_form(folder):
    path = Store(folder).folder(row(folder, "score", metric="deletion")["key"]) / "000000-000003" / "record.json"
    before = load_results(folder)
    changed, _ = answer("migrate", folder)
    assert len(changed["changed"]) == 7
    assert answer("migrate", folder)[0] == {"changed": []}
    assert load_results(folder) == before
    assert answer("validate", folder)[1] == 0
    path.write_bytes(path.read_bytes().replace(b"0.33", b"0.93", 1))
    assert answer("validate", folder)[0]["faults"][0]["what"].startswith("is torn or altered")
    assert Store(folder).missing(row(folder, "score", metric="deletion")["key"], 3) == [(0, 3)]


@pytest.mark.parametrize("verb", ["du", "gc", "validate", "migrate"])
def test_what_is_no_results_folder_is_said_to_be_none(tmp_path, verb):
    message, code = told(verb, tmp_path)
    assert code == 2
    assert "is not a results folder; `xaibench run --out" in message


@pytest.mark.parametrize("verb", ["du", "gc", "validate", "migrate"])
def test_a_folder_of_another_schema_is_refused(folder, verb):
    (folder / "xaibench.json").write_text('{"schema": 99}')
    message, code = told(verb, folder)
    assert code == 2
    assert "schema 99" in message


def test_the_verbs_work_at_an_address(folder, s3_url):
    far = Store(Url(s3_url))
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        far.files.write(path.relative_to(folder).as_posix(), path.read_bytes())
    far.commit("ffff", (0, 1), {"ids": ["x"]})
    assert answer("du", s3_url)[1] == 0
    (removed,) = answer("gc", s3_url, "--yes")[0]["files"]
    assert removed["name"] == "cells/ff/ffff/000000-000001/record.json"
    assert answer("validate", s3_url) == ({"sound": True, "faults": []}, 0)
    assert load_results(Url(s3_url)).scores == load_results(folder).scores
