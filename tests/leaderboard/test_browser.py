"""The page in a real browser, from a file, as its readers open it."""

import re
from dataclasses import replace
from urllib.parse import quote

import pytest

from xaibench_leaderboard.html import Html
from xaibench_leaderboard.standings import rankings_of
from xaibench_leaderboard.weights import DEFAULT

RTL = "\u202egnidaelsim\u202c \"quoted\" 'names' \u05e9\u05dc\u05d5\u05dd"


def test_the_page_opens_without_complaint_and_asks_for_nothing_but_itself(board, path):
    view = board()
    view.page.wait_for_timeout(200)
    assert view.requests == [path.as_uri()]
    names = "Leaderboard,Plots,Gallery,Explainers,Models,Metrics,Shortcuts,Audit,Scorecard,How to read it"
    assert view.all("#views a") == names.split(",")


def test_every_view_opens_without_complaint(board):
    view = board()
    for link in view.page.locator("#views a").all():
        link.click()
        shown = view.page.locator("[data-view]:visible")
        assert shown.count() == 1
        assert shown.inner_text().strip()
        assert link.get_attribute("aria-current") == "page"


def test_the_guard_sees_a_page_that_complains_and_fetches(visit, tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<script>alert(1); console.error('no'); fetch('http://127.0.0.1:9/x').catch(() => 0); boom()</script>"
    )
    view = visit(bad, guarded=False)
    view.page.wait_for_timeout(200)
    assert {"dialog: 1", "error: no", "boom is not defined"} <= set(view.troubles)
    assert "http://127.0.0.1:9/x" in view.requests


def test_nothing_that_a_name_brings_becomes_an_element_or_runs(board, hostile):
    view = board()
    assert hostile in view.names() + view.names(".apart")
    for address in (
        "view=board&board=2",
        "view=board&cell=4.0",
        f"view=explainers&at={quote(hostile)}",
        "view=plots",
        "view=models",
    ):
        view.go(address)
        assert view.page.locator("img, [onmouseover], [onerror]").count() == 0
    view.go("view=board")
    for element in view.page.locator("[title], .subject, pre, [data-tip]").all():
        element.dispatch_event("mouseover")


def test_class_names_with_quotes_and_right_to_left_marks_are_only_text(visit, results, prediction, tmp_path, hostile):
    odd = prediction((0, 0, 1, 1, 2, 2, 2, 2), (0, 0, 1, 0, 2, 2, 2, 2), classes=(RTL, hostile, "</script><b>"))
    path = Html().render(replace(results, predictions=(odd, *results.predictions[1:])), tmp_path)
    view = visit(path, "#view=models").ready()
    heads = view.page.locator("[aria-label=Confusion]").first.locator("thead th")
    assert heads.all_text_contents() == [RTL, hostile, "</script><b>"]
    assert view.page.locator("img").count() == 0


# ------------------------------------------------------------------------------------------------------------ sorting


def head(view, name):
    return view.page.locator(f'[data-sort="{name}"]')


def sorting(view):
    return view.page.locator("#board thead th").evaluate_all("all => all.map(one => one.getAttribute('aria-sort'))")


def test_a_click_sorts_methods_by_a_column_and_leaves_references_alone(board):
    view = board()
    before = view.names(".references")
    assert before == ["roi", "random", "constant"]
    head(view, "seconds").click()  # lower is better: the fastest first, those without a number last
    order = view.names()
    assert order.index("saliency") < order.index("gradcam")
    assert sorting(view).count("ascending") == 1
    head(view, "seconds").click()
    order = view.names()
    assert order.index("gradcam") < order.index("saliency")
    assert "descending" in sorting(view)
    assert view.names(".references") == before


def test_names_sort_as_words_and_the_keyboard_sorts_too(board):
    view = board()
    head(view, "explainer").focus()
    view.page.keyboard.press("Enter")
    assert view.names() == sorted(view.names())
    view.page.keyboard.press("Enter")  # the head keeps the focus
    assert view.names() == sorted(view.names(), reverse=True)


def test_what_is_not_ranked_stands_apart_with_the_reason(board):
    view = board()
    assert "rollout" in view.names(".apart")
    assert "rollout" not in view.names()
    assert view.page.locator('[data-explainer="rollout"] .note').text_content()
    cells = view.page.locator('[data-explainer="rollout"] td').all_text_contents()
    assert cells == ["not ranked", "unsupported (resnet18 has no attention)", "-"]


# ---------------------------------------------------------------------------------- search, filter, columns, permalink


def test_searching_keeps_what_matches_and_every_reference(board):
    view = board()
    view.page.locator("#search").press_sequentially("sali")
    assert view.names() + view.names(".apart") == ["saliency"]
    assert view.names(".references") == ["roi", "random", "constant"]
    assert view.page.evaluate("document.activeElement.id") == "search"
    assert "1 of 5" in view.page.locator("#shown").text_content()


