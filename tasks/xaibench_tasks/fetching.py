"""`xaibench data fetch`: where data come from, and the download of those that anyone may download."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from xaibench.errors import DataError, UsageError
from xaibench.references import parse
from xaibench_tasks.examination import module_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from http.client import HTTPResponse

CHUNK = 2**20
PATIENCE = 60  # seconds without a byte


@dataclass(frozen=True)
class Offer:
    """A file that is given to anyone, without an account."""

    url: str
    megabytes: int  # about
    md5: str = ""  # where the publisher gives one


OFFERS = {
    "mias": Offer("http://peipa.essex.ac.uk/pix/mias/all-mias.tar.gz", 110),
    "breakhis": Offer("http://www.inf.ufpr.br/vri/databases/BreaKHis_v1.tar.gz", 4300),
    "busi": Offer("https://scholar.cu.edu.eg/Dataset_BUSI.zip", 250),
    "bach": Offer(
        "https://zenodo.org/records/3632035/files/ICIAR2018_BACH_Challenge.zip",
        10400,
        "8ae1801334aa943c44627c1eef3631b2",
    ),
}


@dataclass(frozen=True)
class Advice:
    """All there is to say of getting the data of a task."""

    task: str
    home: str  # the folder of XAIBENCH_DATA in which they are looked for
    card: Any
    offer: Offer | None

    def text(self, place: Path) -> str:
        """For people."""
        lines = [
            f"{self.task}: {self.card.summary}",
            f"  get      {self.card.source}",
            f"  licence  {self.card.licence}",
            f"  cite     {self.card.citation or self.card.paper or 'see its page'}",
            "  layout   " + self.card.layout.replace("\n", "\n           "),
            f"  put into {place}   (named by --to, or XAIBENCH_DATA)",
            f"  then     xaibench data check {self.task} {place}",
        ]
        if self.offer:
            lines.insert(2, f"           {self.offer.url}, about {self.offer.megabytes} MB, no account needed")
            lines.append(f"  or let it be fetched:  xaibench data fetch {self.task} --accept-licence --to {place}")
        else:
            why = "it needs an account or an agreement, is in several parts, or is yours"
            lines.append(f"  It cannot be fetched by this program: {why}.")
        return "\n".join(lines)

    def plain(self, place: Path) -> dict[str, Any]:
        """For programs."""
        return {
            "task": self.task,
            "source": self.card.source,
            "licence": self.card.licence,
            "citation": self.card.citation,
            "layout": self.card.layout,
            "place": str(place),
            "url": self.offer.url if self.offer else None,
            "megabytes": self.offer.megabytes if self.offer else None,
        }


def advice_on(text: str) -> Advice:
    """What is known of the data of a task."""
    reference = parse(text)
    module = module_of(reference)
    card = getattr(module, "CARD", None)
    if not getattr(card, "layout", ""):
        msg = f"{reference.target} needs no data: it is drawn, or made of other tasks"
        raise UsageError(msg)
    home = str(getattr(module, "HOME", reference.target))
    return Advice(reference.target, home, card, OFFERS.get(home))


def download(offer: Offer, folder: Path, progress: Callable[[int, int], None]) -> Path:
    """The file of an offer. What an earlier attempt left is gone on with; a file of the name is there only if whole."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / Path(urlsplit(offer.url).path).name
    if file.exists():
        return file
    part = file.with_name(f"{file.name}.part")
    try:
        _append(offer.url, part, progress)
    except (urllib.error.URLError, OSError, ValueError) as error:
        msg = f"{offer.url} cannot be fetched: {error}. What came is kept; the same command goes on. Or fetch it "
        msg += f"otherwise, and put it into {folder}"
        raise DataError(msg) from error
    if offer.md5 and (found := _md5(part)) != offer.md5:
        part.unlink()
        msg = f"{offer.url} gave a file with the MD5 {found}, published is {offer.md5}: removed, fetch it again"
        raise DataError(msg)
    part.replace(file)
    return file


def _append(url: str, part: Path, progress: Callable[[int, int], None]) -> None:
    """Fetch what is missing of a file; from its beginning if the server cannot give parts."""
    have = part.stat().st_size if part.exists() else 0
    if urlsplit(url).scheme not in ("http", "https"):
        msg = f"{url} is no http address"
        raise ValueError(msg)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310  # see above
    try:
        response = urllib.request.urlopen(request, timeout=PATIENCE)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:  # all of it is there
            return
        raise
    with response:
        have = have if response.status == HTTPStatus.PARTIAL_CONTENT else 0
        _store(response, part, have, progress)


def _store(response: HTTPResponse, part: Path, have: int, progress: Callable[[int, int], None]) -> None:
    length = response.headers.get("Content-Length")
    total = have + int(length) if length else 0
    with part.open("ab" if have else "wb") as stream:
        while chunk := response.read(CHUNK):
            stream.write(chunk)
            have += len(chunk)
            progress(have, total)
    if total and have < total:
        msg = f"it ended after {have} of {total} bytes"
        raise OSError(msg)


def _md5(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
