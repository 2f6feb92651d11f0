import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from xaibench_leaderboard import html
from xaibench_leaderboard.html import Html, page_of

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """The elements of a page with their attributes, and the text of every table row."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.rows, self.unbalanced = [], [], [], []
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

    def row(self, start):
        return next(row for row in self.rows if row and row[0].startswith(start))


@pytest.fixture
def page(results):
    return Page(page_of(results))


def test_the_page_is_one_file_put_in_place_whole(results, tmp_path):
    path = Html().render(results, tmp_path / "new")
    assert path == tmp_path / "new" / "leaderboard.html"
    assert [path] == list((tmp_path / "new").iterdir())
    assert path.read_text(encoding="utf-8") == page_of(results)


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


def test_every_link_leads_somewhere(page):
    targets = {f"#{attrs['id']}" for _, attrs in page.elements if "id" in attrs}
    links = {attrs["href"] for tag, attrs in page.elements if tag == "a"}
    assert links <= targets
    assert len(links) == 6  # two boards, shortcut, metrics, audit, environment


def test_the_policy_allows_our_own_style_and_script_alone(results, page):
    (policy,) = [attrs["content"] for tag, attrs in page.elements if attrs.get("http-equiv")]
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[\w+/=]{44}'; script-src 'sha256-[\w+/=]{44}'; "
        r"base-uri 'none'; form-action 'none'",
        policy,
    )
    assert not [attrs for _, attrs in page.elements if "style" in attrs or any(name.startswith("on") for name in attrs)]


def test_hostile_names_are_text_wherever_they_appear(results, hostile, quoted, page):
    text = page_of(results)
    assert hostile not in text
    assert quoted not in text
    assert page.row(hostile)[1].startswith("0.100")
    assert any(quoted in cell for row in page.rows for cell in row)
    assert sum(tag in ("script", "style") for tag, _ in page.elements) == 2


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
        predictions=tuple(replace(one, cards=card(one.cards)) for one in results.predictions),
        scores=tuple(replace(one, cards=card(one.cards), reason=hostile) for one in results.scores),
        audit={name: spoil(told) for name, told in results.audit.items()} | {hostile: {hostile: {}}},
        environment={hostile: hostile},
    )
    text = page_of(spoilt)
    assert "<img" not in text
    assert text.count("&lt;img src=x onerror=alert(1)&gt;") > 40


def test_methods_and_references_are_separate_bodies(page):
    bodies = [attrs.get("class") for tag, attrs in page.elements if tag == "tbody" and attrs.get("class")]
    assert bodies == ["methods", "references"] * 3


def test_cells_show_mean_interval_and_what_went_wrong(page):
    assert page.row("gradcam")[1:] == [page.row("gradcam")[1], "0.500 [0.500, 0.500]", "0.010 [0.010, 0.010]", "100 %"]
    assert re.fullmatch(r"0\.400 \[0\.\d{3}, 0\.\d{3}\]", page.row("gradcam")[1])
    assert page.row("lime(samples=50)")[1:3] == ["failed: ValueError: <no> segments", "0.400 [0.400, 0.400] 4 failed"]
    assert page.row("constant")[1:] == ["0.000 [0.000, 0.000] 8 failed", "not run", "not run", "0 %"]


def test_a_row_that_is_unsupported_throughout_says_so_once(page):
    assert page.row("rollout")[1:] == ["unsupported (resnet18 has no attention)", "-"]
    assert ("td", {"class": "status", "data-value": "", "colspan": "3"}) in page.elements


def test_a_column_that_fails_the_audit_is_greyed_in_head_and_cells_with_the_reason(page, results, hostile):
    reason = f"ranks {hostile} above the oracle"
    greyed = [attrs for tag, attrs in page.elements if "greyed" in (attrs.get("class") or "").split()]
    heads = [attrs for attrs in greyed if attrs.get("title") == f"fails the audit: {reason}"]
    cells = [attrs for attrs in greyed if f"greyed: {reason}" in attrs.get("title", "")]
    assert (len(heads), len(cells)) == (1, 6)
    assert f"it fails the audit: {reason}" in " ".join(page_text(results))


def page_text(results):
    return re.sub(r"<[^>]*>", "", page_of(results)).replace("&lt;", "<").replace("&gt;", ">").split()


def test_colour_follows_the_mean_between_worst_and_best_row_and_spares_references_and_greyed_columns(page):
    # energy runs from 0 (constant) to 1 (roi): 0.4, 0.25 and 0.1 of six steps are 2.4, 1.5 and 0.6.
    shades = [attrs["class"].split()[-1] for tag, attrs in page.elements if "shade-" in (attrs.get("class") or "")]
    assert shades[:3] == ["shade-2", "shade-2", "shade-1"]
    # In the other board energy runs from 0.05 (random) to 1 (roi): 0.25, 0.15 and 0.05 of 0.95, of six steps.
    assert shades[3:] == ["shade-2", "shade-1", "shade-0"]


def test_lower_is_better_is_coloured_the_other_way_round(result):
    from xaibench.contracts import Results
    from xaibench_leaderboard.board import boards_of

    scores = [result(name, "worse", value) for name, value in (("a", 0.0), ("b", 0.5), ("c", 1.0))]
    scores = [
        replace(one, cards={**one.cards, "metric": {**one.cards["metric"], "higher_is_better": False}})
        for one in scores
    ]
    (board,) = boards_of(Results(None, (), tuple(scores), {}, {}))
    assert html._shades(board) == [[6], [3], [0]]


def test_metrics_audit_environment_and_command_are_on_the_page(page, results):
    assert page.row("iou")[1:] == ["what iou is", "higher is better", "0 to 1", "", "localisation", "3", "0.000", ""]
    assert any(row[:3] == ["iou", "phantom", "fail"] for row in page.rows)
    assert page.row("cpu.cores") == ["cpu.cores", "2"]
    assert "xaibench run --tasks phantom-shortcut --models resnet18" in " ".join(page_text(results))


def test_results_without_audit_accuracy_or_environment_still_make_a_page(results):
    bare = Page(page_of(replace(results, predictions=(), audit={}, environment={})))
    assert bare.unbalanced == []
    assert not [attrs for _, attrs in bare.elements if attrs.get("id") == "audit"]


def test_the_same_results_make_the_same_page(results):
    assert page_of(results) == page_of(results)