def test_columns_are_chosen_and_the_choice_stays_open(board):
    view = board()
    view.page.get_by_text("Columns", exact=True).click()
    view.page.locator("[data-column=iou]").uncheck()
    assert view.page.locator('[data-sort="iou"]').count() == 0
    assert view.page.locator('[data-sort="energy"]').count() == 1
    view.page.locator("[data-column=iou]").check()
    assert view.page.locator('[data-sort="iou"]').count() == 1


def test_an_address_brings_back_what_was_seen(board, visit, path):
    view = board()
    view.page.locator("#search").fill("a")
    view.page.get_by_text("Columns", exact=True).click()
    view.page.locator("[data-column=iou]").uncheck()
    head(view, "seconds").click()
    view.page.locator("#theme").click()
    address = view.page.evaluate("location.hash")
    again = visit(path, address).ready()
    assert again.page.locator("#board table").inner_text() == view.page.locator("#board table").inner_text()
    assert again.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 22, 27)"


def test_the_back_button_undoes_a_step(board):
    view = board()
    before = view.names()
    head(view, "explainer").click()
    head(view, "explainer").click()
    view.page.go_back()
    view.page.go_back()
    view.until("!location.hash.includes('sort')")
    assert view.names() == before


@pytest.mark.parametrize(
    "address", ["view=nowhere", "board=99", "sort=none:up", "weights=x:y", "cell=no~thing", "at=%00", "q=%"]
)
def test_an_address_that_leads_nowhere_still_shows_the_board(board, address):
    assert board(f"#{address}").page.locator("#board table tr").count() > 0


def test_a_second_board_is_a_choice_away(board):
    view = board()
    view.page.locator("#which").select_option(index=1)
    assert view.page.locator("#board h2").text_content() == "resnet18 on phantom-shortcut"
    assert "board=resnet18%7Ephantom-shortcut%7E0" in view.page.evaluate("location.hash")
    view.page.reload()
    view.ready()
    assert view.page.locator("#board h2").text_content() == "resnet18 on phantom-shortcut"


def test_the_family_filter_keeps_one_family(board):
    view = board()
    view.page.locator("#family").select_option("gradient")
    assert len(view.names() + view.names(".apart")) == 5


def test_fewer_reference_rows_still_teach_the_lesson(visit, results, result, tmp_path):
    more = tuple(result(name, "energy", 0.1) for name in ("edges", "roi-degraded(noise=0.7)"))
    path = Html().render(replace(results, scores=results.scores + more), tmp_path)
    view = visit(path).ready()
    view.page.locator("#floors").check()
    assert "edges" in view.names(".references")
    assert "random" not in view.names(".references")
    assert "never seen the model" in view.page.locator(".lesson").first.text_content()


# ------------------------------------------------------------------------------------------------------------ ranking


def by_hand(scores, weights):
    (ranking,) = [one for one in rankings_of(scores, weights).each if one.labels["task"] == "phantom"]
    return [(standing.explainer, pytest.approx(standing.mean_rank)) for standing in ranking.standings]


@pytest.mark.parametrize("given", [{}, {"stability": 3.0}, {"localisation": 0.0}, {"stability": 0.0}])
def test_weights_set_in_the_page_rank_as_the_program_does(visit, several, tmp_path, given):
    view = visit(Html().render(several, tmp_path)).ready()
    view.page.get_by_text("Weights", exact=True).click()
    for family, weight in given.items():
        field = view.page.locator(f'[data-family="{family}"]')
        field.fill(str(weight))
        field.press("Enter")
    wanted = by_hand(several, {**DEFAULT, **given})
    found = view.page.evaluate(
        "placed(boardAt().rankingOf, weightsOf(boardAt().rankingOf)).map((one) => [one.explainer, one.mean])"
    )
    assert [tuple(one) for one in found] == wanted
    assert view.names() == [name for name, _ in wanted]


def test_places_under_other_weights_claim_no_certainty(visit, several, tmp_path):
    path = Html().render(several, tmp_path)
    assert "]" in visit(path).ready().page.locator(".methods .place").first.inner_text()
    view = visit(path, "#weights=stability:3").ready()
    assert "]" not in view.page.locator(".methods .place").first.inner_text()
    assert "How sure they are" in view.page.locator("#board").inner_text()


def test_weights_all_zero_rank_nobody(visit, several, tmp_path):
    view = visit(Html().render(several, tmp_path), "#weights=localisation:0~stability:0").ready()
    assert view.names() == []
    assert view.names(".apart") == list("abcd")


def test_the_board_over_all_ranks_as_the_program_does_and_shows_every_board(visit, several, tmp_path):
    twice = [replace(one, labels={**one.labels, "task": "phantom-tiny"}, key=f"{one.key}x") for one in several.scores]
    both = replace(several, scores=(*several.scores, *twice))
    view = visit(Html().render(both, tmp_path), "#board=all&weights=stability:3").ready()
    overall = rankings_of(both, {**DEFAULT, "stability": 3.0}).overall
    assert view.names() == [standing.explainer for standing in overall.standings]
    heads = view.page.locator("#board thead th").all_text_contents()
    assert heads[3:] == ["resnet18 on phantom", "resnet18 on phantom-tiny"]
    first = view.page.locator("#board tbody tr").first.locator("td")
    assert first.nth(1).text_content() == f"{overall.standings[0].mean_rank:.3f}"
    view.page.locator("#which").select_option(index=2)
    assert view.page.locator("#board h2").text_content() == "resnet18 on phantom-tiny"


