"""Folders and archives: the same files by the same names, and what is refused."""

import contextlib
import gzip
import io
import pickle
import random
import tarfile
import zipfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xaibench.errors import DataError
from xaibench_tasks import sources
from xaibench_tasks.sources import locate, open_source

FILES = {"a.txt": b"alpha", "deep/er/B.PGM": bytes(range(256)) * 40, "deep/empty": b""}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))


def as_folder(place):
    for name, content in FILES.items():
        (place / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (place / "folder" / name).write_bytes(content)
    return place / "folder"


def as_zip(place):
    with zipfile.ZipFile(place / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("deep")
        for name, content in FILES.items():
            archive.writestr(name, content)
    return place / "x.zip"


def as_tar(place, mode="w", name="x.tar"):
    with tarfile.open(place / name, mode) as archive:
        for member, content in FILES.items():
            add(archive, member, content)
    return place / name


def add(archive, name, content=b"", **fields):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for field, value in fields.items():
        setattr(member, field, value)
    archive.addfile(member, io.BytesIO(content))


FORMS = {
    "folder": as_folder,
    "zip": as_zip,
    "tar": as_tar,
    "tar.gz": lambda place: as_tar(place, "w:gz", "x.tar.gz"),
    "tgz": lambda place: as_tar(place, "w:gz", "x.TGZ"),
    "tar.bz2": lambda place: as_tar(place, "w:bz2", "x.tar.bz2"),
    "tar.xz": lambda place: as_tar(place, "w:xz", "x.tar.xz"),
}


@pytest.fixture(params=FORMS)
def source(request, tmp_path):
    return open_source(FORMS[request.param](tmp_path))


def read_there(source, name):
    return source.read(name)


def test_every_form_holds_the_same_files(source):
    assert source.names() == sorted(FILES)
    assert {name: source.read(name) for name in FILES} == FILES
    assert {name: source.size(name) for name in FILES} == {name: len(content) for name, content in FILES.items()}


def test_files_are_found_by_their_last_parts_whatever_case(source):
    assert source.find("*.pgm") == source.find("ER/b.pgm") == ["deep/er/B.PGM"]
    assert source.find("b.pgm/x") == []


def test_a_file_that_is_not_there_is_a_data_error(source):
    for ask in (source.read, source.size, source.stamp):
        with pytest.raises(DataError, match="has no file 'b'"):
            ask("b")


def test_a_source_works_in_another_process(source):
    source.names()
    assert pickle.loads(pickle.dumps(source)).read("a.txt") == b"alpha"  # noqa: S301
    with ProcessPoolExecutor(1, get_context("fork")) as pool:
        assert pool.submit(read_there, source, "deep/er/B.PGM").result() == FILES["deep/er/B.PGM"]
    assert source.read("deep/er/B.PGM") == FILES["deep/er/B.PGM"]


def test_a_stamp_changes_with_the_file(tmp_path):
    source = open_source(as_folder(tmp_path))
    before = source.stamp("a.txt")
    (tmp_path / "folder" / "a.txt").write_bytes(b"ALPHA!")
    assert source.stamp("a.txt") != before


@pytest.mark.parametrize("name", ["../out", "/etc/out", "a/../../out", "C:\\out", "..\\out"])
def test_names_that_lead_out_of_an_archive_are_refused(tmp_path, name):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        add(archive, name, b"x")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(name, b"x")
    for file in ("x.tar", "x.zip"):
        with pytest.raises(DataError, match="leads out of the archive"):
            open_source(tmp_path / file).names()
    assert not (tmp_path.parent / "out").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_links_in_archives_are_refused(tmp_path, kind):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        add(archive, "link", type=kind, linkname="/etc/passwd")
    with pytest.raises(DataError, match="is a link"):
        open_source(tmp_path / "x.tar").names()
    member = zipfile.ZipInfo("link")
    member.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(DataError, match="is a link"):
        open_source(tmp_path / "x.zip").names()


def test_devices_in_archives_are_no_files(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        add(archive, "pipe", type=tarfile.FIFOTYPE)
        add(archive, "file", b"x")
    assert open_source(tmp_path / "x.tar").names() == ["file"]


@pytest.mark.parametrize("target", ["file", "folder"])
def test_links_that_lead_out_of_a_folder_are_refused_and_inner_ones_followed(tmp_path, target):
    folder = as_folder(tmp_path)
    (folder / "inner").symlink_to(folder / "a.txt")
    assert open_source(folder).read("inner") == b"alpha"
    outside = tmp_path / "secret"
    outside.mkdir()
    (outside / "key").write_text("key")
    (folder / "outer").symlink_to(outside if target == "folder" else outside / "key")
    with pytest.raises(DataError, match="outer is a link that leads out"):
        open_source(folder).names()


def test_the_folder_itself_may_be_a_link(tmp_path):
    (tmp_path / "link").symlink_to(as_folder(tmp_path))
    assert open_source(tmp_path / "link").read("a.txt") == b"alpha"


def test_bombs_are_refused_before_they_fill_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "FREE_TOTAL", 2**20)
    zeros = bytes(8 * 2**20)
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", zeros)
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress(zeros))
    for file in ("x.zip", "x.tar.gz"):
        with pytest.raises(DataError, match="times as many"):
            open_source(tmp_path / file).names()
    left = [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]
    assert left == []


def test_a_file_too_large_to_be_read_whole_is_refused(tmp_path, monkeypatch):
    source = open_source(as_folder(tmp_path))
    monkeypatch.setattr(sources, "LARGEST_MEMBER", 100)
    with pytest.raises(DataError, match="more than the 100 that are allowed"):
        source.read("deep/er/B.PGM")


@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
@pytest.mark.parametrize("part", [0.3, 0.55])
def test_archives_that_are_cut_off_are_told_so(tmp_path, form, part):
    file = FORMS[form](tmp_path)
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(DataError, match=r"fetch it again|cut off"):
        [open_source(file).read(name) for name in FILES]


@given(st.integers(0, 10**9), st.sampled_from(["zip", "tar", "tar.gz"]))
def test_archives_with_damage_anywhere_never_give_a_traceback(tmp_path_factory, seed, form):
    place = tmp_path_factory.mktemp("x")
    file = FORMS[form](place)
    content, rng = bytearray(file.read_bytes()), random.Random(seed)  # noqa: S311
    for _ in range(rng.randint(1, 20)):
        content[rng.randrange(len(content))] = rng.randrange(256)
    file.write_bytes(content)
    with contextlib.suppress(DataError):
        source = open_source(file)
        assert all(isinstance(source.read(name), bytes) for name in source.names())


def test_what_is_neither_folder_nor_archive_is_told(tmp_path):
    (tmp_path / "x.rar").write_bytes(b"Rar!")
    with pytest.raises(DataError, match="neither a folder nor an archive"):
        open_source(tmp_path / "x.rar")
    with pytest.raises(DataError, match="does not exist"):
        open_source(tmp_path / "nothing")


def test_a_folder_with_more_than_the_archive_is_a_folder(tmp_path):
    folder = as_folder(tmp_path)
    as_zip(folder)
    assert "x.zip" in open_source(folder).names()


def test_locate_looks_where_it_is_told_then_in_the_home_of_data(tmp_path, monkeypatch):
    folder = as_folder(tmp_path)
    monkeypatch.delenv("XAIBENCH_DATA", raising=False)
    assert locate("folder", str(folder), "a.txt", "").path == folder
    with pytest.raises(DataError, match=r"(?s)fetch it there.*folder\(path=\.\.\.\)"):
        locate("folder", "", "a.txt", "fetch it there")
    monkeypatch.setenv("XAIBENCH_DATA", str(tmp_path))
    assert locate("folder", "", "a.txt", "").path == folder
    with pytest.raises(DataError, match=r"holds no b\.txt: fetch it there"):
        locate("folder", "", "b.txt", "fetch it there")
