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


def test_an_archive_of_nothing_ours_is_refused(tmp_path):
    done = call("verify", packed(tmp_path / "x.zip", {"a": "b"}))
    assert isinstance(done.exception, DataError)
