"""Plots in the browser: what is drawn is what was measured."""

import re
from dataclasses import replace

import pytest

from xaibench_leaderboard.html import Html

PLACES = (0.2, 0.4, 0.8)
NAMES = ("ape", "bat", "cow", "dog", "eel")


@pytest.fixture
def rich(result, prediction, results):
    """Five methods on eight films: curves, lesion sizes, costs."""
    scores = []
    for at, name in enumerate((*NAMES, "random", "roi")):
        values = tuple(0.9 - 0.1 * at + film / 1000 for film in range(8))
        curve = result(name, "threshold", values)
        card = curve.cards["metric"] | {"curve": PLACES, "curve_axis": "threshold of the map", "needs": ["mask"]}
        curves = (*((1.0, 0.5, value) for value in values[:7]), None)
        shares = tuple((film + 1) / 100 for film in range(8))
        scores.append(replace(curve, cards={**curve.cards, "metric": card}, curves=curves, shares=shares))
        scores.append(result(name, "seconds", 0.001 * 10 ** (at % 5)))
    truth, said = (0, 0, 1, 1, 2, 2, 2, 2), (0, 0, 1, 0, 2, 2, 2, 1)
    return replace(results, scores=tuple(scores), predictions=(prediction(truth, said),), audit={})


@pytest.fixture
def page(visit, rich, tmp_path):
    return lambda address: visit(Html().render(rich, tmp_path), address).ready()


def figure(view, title):
    return view.page.locator("figure").filter(has=view.page.locator("figcaption b", has_text=title))


def test_the_critical_difference_diagram_names_all_with_their_mean_ranks(page):
    view = page("#view=plots")
    found = figure(view, "Critical difference")
    label = found.locator("svg").get_attribute("aria-label")
    assert (
        label == "Critical difference diagram: ape 1.00, bat 2.00, cow 3.00, dog 4.00, eel 5.00"
    )  # the same order on all films
    assert "over 4 patients" in found.inner_text()
    # Five methods and four blocks: q of the studentised range at .05 is 2.728, so CD = 2.728 * sqrt(30 / 24) = 3.050.
    assert "CD 3.05" in found.locator("svg").text_content()


def test_bars_of_the_diagram_lie_over_the_ranks_that_they_join(page):
    view = page("#view=plots")
    bars = view.page.evaluate("boardAt().rankingOf.critical.bars")
    drawn = view.page.locator("figure .thick").count() - 1  # one is the length of the critical difference
    assert (drawn, len(bars)) == (len(bars), 2)  # a to d and b to e: four ranks apart differ, three do not
    assert bars == [[0, 3], [1, 4]]


def test_the_pareto_front_is_drawn_through_those_that_nobody_beats(page):
    view = page("#view=plots")
    found = figure(view, "Quality against seconds")
    large = found.locator("circle.mark-1 title").all_text_contents()
    assert [text.partition(":")[0] for text in large] == [
        "ape"
    ]  # the best is the cheapest: nobody else is on the front
    assert found.locator("circle").count() == 5


def test_curves_are_the_mean_over_images_and_floors_are_grey(page):
    view = page("#view=plots")
    found = figure(view, "threshold").first
    assert found.locator("path.curve").count() == 7
    assert found.locator("path.curve.floor").count() == 1
    plot = view.page.evaluate("boardAt().curves[0]")
    (line,) = [line for line in plot["lines"] if line["explainer"] == "ape"]
    assert plot["x"] == list(PLACES)
    assert line["y"] == [1, 0.5, pytest.approx(0.903)]  # seven films from .9 to .906; the eighth has no curve


def test_scores_by_lesion_size_are_means_of_strata(page):
    view = page("#view=plots")
    (plot,) = view.page.evaluate("boardAt().sizes")
    # Lesions of 1 to 8 %: thirds end at 3.33 and 5.67 %, so that three, two and three films are in them.
    assert plot["x"] == [pytest.approx(2.17, abs=0.01), pytest.approx(4.5), pytest.approx(6.83, abs=0.01)]
    assert plot["lines"][0]["y"] == [pytest.approx(0.901), pytest.approx(0.9035), pytest.approx(0.906)]
    assert figure(view, "threshold").count() == 2


def test_behind_a_number_stand_its_strata_too(page):
    panel = page("#cell=ape~threshold").page.locator("#panel").inner_text()
    assert re.search(r"small lesions\s+0\.901 \[0\.\d+, 0\.\d+\] on 3 images", panel)
    assert re.search(r"model wrong\s+0\.90\d .*on 2 images", panel)


def test_pairs_say_how_often_one_beats_the_other(page):
    view = page("#view=plots")
    view.page.get_by_text("Pairs", exact=True).click()
    table = view.page.locator("[aria-label='Pairs of explainers'] tbody tr")
    if not table.first.is_visible():
        view.page.get_by_text("Pairs", exact=True).click()
    assert "100 %" in table.first.locator("td").nth(1).inner_text()
    assert "0 %" in table.nth(1).locator("td").first.inner_text()


def test_a_model_page_shows_confusion_roc_and_reliability(page):
    view = page("#view=models")
    rows = view.page.locator("[aria-label=Confusion] tbody tr").all_inner_texts()
    assert [row.split()[1::3] for row in rows] == [["2", "0", "0"], ["1", "1", "0"], ["0", "1", "3"]]
    assert figure(view, "ROC").locator("path.curve").count() == 3
    assert figure(view, "Reliability").locator("circle").count() >= 1


def test_an_explainer_page_shows_its_card_and_scores_with_a_way_back_to_each_cell(page):
    view = page("#view=explainers&at=bat")
    text = view.page.locator("#explainers").inner_text()
    assert "what bat is" in text
    assert "xaibench run" in text
    view.page.locator("#explainers tbody th a").first.click()
    assert view.page.locator("#panel").is_visible()
    assert "bat: threshold" in view.page.locator("#panel-title").text_content()


def test_the_search_of_the_board_chooses_the_lines_of_the_plots(page):
    view = page("#view=plots&q=ape")
    found = figure(view, "threshold").first
    assert found.locator("path.curve:not(.floor):not(.ceiling)").count() == 1
