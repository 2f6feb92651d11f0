"""The same promises of a folder and of addresses: what is not whole is not there."""

import pickle

import numpy as np
import pytest

from xaibench.errors import Damaged, DataError, StorageError, UsageError
from xaibench.places import Url, location_of
from xaibench.remote import RemoteFiles
from xaibench.store import Store, shard_name


def maps_of(count, value=1.0):
    return np.full((count, 4, 5), value, dtype=np.float32)


def test_what_was_committed_is_read_back_by_another_process(store):
    store.commit("abcd", (0, 2), {"ids": ["a", "b"]}, maps_of(2))
    store.commit("abcd", (32, 34), {"ids": ["c", "d"]})
    store.describe("abcd", {"labels": {"task": "toy"}})
    store.save_run("1", {"argv": []})
    other = Store(store.root)
    assert other.shard("abcd", 0, 2).column("ids") == ["a", "b"]
    np.testing.assert_array_equal(other.shard("abcd", 0, 2).maps(), maps_of(2))
    assert other.missing("abcd", 64) == [(0, 32), (32, 64)]
    assert other.missing("abcd", 2) == []
    assert other.description("abcd") == {"labels": {"task": "toy"}}
    assert other.runs() == [{"argv": []}]
    assert sorted(name for name in other.files.tree() if not name.startswith("cells/")) == [
        "runs/1.json",
        "xaibench.json",
    ]


def test_a_shard_without_its_record_is_not_there_and_is_made_again(store):
    store.commit("abcd", (0, 2), {"ids": ["a", "b"]}, maps_of(2))
    store.files.remove(f"{shard_name('abcd', 0, 2)}/record.json")
    assert store.missing("abcd", 2) == [(0, 2)]
    store.commit("abcd", (0, 2), {"ids": ["a", "b"]}, maps_of(2))
    np.testing.assert_array_equal(store.shard("abcd", 0, 2).maps(), maps_of(2))


def test_what_is_missing_of_a_part_is_what_begins_in_it(store):
    for span in [(0, 32), (64, 96), (96, 110)]:
        store.commit("abcd", span, {"ids": []})
    assert store.missing("abcd", 100) == [(32, 64)]
    assert store.missing("abcd", 100, (0, 32)) == []
    assert store.missing("abcd", 100, (32, 96)) == [(32, 64)]
    assert store.missing("abcd", 100, (96, 100)) == []  # the last one is a longer shard of a larger run
    assert store.missing("abcd", 120, (64, 120)) == [(96, 120)]


def test_a_record_without_its_maps_is_not_there(store):
    store.commit("abcd", (0, 2), {"ids": ["a", "b"]}, maps_of(2))
    for name in store.files.tree("cells"):
        if "maps" in name:
            store.files.remove(f"cells/{name}")
    assert store.missing("abcd", 2) == [(0, 2)]
    assert store.shard("abcd", 0, 2) is None


def test_the_record_is_the_last_to_be_written_where_nothing_can_be_renamed(monkeypatch):
    store, written = Store(Url("memory://order")).open(), []
    monkeypatch.setattr(store.files, "write", lambda name, content: written.append(name))
    store.commit("abcd", (0, 2), {"ids": ["a", "b"]}, maps_of(2))
    assert [name.rpartition("-")[2].rpartition("/")[2] for name in written] == ["maps.npy", "record.json"]


def test_a_writer_that_dies_between_the_maps_and_the_record_leaves_nothing_that_is_read(monkeypatch):
    store = Store(Url("memory://dies")).open()
    write = store.files.write

    def dying(name, content):
        if name.endswith("record.json"):
            raise KeyboardInterrupt
        write(name, content)

    with monkeypatch.context() as patch:
        patch.setattr(store.files, "write", dying)
        with pytest.raises(KeyboardInterrupt):
            store.commit("abcd", (0, 2), {"ids": ["a", "b"]}, maps_of(2))
    assert any("maps" in name for name in store.files.tree())
    assert store.missing("abcd", 2) == [(0, 2)]
    store.commit("abcd", (0, 2), {"ids": ["a", "b"]}, maps_of(2, 3.0))
    np.testing.assert_array_equal(store.shard("abcd", 0, 2).maps(), maps_of(2, 3.0))


