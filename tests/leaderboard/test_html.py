import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from xaibench_leaderboard.html import Html, page_of
from xaibench_leaderboard.page.packing import unpack

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """The elements of a page with their attributes, the text of every table row, and the packed content."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.rows, self.unbalanced, self.packed = [], [], [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] = " ".join(f"{self.rows[-1][-1]} {data}".split())
        if self.open[-1:] == ["script"] and self.elements[-1][1].get("id") == "content":
            self.packed += data

    def row(self, start):
        return next(row for row in self.rows if row and row[0].startswith(start))


@pytest.fixture
def page(results):
    return Page(page_of(results))


@pytest.fixture
def content(page):
    return unpack(page.packed)


def test_the_page_is_one_file_put_in_place_whole(results, tmp_path):
    path = Html().render(results, tmp_path / "new")
    assert path == tmp_path / "new" / "leaderboard.html"
    assert [path] == list((tmp_path / "new").iterdir())
    assert path.read_text(encoding="utf-8").endswith("</html>")


def test_a_failure_while_drawing_leaves_the_old_page(results, tmp_path):
    path = Html().render(results, tmp_path)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        Html().render(replace(results, environment={"what": object()}), tmp_path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_page_is_well_formed_and_fetches_nothing(page):
    assert (page.unbalanced, page.open) == ([], [])
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"link", "img", "iframe", "object", "embed", "form", "base"}
    assert not [attrs for _, attrs in page.elements if "src" in attrs]
    assert all(attrs["href"].startswith("#") for tag, attrs in page.elements if tag == "a")


def test_every_link_leads_to_a_view(page):
    views = {attrs["data-view"] for _, attrs in page.elements if "data-view" in attrs}
    links = [attrs["href"] for tag, attrs in page.elements if tag == "a" and "data-to" in attrs]
    assert {link.removeprefix("#view=") for link in links} == views
    assert len(links) == 10


def test_the_policy_allows_our_own_style_and_script_alone(page):
    (policy,) = [attrs["content"] for tag, attrs in page.elements if attrs.get("http-equiv")]
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[\w+/=]{44}'; script-src 'sha256-[\w+/=]{44}'; img-src 'self' file:; "
        r"base-uri 'none'; form-action 'none'",
        policy,
    )
    assert not [attrs for _, attrs in page.elements if "style" in attrs or any(name.startswith("on") for name in attrs)]


def test_hostile_names_are_text_wherever_they_appear(results, hostile, quoted, page, content):
    text = page_of(results)
    assert hostile not in text
    assert quoted not in text
    assert page.row(hostile)
    assert hostile in [explainer["label"] for explainer in content["explainers"]]
    assert sum(tag in ("script", "style") for tag, _ in page.elements) == 3


def test_every_string_that_a_stranger_can_set_is_escaped(results, hostile):
    """Put the hostile text into every card, label, reason and record at once."""

    def spoil(value):
        if isinstance(value, dict):
            return {name: spoil(one) for name, one in value.items()}
        if isinstance(value, list):
            return [spoil(one) for one in value]
        return hostile if isinstance(value, str) and value not in ("fail", "ceiling", "floor") else value

    def card(cards):
        return {name: spoil(one) | {"name": one["name"]} for name, one in cards.items()}

    spoilt = replace(
        results,
        folder=results.folder / hostile,
        predictions=tuple(
            replace(one, cards=card(one.cards), classes=("</script>", hostile, '"'), training={hostile: hostile})
            for one in results.predictions
        ),
        scores=tuple(replace(one, cards=card(one.cards), reason=hostile) for one in results.scores),
        audit={name: spoil(told) for name, told in results.audit.items()} | {hostile: {hostile: {}}},
        environment={hostile: hostile},
    )
    text = page_of(spoilt)
    assert "<img" not in text
    assert text.count("&lt;img src=x onerror=alert(1)&gt;") > 20
    assert text.count("</script>") == 2


def test_text_that_no_encoding_can_hold_does_not_stop_the_page(results, prediction, tmp_path):
    odd = prediction((0, 1), (0, 1), classes=("a\ud800", "b\u2028", "c\x00"))
    path = Html().render(replace(results, predictions=(odd,)), tmp_path)
    assert unpack(Page(path.read_text(encoding="utf-8")).packed)["models"][0]["classes"] == ["a?", "b\u2028", "c\x00"]


def test_the_content_holds_every_number_with_its_cell(content, results):
    board = content["boards"][0]
    width = len(board["columns"])
    keys = board["cells"]["key"]
    for row, one in enumerate(board["rows"]):
        for column, about in enumerate(board["columns"]):
            explainer = content["explainers"][one["explainer"]]["label"]
            metric = content["metrics"][about["metric"]]["label"]
            wanted = {"explainer": explainer, "metric": metric, "task": "phantom"}
            found = [cell for cell in results.scores if wanted.items() <= cell.labels.items()]
            assert keys[row * width + column] == (found[0].key if found else "")


def test_the_content_says_means_and_reasons(content):
    board = content["boards"][0]
    width = len(board["columns"])
    labels = [content["explainers"][row["explainer"]]["label"] for row in board["rows"]]
    energy = [content["metrics"][column["metric"]]["label"] for column in board["columns"]].index("energy")
    at = {label: row * width + energy for row, label in enumerate(labels)}
    assert board["cells"]["mean"][at["gradcam"]] == 0.4
    assert board["cells"]["mean"][at["lime(samples=50)"]] is None
    assert content["texts"][board["cells"]["status"][at["lime(samples=50)"]]] == "failed: ValueError: <no> segments"
    assert board["cells"]["patients"][at["saliency"]] == 4


def test_metrics_audit_and_environment_are_on_the_page(page):
    assert page.row("iou")[1:] == ["what iou is", "higher is better", "0 to 1", "", "localisation", "3", "0.000", ""]
    assert any(row[:3] == ["iou", "phantom", "fail"] for row in page.rows)
    assert page.row("cpu.cores") == ["cpu.cores", "2"]


def test_the_scorecard_says_what_is_measured_what_is_distrusted_and_what_is_not(page, results):
    assert page.row("Plausibility")[2:4] == ["measured", "energy failed the audit: iou"]
    assert page.row("Consistency")[2:4] == ["not measured", ""]
    assert page.row("Usefulness")[2] == "not measured"


def test_results_without_audit_accuracy_or_environment_still_make_a_page(results):
    bare = Page(page_of(replace(results, predictions=(), audit={}, environment={})))
    assert bare.unbalanced == []
    assert not [attrs for _, attrs in bare.elements if attrs.get("id") == "audit"]


def test_the_same_results_make_the_same_page(results):
    assert page_of(results) == page_of(results)
