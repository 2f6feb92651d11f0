"""Archives of results: unpacked elsewhere, within bounds, and nothing of them outside. Those of data: tests/tasks."""

import os
import stat
import zipfile

import pytest
from security_tools import call

from xaibench.errors import DataError
from xaibench_leaderboard import archives


def packed(file, members):
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file


@pytest.mark.parametrize("name", ["../../escaped", "/escaped", "a/../../../escaped"])
def test_members_stay_in_the_folder_they_are_unpacked_to(tmp_path, monkeypatch, name):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with archives.unpacked(packed(tmp_path / "x.zip", {name: "x"})) as folder:
        inside = [path for path in folder.rglob("*") if path.is_file()]
        assert [path.read_text() for path in inside] == ["x"]
        assert not (tmp_path / "escaped").exists()
        assert not (tmp_path.parent / "escaped").exists()
    assert not os.path.lexists("/escaped")


def test_a_link_in_an_archive_is_unpacked_as_text(tmp_path):
    member = zipfile.ZipInfo("link")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(member, "/etc/passwd")
    with archives.unpacked(tmp_path / "x.zip") as folder:
        assert not (folder / "link").is_symlink()


def test_bombs_are_refused_before_they_are_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "LARGEST", 1000)
    with (
        pytest.raises(DataError, match="unpacks to more"),
        archives.unpacked(packed(tmp_path / "x.zip", {"a": bytes(600), "b": bytes(600)})),
    ):
        pass


def test_bombs_within_a_tight_archive_are_refused_too(tmp_path, monkeypatch):
    archives.tighten(packed(tmp_path / "x.zip", {"a": bytes(600)}))
    packed(tmp_path / "inner.zip", {"a": bytes(5000)})
    packed(tmp_path / "y.zip", {archives.WHOLE: (tmp_path / "inner.zip").read_bytes()})  # small, and holds a large one
    monkeypatch.setattr(archives, "LARGEST", 650)
    for name in "xy":
        with pytest.raises(DataError, match="unpacks to more"), archives.unpacked(tmp_path / f"{name}.zip"):
            pass


def test_a_tight_archive_unpacks_to_what_was_packed_and_is_a_fraction_of_it(tmp_path):
    text = "".join(f"value {number}, " for number in range(300))
    files = {f"cells/{number:03d}/record.json": f"{number} {text}" for number in range(200)}
    loose = packed(tmp_path / "x.zip", files).stat().st_size
    archives.tighten(tmp_path / "x.zip")
    tight = (tmp_path / "x.zip").read_bytes()
    assert len(tight) < loose / 4
    with archives.unpacked(tmp_path / "x.zip") as folder:
        found = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*.json")}
    assert found == files
    archives.tighten(tmp_path / "x.zip")  # again: the same bytes
    assert (tmp_path / "x.zip").read_bytes() == tight
    with zipfile.ZipFile(tmp_path / "x.zip") as outer, archives.opened(tmp_path / "x.zip") as inner:
        assert {one.date_time for one in (*outer.infolist(), *inner.infolist())} == {(1980, 1, 1, 0, 0, 0)}


def test_more_files_than_any_run_makes_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST", 3)
    archives.tighten(packed(tmp_path / "x.zip", dict.fromkeys("abcd", "")))
    with pytest.raises(DataError, match="more than 3 files"), archives.unpacked(tmp_path / "x.zip"):
        pass


@pytest.mark.parametrize("tight", [True, False])
def test_damage_anywhere_is_told_as_such(tmp_path, tight):
    whole = packed(tmp_path / "x.zip", {f"{name}.json": name * 200 for name in "abcdefgh"})
    if tight:
        archives.tighten(whole)
    content, refused = whole.read_bytes(), 0
    for at in range(0, len(content), 7):
        whole.write_bytes(content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :])
        try:
            with archives.unpacked(whole):
                pass
        except DataError:  # and nothing else
            refused += 1
    assert refused > 10  # the others hit a date, or what nobody reads


def test_an_archive_of_nothing_ours_is_refused(tmp_path):
    done = call("verify", packed(tmp_path / "x.zip", {"a": "b"}))
    assert isinstance(done.exception, DataError)