def test_two_writers_of_one_shard_never_mix_their_maps_and_records(store):
    """Both find nothing there; then one does all its work just before the other's record, or before its rename."""
    other, files = Store(store.root), store.files
    write, publish = files.write, files.publish

    def overtaken(*_):
        files.write, files.publish = write, publish
        other.commit("abcd", (0, 2), {"ids": ["b"], "by": 2}, maps_of(2, 2.0))

    def overtaken_writing(name, content):
        if name.endswith("record.json"):
            overtaken()
        write(name, content)

    def overtaken_publishing(folder, contents):
        overtaken()
        publish(folder, contents)

    if files.renames:
        files.publish = overtaken_publishing
    else:
        files.write = overtaken_writing
    store.commit("abcd", (0, 2), {"ids": ["a"], "by": 1}, maps_of(2, 1.0))
    shard = Store(store.root).shard("abcd", 0, 2)
    np.testing.assert_array_equal(shard.maps(), maps_of(2, float(shard.record["by"])))
    assert files.write == write  # the other did come in between


def test_a_later_writer_leaves_what_is_finished(store):
    store.commit("abcd", (0, 1), {"ids": ["first"]}, maps_of(1))
    store.commit("abcd", (0, 1), {"ids": ["second"]}, maps_of(1))
    assert store.shard("abcd", 0, 1).column("ids") == ["first"]


def test_a_flipped_bit_in_maps_is_told_and_setting_the_shard_aside_lets_it_be_made_again(store):
    store.commit("abcd", (0, 1), {"ids": ["a"]}, maps_of(1))
    (name,) = [name for name in store.files.tree() if "maps" in name]
    content = store.files.read(name)
    store.files.write(name, content[:-1] + bytes([content[-1] ^ 1]))
    shard = store.shard("abcd", 0, 1)
    with pytest.raises(Damaged, match="is not what was written; remove the folder"):
        shard.maps()
    store.set_aside(shard.name)
    assert store.missing("abcd", 1) == [(0, 1)]
    assert any(name.startswith("damaged/abcd-000000-000001") for name in store.files.tree())


@pytest.mark.parametrize("place", range(0, 60, 7))
def test_a_flipped_bit_anywhere_in_a_record_makes_it_missing(tmp_path, place):
    store = Store(tmp_path).open()
    store.commit("abcd", (0, 2), {"ids": ["a", "b"], "values": [0.25, 0.75]})
    path = tmp_path / shard_name("abcd", 0, 2) / "record.json"
    content = bytearray(path.read_bytes())
    content[-1 - place] ^= 1
    path.write_bytes(content)
    assert store.missing("abcd", 2) == [(0, 2)]


def test_a_store_goes_to_another_process_without_its_connection(store):
    again = pickle.loads(pickle.dumps(store.files))  # noqa: S301  # engines do so
    store.files.write("environments/a.json", b"{}")
    assert again.read("environments/a.json") == b"{}"
    assert again.read("environments/b.json") is None


def test_addresses_are_told_from_folders_and_a_file_address_is_a_folder(tmp_path):
    assert location_of("out/here") == location_of("out/here/")
    assert location_of(f"file://{tmp_path}") == tmp_path
    assert location_of("s3://bucket/results/") == Url("s3://bucket/results")
    assert Url("s3://bucket/results").name == "results"
    with pytest.raises(UsageError, match=r"s3:// names no folder; say where to"):
        location_of("s3://")


def test_an_address_of_an_unknown_kind_is_refused_and_says_what_is_allowed():
    with pytest.raises(UsageError, match=r"nowhere://x: .*local folder, s3://bucket/folder"):
        Store(Url("nowhere://x"))


def test_a_bucket_that_is_not_there_is_told_before_any_work(s3_url):
    with pytest.raises(StorageError, match=r"cannot write results to s3://no-such-bucket/x: .*credentials"):
        Store(Url("s3://no-such-bucket/x")).open()


def test_a_place_without_results_is_no_results_folder(location):
    with pytest.raises(DataError, match="is not a results folder; `xaibench run --out"):
        Store(location).check()


def test_nothing_is_remembered_of_an_address_that_others_write_to(s3_url):
    one, other = RemoteFiles(Url(s3_url)), RemoteFiles(Url(s3_url))
    assert one.tree() == {}
    other.write("a/b", b"12")
    assert one.tree() == {"a/b": 2}
    assert one.tree("a") == {"b": 2}