def test_colour_is_the_rank_among_the_methods_and_only_where_it_judges(visit, several, tmp_path):
    view = visit(Html().render(several, tmp_path)).ready()
    shades = view.page.evaluate(
        """Object.fromEntries(Array.from(document.querySelectorAll("#board tr[data-explainer]"), (row) => [
          row.dataset.explainer, Array.from(row.cells).slice(2, -1).map((cell) => cell.className)]))"""
    )
    # energy .9 .7 .5 .3, stable .1 .9 .5 .4: ranks 1 to 4 of four methods are shades 6, 4, 2, 0; seconds have none.
    assert shades == {
        "a": ["shade-6", "shade-0", ""],
        "b": ["shade-4", "shade-6", ""],
        "c": ["shade-2", "shade-4", ""],
        "d": ["shade-0", "shade-2", ""],
    }


# ---------------------------------------------------------------------------------------------------- behind a number


def test_a_click_on_a_number_tells_key_n_interval_version_and_command(board, results):
    view = board()
    view.page.locator('[data-explainer="gradcam"] [data-cell]').first.click()
    panel = view.page.locator("#panel")
    text = panel.inner_text()
    (cell,) = [
        one for one in results.scores
        if one.labels["explainer"] == "gradcam" and one.labels["metric"] == "energy" and one.labels["task"] == "phantom"
    ]  # fmt: skip
    assert cell.key in text
    assert f"xaibench verify some-folder --cell {cell.key}" in text
    assert "8 images of 4 patients" in text
    assert "metric version\n1" in text
    assert "xaibench run --tasks phantom --models resnet18 --explainers gradcam --metrics energy" in text
    view.page.keyboard.press("Escape")
    assert not panel.is_visible()
    view.until("!location.hash.includes('cell')")


def test_what_has_no_number_says_why_behind_it_too(board):
    view = board(f"#cell={quote('lime(samples=50)~energy')}")
    assert view.page.locator("#panel").is_visible()
    assert view.page.locator("#panel-title").text_content() == "lime(samples=50): energy"
    assert "failed: ValueError: <no> segments" in view.page.locator("#panel").inner_text()


def test_hovering_or_focusing_a_head_defines_the_metric_with_floor_and_ceiling(board):
    view = board()
    head(view, "energy").hover()
    tip = view.page.locator("#tip")
    assert "what energy is" in tip.text_content()
    assert "Best floor 0.050" in tip.text_content()
    assert "Best ceiling 1.000" in tip.text_content()
    head(view, "iou").focus()
    assert "fails the audit" in tip.text_content()
    view.page.keyboard.press("Escape")
    assert not tip.is_visible()


def test_numbers_can_be_read_between_floor_and_ceiling(board):
    view = board("#scale=share")
    row = view.page.locator('[data-explainer="gradcam"] [data-cell] b').all_text_contents()
    assert row[0] == "0.368"  # energy 0.4 between the floor at 0.05 and the ceiling at 1


@pytest.mark.parametrize(
    ("kind", "start"),
    [("CSV", "explainer,kind,place,energy"), ("Markdown", "resnet18 on phantom"), ("LaTeX", "\\begin{table}")],
)
def test_the_table_is_copied(board, kind, start):
    view = board(permissions=["clipboard-read", "clipboard-write"])
    view.page.locator(f'[data-copy="{kind}"]').click()
    view.until("document.getElementById('said').textContent.includes('copied')")
    text = view.page.evaluate("navigator.clipboard.readText()")
    assert text.startswith(start)
    assert "saliency" in text


def test_what_is_copied_runs_nothing_in_a_spreadsheet_and_breaks_no_table(visit, results, result, tmp_path):
    odd = tuple(result(name, "energy", 0.5) for name in ('=HYPERLINK("x")', "a,b|c_d&e", "two\nlines"))
    view = visit(Html().render(replace(results, scores=results.scores + odd), tmp_path)).ready()
    csv, markdown, latex = (view.page.evaluate(f"{name}()") for name in ("csv", "markdown", "latex"))
    assert '"\'=HYPERLINK(""x"")"' in csv
    assert '"a,b|c_d&e"' in csv
    assert "a,b\\|c\\_d&e" in markdown
    assert "a,b|c\\_d\\&e" in latex
    assert "two lines" in markdown
    # In the CSV an explainer's mean and both ends of its interval stand in columns of their own.
    assert re.search(r"saliency,method,[\d.]*,0.25,0.25,0.25,", csv)
