"""Results at a URL, by fsspec: object stores put single files in place whole, and know neither folders nor renames."""

from __future__ import annotations

import contextlib
import importlib
import uuid
from itertools import islice
from typing import TYPE_CHECKING, Any

from xaibench.errors import StorageError, UsageError, XaibenchError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from xaibench.places import Url

AT_ONCE = 64  # files asked for together: an answer takes long, many at a time take no longer


class RemoteFiles:
    """Any file system that fsspec knows."""

    renames = False

    def __init__(self, url: Url) -> None:
        self.url = url
        self._fs, self._root = _connect(str(url))

    def __reduce__(self) -> tuple[type[RemoteFiles], tuple[Url]]:
        return RemoteFiles, (self.url,)  # a connection belongs to its process

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def prepare(self) -> None:
        """Prove that it can be written."""
        probe = f"tmp/{uuid.uuid4().hex}"
        self.write(probe, b"")
        self.remove(probe)

    def sweep(self, older_than: float) -> None:
        """Nothing half-written lies apart here: `xaibench results gc` finds what no record names."""

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if there is none."""
        with self._told("read results from"):
            try:
                content: bytes = self._fs.cat_file(self._path(name))
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None
            return content

    def read_each(self, names: Iterable[str]) -> Iterator[bytes | None]:
        """The same for several, in order, many at a time."""
        waiting = iter(names)
        while some := [self._path(name) for name in islice(waiting, AT_ONCE)]:
            with self._told("read results from"):
                found = self._fs.cat(some, on_error="return")
            for path in some:
                yield self._content(found[path])

    def _content(self, answer: Any) -> bytes | None:
        if isinstance(answer, FileNotFoundError | NotADirectoryError | IsADirectoryError):
            return None
        if isinstance(answer, Exception):
            raise self._error("read results from", answer) from answer
        content: bytes = answer
        return content

    def write(self, name: str, content: bytes) -> None:
        """One request, which succeeds or leaves what was."""
        with self._told("write results to"):
            self._fs.pipe_file(self._path(name), content)

    def publish(self, folder: str, contents: Mapping[str, bytes]) -> None:
        """Write one after another: the last makes the others count."""
        for name, content in contents.items():
            self.write(f"{folder}/{name}", content)

    def size(self, name: str) -> int | None:
        """Bytes of a file; None if there is none."""
        with self._told("read results from"), contextlib.suppress(FileNotFoundError):
            return int(self._fs.info(self._path(name))["size"])
        return None

    def exists(self, name: str) -> bool:
        """Whether a file or a folder of that name is there."""
        with self._told("read results from"):
            return bool(self._fs.exists(self._path(name)))

    def tree(self, folder: str = "") -> dict[str, int]:
        """All files below a folder with their sizes, by their names from it."""
        top = self._path(folder)
        with self._told("read results from"):
            found: dict[str, dict[str, Any]] = self._fs.find(top, detail=True)
        start = len(top) + 1
        return {path[start:]: int(entry["size"]) for path, entry in found.items() if len(path) > start}

    def move(self, name: str, to: str) -> None:
        """Copy, then remove; the record of a shard goes first, so that what is left of it is never read."""
        with self._told("write results to"):
            parts = sorted(self.tree(name), key=lambda part: not part.endswith("record.json"))
            for part in parts:
                self._fs.copy(self._path(f"{name}/{part}"), self._path(f"{to}/{part}"))
                self._fs.rm_file(self._path(f"{name}/{part}"))

    def remove(self, name: str) -> None:
        """Remove a file or folder; it may be gone already."""
        with self._told("write results to"), contextlib.suppress(FileNotFoundError):
            self._fs.rm(self._path(name), recursive=True)

    @contextlib.contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        """Every file system has errors of its own: all of them are told as ours, with their words."""
        try:
            yield
        except XaibenchError:
            raise
        except Exception as error:
            raise self._error(doing, error) from error

    def _error(self, doing: str, error: Exception) -> StorageError:
        what = str(error).strip().splitlines() or [type(error).__name__]
        hint = "check the address, the credentials in the environment and the network; what is finished is kept"
        return StorageError(f"cannot {doing} {self.url}: {what[0]}; {hint}")


def _connect(url: str) -> tuple[Any, str]:
    """The file system and the path in it. Nothing is remembered of it: other processes write there too."""
    scheme = url.partition("://")[0]
    try:
        core = importlib.import_module("fsspec.core")
        # One request per file: to share it among several, each is asked for its size first. Ours are small.
        single = {"max_concurrency": 1} if scheme in ("s3", "s3a") else {}
        fs, root = core.url_to_fs(url, use_listings_cache=False, **single)
    except ImportError as error:
        msg = f"{url}: {error}; pip install 'xaibench[s3]' for s3://, or the fsspec package of {scheme}://"
        raise UsageError(msg) from error
    except ValueError as error:
        msg = f"{url}: {error}; a local folder, s3://bucket/folder and other addresses that fsspec knows are allowed"
        raise UsageError(msg) from error
    return fs, str(root).rstrip("/")
