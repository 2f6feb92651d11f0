"""The built site: without a warning, whole, and fetching nothing from anywhere."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from xaibench_docs.plugins import GROUPS, described

ROOT = Path(__file__).parents[2]
FETCHING = {("link", "href"), ("object", "data"), *((tag, "src") for tag in ("script", "img", "iframe", "source"))}
pytestmark = pytest.mark.timeout(900)  # building takes half a minute, on a busy machine many


class Links(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.fetched, self.linked, self.anchors = [], [], set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.anchors.add(given.get("id") or given.get("name"))
        self.linked += [given["href"]] if tag == "a" and given.get("href") else []
        self.fetched += [given[key] for name, key in FETCHING if tag == name and given.get(key)]


@pytest.fixture(scope="module")
def pages(site):
    return {page: Links(page) for page in site.rglob("*.html")}


def test_everything_registered_has_its_page_in_the_site(site):
    everything = [one.page for group in GROUPS for one in described(group)]
    missing = [page for page in everything if not (site / page).with_suffix(".html").is_file()]
    assert len(everything) > 100
    assert not missing
    assert (site / "pictures" / "score-map.png").stat().st_size > 10_000


def test_every_link_leads_somewhere_and_every_anchor_is_there(site, pages):
    broken = []
    for page, links in pages.items():
        if page.name == "404.html":
            continue
        for link in links.linked:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            target = target / "index.html" if target.is_dir() else target
            if target not in pages and not target.is_file():
                broken.append(f"{page.relative_to(site)}: {link}")
            elif parts.fragment and unquote(parts.fragment) not in pages[target].anchors:
                broken.append(f"{page.relative_to(site)}: {link} (no such place)")
    assert len(pages) > 100
    assert not broken


def test_no_page_fetches_anything_from_elsewhere(pages):
    outside = {link for links in pages.values() for link in links.fetched if urlsplit(link).netloc}
    assert not outside


def test_style_sheets_fetch_nothing_from_elsewhere(site):
    outside = [
        found
        for sheet in site.rglob("*.css")
        for found in re.findall(r"url\(['\"]?((?:https?:)?//[^)]+)\)|@import ['\"](https?:[^'\"]+)", sheet.read_text())
    ]
    assert not outside


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_of_the_front_pages_hold(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not urlsplit(link).scheme]
    assert links or name != "README.md"
    headings = {re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in text.splitlines()}
    for link in links:
        path, _, place = link.partition("#")
        assert (ROOT / path).exists(), link
        assert path or place in headings, link


def test_a_browser_asks_for_nothing_but_files(site, browser):
    asked, errors = [], []
    context = browser.new_context()
    page = context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    for name in ("index.html", "how-a-score-is-made.html", "metrics/iou.html"):
        page.goto((site / name).as_uri())
        page.wait_for_load_state("load")
    context.close()
    assert len(asked) > 10
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert errors == []
