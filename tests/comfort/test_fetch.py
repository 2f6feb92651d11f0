"""`xaibench data fetch`, against a server of the test's own."""

import hashlib
import io
import json
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from xaibench_tasks import fetching
from xaibench_tasks.fetching import Offer


def archive():
    """Films and their list as a packed MIAS has them: few, but enough to be read."""
    rows = [f"mdb{number:03d} G CIRC {'BM'[number % 2]} 400 600 60" for number in range(1, 13)]
    rows += [f"mdb{number:03d} G NORM " for number in range(13, 19)]
    content = io.BytesIO()
    rng = np.random.default_rng(0)
    with tarfile.open(fileobj=content, mode="w:gz", compresslevel=1) as packed:
        put(packed, "Info.txt", "\n".join(["=" * 40, *rows, ""]).encode())
        for row in rows:
            film = np.repeat(np.repeat(rng.integers(0, 255, (64, 64), dtype=np.uint8), 16, 0), 16, 1)
            put(packed, f"{row[:6]}.pgm", b"P5\n1024 1024\n255\n" + film.tobytes())
    return content.getvalue()


def put(packed, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    packed.addfile(member, io.BytesIO(content))


class Server:
    """Gives one file, in parts if asked; may cut the first answers short, or know no parts."""

    def __init__(self, content):
        self.content, self.cut_at, self.cuts, self.parts, self.asked = content, 0, 0, True, []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/all-mias.tar.gz"

    def answer(self, request):
        asked = request.headers.get("Range")
        self.asked.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.parts else 0
        if start >= len(self.content):
            request.send_error(416)
            return
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(self.content) - start))
        request.end_headers()
        stop = self.cut_at if self.cuts else len(self.content)
        self.cuts -= bool(self.cuts)
        request.wfile.write(self.content[start:stop])
        request.close_connection = True


@pytest.fixture(scope="module")
def content():
    return archive()


@pytest.fixture
def server(content, monkeypatch):
    made = Server(content)
    monkeypatch.setitem(fetching.OFFERS, "mias", Offer(made.url, 1))
    yield made
    made.http.shutdown()
    made.http.server_close()


def test_where_to_get_data_is_told_without_fetching_anything(xaibench, server, tmp_path):
    code, told, _ = xaibench("data", "fetch", "mias")
    assert code == 0
    for needed in ("research only", "Suckling", "mdb001.pgm", "xaibench data check mias", server.url):
        assert needed in told
    assert server.asked == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("task", ["bach", "bcss", "breakhis", "busi", "cbis-ddsm", "cbis-patches", "cdd-cesm"])
def test_every_published_set_says_where_it_is_and_under_which_licence(task, xaibench):
    told = json.loads(xaibench("data", "fetch", task, "--json")[1])
    assert told["source"]
    assert told["licence"]
    assert told["place"].startswith("xaibench-data")


@pytest.mark.parametrize("task", ["inbreast", "vindr", "mini-ddsm"])
def test_what_needs_an_agreement_is_not_fetched(task, xaibench):
    code, told, _ = xaibench("data", "fetch", task)
    assert code == 0
    assert "cannot be fetched" in told
    code, _, said = xaibench("data", "fetch", task, "--accept-licence")
    assert code == 2
    assert "cannot be fetched" in said


def test_a_drawn_task_needs_nothing(xaibench):
    code, _, said = xaibench("data", "fetch", "phantom")
    assert code == 2
    assert "needs no data" in said


def test_with_the_licence_accepted_the_file_is_fetched_and_checked_and_can_be_used(xaibench, server, tmp_path):
    code, told, said = xaibench("data", "fetch", "mias", "--accept-licence", "--to", tmp_path / "data")
    assert (tmp_path / "data" / "all-mias.tar.gz").read_bytes() == server.content
    assert code == 0, said
    assert "mias can be used" in told
    assert "18" in told  # films found, beside the 322 published


def test_a_broken_download_is_kept_told_and_gone_on_with(xaibench, server, tmp_path):
    server.cuts, server.cut_at = 1, 1000
    fetch = ("data", "fetch", "mias", "--accept-licence", "--to", tmp_path / "data")
    code, _, said = xaibench(*fetch)
    assert code == 2
    assert "the same command goes on" in said
    assert not (tmp_path / "data" / "all-mias.tar.gz").exists()
    assert (tmp_path / "data" / "all-mias.tar.gz.part").stat().st_size == 1000
    assert xaibench(*fetch)[0] == 0
    assert server.asked == [None, "bytes=1000-"]
    assert (tmp_path / "data" / "all-mias.tar.gz").read_bytes() == server.content


def test_a_server_that_knows_no_parts_gives_all_again(xaibench, server, tmp_path):
    server.cuts, server.cut_at, server.parts = 1, 1000, False
    fetch = ("data", "fetch", "mias", "--accept-licence", "--to", tmp_path / "data")
    xaibench(*fetch)
    assert xaibench(*fetch)[0] == 0
    assert (tmp_path / "data" / "all-mias.tar.gz").read_bytes() == server.content


def test_a_file_that_is_there_is_not_fetched_again(xaibench, server, tmp_path):
    fetch = ("data", "fetch", "mias", "--accept-licence", "--to", tmp_path / "data")
    xaibench(*fetch)
    assert xaibench(*fetch)[0] == 0
    assert len(server.asked) == 1


def test_a_file_of_another_checksum_is_not_kept(server, tmp_path):
    good = hashlib.md5(server.content, usedforsecurity=False).hexdigest()
    offer = Offer(server.url, 1, good)
    assert fetching.download(offer, tmp_path / "good", lambda done, total: None).exists()
    with pytest.raises(fetching.DataError, match="published is 0123"):
        fetching.download(Offer(server.url, 1, "0123"), tmp_path / "bad", lambda done, total: None)
    assert list((tmp_path / "bad").iterdir()) == []


def test_a_server_that_is_not_there_is_told_in_one_message(xaibench, monkeypatch, tmp_path):
    monkeypatch.setitem(fetching.OFFERS, "mias", Offer("http://127.0.0.1:9/all-mias.tar.gz", 1))
    code, _, said = xaibench("data", "fetch", "mias", "--accept-licence", "--to", tmp_path)
    assert code == 2
    assert "cannot be fetched" in said
