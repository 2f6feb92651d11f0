"""A run whose results are at an address: the cells, keys and scores of a folder, and it goes on where it was."""

import json
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
import s3fs

from xaibench.__main__ import call
from xaibench.errors import DataError
from xaibench.locations import read_here
from xaibench.places import Url, location_of
from xaibench.results import load_results
from xaibench.store import Store

PLUGINS = Path(__file__).with_name("plenty_plugins.py")


def options(out, *more, metrics="MeanInside"):
    chosen = ",".join(f"{PLUGINS}:{name}" if name[0].isupper() else name for name in metrics.split(","))
    return [
        "run", "--tasks", f"{PLUGINS}:Plenty(count=40)", "--models", f"{PLUGINS}:Grey", "--explainers",
        f"{PLUGINS}:Ramp", "--metrics", chosen, "--no-references", "--no-audit", "--out", str(out), *more,
    ]  # fmt: skip


def told(arguments):
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        code = call(arguments)
    assert "Traceback" not in err.getvalue()
    return code, out.getvalue(), err.getvalue()


def scores(out):
    results = load_results(location_of(str(out)))
    return {result.labels["metric"]: (result.ids, result.values) for result in results.scores}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("kind", ["memory", "s3"])
def test_a_run_at_an_address_is_that_of_a_folder_and_goes_on_where_it_was(request, tmp_path, kind):
    out = request.getfixturevalue("s3_url") if kind == "s3" else "memory://run"
    assert told(options(tmp_path / "out"))[0] == 0
    code, _, err = told(options(out))
    assert code == 0
    assert f"html: {out}/leaderboard.html" in err
    assert scores(out) == scores(tmp_path / "out")
    store = Store(location_of(out))
    assert {"leaderboard.html", "results.json", "xaibench.json"} <= store.files.tree().keys()
    assert {cell["cached"] for cell in json.loads(told(options(out, "--json"))[1])["cells"]} == {True}
    (maps,) = [name for name in store.files.tree() if "/000032-" in name and name.endswith("maps.npy")]
    store.files.remove(maps)
    cells = json.loads(told(options(out, "--json", metrics="MeanInside,iou"))[1])["cells"]
    assert [cell["kind"] for cell in cells if not cell["cached"]] == ["explain", "score"]
    code, table, err = told(["leaderboard", "--results", out])
    assert code == 0
    assert "Ramp" in table


def test_a_run_that_is_killed_at_an_address_goes_on_where_it_was(s3_url, tmp_path):
    trap = tmp_path / "trap"
    trap.touch()
    arguments = [text.replace(":Ramp", f':Killed(trap="{trap}")') for text in options(s3_url)]
    killed = subprocess.run([sys.executable, "-m", "xaibench", *arguments], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL
    store = Store(location_of(s3_url))
    finished = {name for name in store.files.tree("cells") if name.endswith("record.json")}
    assert len(finished) == 3  # predictions in two shards, and the first maps
    contents = {name: store.files.read(f"cells/{name}") for name in finished}
    assert told(arguments)[0] == 0
    assert {name: store.files.read(f"cells/{name}") for name in finished} == contents
    assert told(options(tmp_path / "out"))[0] == 0
    assert list(scores(s3_url).values()) == list(scores(tmp_path / "out").values())


@pytest.mark.parametrize("engine", ["processes", pytest.param("ray(workers=2)", marks=pytest.mark.slow)])
def test_workers_of_their_own_write_to_an_address_too(s3_url, tmp_path, engine):
    pytest.importorskip(engine.partition("(")[0] if "ray" in engine else "sys")
    arguments = [sys.executable, "-m", "xaibench", *options(s3_url, "--json", "--engine", engine)]
    ended = subprocess.run(arguments, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert not any(cell["cached"] for cell in json.loads(ended.stdout)["cells"])
    assert told(options(tmp_path / "out"))[0] == 0
    assert scores(s3_url) == scores(tmp_path / "out")


def test_compare_merge_and_verify_take_an_address(s3_url, tmp_path):
    here, both = tmp_path / "out", tmp_path / "both"
    assert told(options(here))[0] == told(options(s3_url))[0] == 0
    code, text, _ = told(["compare", s3_url, str(here), "--all"])
    assert code == 0
    assert "the same" in text
    code, text, _ = told(["merge", s3_url, str(here), "--out", str(both)])
    assert code == 0, text
    assert scores(both) == scores(here)
    code, text, err = told(["verify", s3_url, "--trust"])
    assert code == 0, text + err
    assert "0 fail, 0 could not be recomputed" in text


def test_a_name_at_an_address_that_leads_out_of_the_folder_is_refused(tmp_path):
    outside = Url("memory://stranger/results")
    store = Store(outside).open()
    store.files._fs.store["/stranger/results/../../climbed"] = store.files._fs.store["/stranger/results/xaibench.json"]
    assert "../../climbed" in store.files.tree()
    with pytest.raises(DataError, match="would lie outside the folder"), read_here(outside):
        pass


def test_an_address_without_results_is_told_before_it_is_copied(s3_url, tmp_path):
    code, _, err = told(["merge", s3_url, "--out", str(tmp_path / "both")])
    assert code == 2
    assert f"{s3_url} is not a results folder" in err


def test_a_place_that_cannot_be_reached_ends_in_words(monkeypatch, s3_url):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()  # within one process a connection is kept
    code, _, err = told(options("s3://results/far"))
    s3fs.S3FileSystem.clear_instance_cache()
    assert code == 2
    assert "s3://results/far" in err
    assert "check the address, the credentials in the environment and the network" in err


def test_the_page_of_an_address_is_not_opened_here(s3_url):
    code, _, err = told(["leaderboard", "--results", s3_url, "--open"])
    assert code == 2
    assert "is not on this machine; the page is written there" in err
