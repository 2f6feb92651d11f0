import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from xaibench.errors import DataError
from xaibench.store import SHARD, STALE_SECONDS, Store, spans


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "out").open()


def maps_of(count, value=1.0):
    return np.full((count, 4, 5), value, dtype=np.float32)


def test_spans_cut_samples_into_shards_and_a_smaller_limit_is_a_beginning_of_a_larger_one():
    assert spans(0) == []
    assert spans(70) == [(0, 32), (32, 64), (64, 70)]
    assert spans(64) == spans(100)[:2]
    assert SHARD == 32


def test_what_was_committed_is_read_back(store):
    store.commit("abcd", (0, 2), {"ids": ["a", "b"]}, maps_of(2))
    shard = store.shard("abcd", 0, 2)
    assert shard.column("ids") == ["a", "b"]
    np.testing.assert_array_equal(shard.maps(), maps_of(2))


def test_missing_names_the_spans_that_are_not_there(store):
    store.commit("abcd", (32, 64), {"ids": []})
    assert store.missing("abcd", 70) == [(0, 32), (64, 70)]
    assert store.shards("abcd", 70) is None


def test_a_longer_shard_serves_a_smaller_limit_but_a_shorter_one_does_not_serve_a_larger(store):
    store.commit("abcd", (0, 20), {"ids": list(range(20))}, maps_of(20))
    assert store.shard("abcd", 0, 10).column("ids") == list(range(10))
    assert len(store.shard("abcd", 0, 10).maps()) == 10
    assert store.shard("abcd", 0, 30) is None


def test_the_first_of_two_processes_wins_and_the_second_loses_nothing(store):
    store.commit("abcd", (0, 1), {"ids": ["first"]}, maps_of(1))
    store.commit("abcd", (0, 1), {"ids": ["second"]}, maps_of(1))
    assert store.shard("abcd", 0, 1).column("ids") == ["first"]
    assert list((store.root / "tmp").iterdir()) == []


@pytest.mark.parametrize("damage", ["", "{", '{"ids": ["a"]', "[1]"])
def test_a_torn_record_is_not_read_and_is_made_again(store, damage):
    store.commit("abcd", (0, 1), {"ids": ["a"]}, maps_of(1))
    (store.folder("abcd") / "000000-000001" / "record.json").write_text(damage)
    assert store.missing("abcd", 1) == [(0, 1)]
    store.commit("abcd", (0, 1), {"ids": ["a"]}, maps_of(1))
    assert store.shard("abcd", 0, 1).column("ids") == ["a"]
    assert len(list((store.root / "damaged").iterdir())) == 1


def test_a_shortened_file_of_maps_is_missing_and_a_flipped_bit_is_an_error_that_says_what_to_do(store):
    store.commit("abcd", (0, 1), {"ids": ["a"]}, maps_of(1))
    path = store.folder("abcd") / "000000-000001" / "maps.npy"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    assert store.shard("abcd", 0, 1) is None
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DataError, match="is not what was written; remove the folder"):
        store.shard("abcd", 0, 1).maps()


def test_work_in_progress_is_never_seen_and_is_swept_when_its_process_is_long_dead(store):
    unfinished, fresh = store.root / "tmp" / "abcd-x", store.root / "tmp" / "abcd-y"
    for folder in (unfinished, fresh):
        folder.mkdir()
        (folder / "record.json").write_text(json.dumps({"ids": ["a"]}))
    long_ago = time.time() - STALE_SECONDS - 60
    os.utime(unfinished, (long_ago, long_ago))
    assert store.missing("abcd", 1) == [(0, 1)]
    store.open()
    assert not unfinished.exists()
    assert fresh.exists()


def test_json_never_holds_nan(store):
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.commit("abcd", (0, 1), {"values": [float("nan")]})


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DataError, match=r"cannot write results to .*choose another folder with --out"):
        Store(tmp_path / "file" / "out").open()


def test_results_of_another_schema_are_refused(store):
    (store.root / "xaibench.json").write_text('{"schema": 99}')
    with pytest.raises(DataError, match="schema 99; this version reads 1"):
        store.open()


def test_many_processes_commit_the_same_shards_and_every_one_is_whole(store):
    program = (
        "import sys, numpy as np; from pathlib import Path; from xaibench.store import Store\n"
        "store = Store(Path(sys.argv[1]))\n"
        "for start in range(0, 640, 32):\n"
        "    store.commit('abcd', (start, start + 32), {'ids': list(range(32)), 'by': sys.argv[2]},\n"
        "                 np.full((32, 4, 5), int(sys.argv[2]), np.float32))\n"
    )
    workers = [subprocess.Popen([sys.executable, "-c", program, str(store.root), str(who)]) for who in range(3)]
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    shards = store.shards("abcd", 640)
    assert len(shards) == 20
    for shard in shards:
        np.testing.assert_array_equal(shard.maps(), np.full((32, 4, 5), int(shard.record["by"]), np.float32))
