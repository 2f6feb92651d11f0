"""The page without script, on a phone, on paper, in the dark, and for those who do not see it."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from xaibench_leaderboard.html import Html


def test_without_script_the_numbers_are_there_all_the_same(visit, path):
    view = visit(path, java_script_enabled=False)
    assert view.page.locator("noscript table").count() == 2
    assert "0.250 [0.250, 0.250]" in view.page.locator("noscript").first.inner_text()
    assert view.page.locator("#metrics").is_visible()
    assert not view.page.locator("#views").is_visible()


def test_the_head_stays_in_sight_while_a_long_table_scrolls(board):
    view = board(viewport={"width": 1000, "height": 300})
    box = view.page.locator("#board .scroll")
    box.evaluate("box => { box.scrollTop = 150 }")
    assert box.evaluate("box => box.scrollTop") == 150
    for one in view.page.locator("#board thead th").all():
        assert one.bounding_box()["y"] == pytest.approx(box.bounding_box()["y"], abs=2)


@pytest.mark.parametrize(
    "which", ["board", "plots", "explainers", "models", "metrics", "audit", "scorecard", "about", "shortcuts"]
)
def test_on_a_phone_nothing_but_tables_scrolls_sideways(board, which):
    view = board(f"#view={which}", viewport={"width": 390, "height": 844})
    assert view.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_on_a_phone_the_names_stay_while_the_table_scrolls(board):
    view = board(viewport={"width": 390, "height": 844})
    box = view.page.locator("#board .scroll")
    assert box.evaluate("box => box.scrollWidth > box.clientWidth")
    box.evaluate("box => { box.scrollLeft = 150 }")
    name = view.page.locator("#board .references tr[data-explainer] th").first.bounding_box()
    assert name["x"] == pytest.approx(box.bounding_box()["x"], abs=2)


def test_printing_shows_the_whole_table_and_no_controls(board):
    view = board()
    view.page.emulate_media(media="print")
    assert not view.page.locator(".controls").is_visible()
    assert not view.page.locator("#views").is_visible()
    assert view.page.locator("#board .scroll").evaluate("box => getComputedStyle(box).overflow") == "visible"


def test_dark_follows_the_system_and_the_button_overrules_it(board):
    ground = "getComputedStyle(document.body).backgroundColor"
    view = board(color_scheme="dark")
    assert view.page.evaluate(ground) == "rgb(18, 22, 27)"
    view.page.locator("#theme").click()
    assert view.page.evaluate(ground) == "rgb(255, 255, 255)"
    assert "theme=light" in view.page.evaluate("location.hash")


# -------------------------------------------------------------------------------------------------------- accessibility


CELL = "board&cell=gradcam~energy"
EVERY = (
    "board",
    CELL,
    "plots",
    "gallery",
    "explainers",
    "models",
    "metrics",
    "shortcuts",
    "audit",
    "scorecard",
    "about",
)


@pytest.mark.parametrize(("scheme", "views"), [("light", EVERY), ("dark", ("board", CELL, "models"))])
def test_axe_finds_nothing_serious_in_any_view(board, scheme, views):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    view = board(color_scheme=scheme)
    for address in views:
        view.go(f"view={address}")
        found = axe.Axe().run(view.page).response["violations"]
        bad = [one for one in found if one["impact"] in ("serious", "critical")]
        assert [(one["id"], node["html"][:120]) for one in bad for node in one["nodes"]] == [], address


def test_axe_sees_what_is_wrong(visit, tmp_path):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    bad = tmp_path / "bad.html"
    bad.write_text('<html><body><button></button><p style="color:#aaa;background:#bbb">pale</p></body></html>')
    found = {one["id"] for one in axe.Axe().run(visit(bad).page).response["violations"]}
    assert {"button-name", "color-contrast"} <= found


CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const light = (color) => {
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const linear = (one) => (one / 255 <= 0.04045 ? one / 255 / 12.92 : ((one / 255 + 0.055) / 1.055) ** 2.4);
    const [red, green, blue] = canvas.getImageData(0, 0, 1, 1).data;
    return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
  };
  const ground = (one) => {
    const color = getComputedStyle(one).backgroundColor;
    return color === "rgba(0, 0, 0, 0)" && one.parentElement ? ground(one.parentElement) : color;
  };
  const shade = document.querySelector("td[class*=shade-]");
  const found = [];
  for (const step of [0, 1, 2, 3, 4, 5, 6]) {
    shade.className = `shade-${step}`;
    for (const one of document.querySelectorAll("p, b, small, th, td, a, summary, h1, h2")) {
      const [dark, bright] = [light(getComputedStyle(one).color), light(ground(one))].sort((a, b) => a - b);
      found.push([(bright + 0.05) / (dark + 0.05), one.outerHTML.slice(0, 80)]);
    }
  }
  return found.sort(([one], [other]) => one - other)[0];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_is_readable_on_every_shade(visit, several, tmp_path, scheme):
    view = visit(Html().render(several, tmp_path), color_scheme=scheme).ready()
    worst, where = view.page.evaluate(CONTRASTS)
    assert worst >= 4.5, where


@pytest.mark.skipif("XAIBENCH_PICTURES" not in os.environ, reason="XAIBENCH_PICTURES names no folder for pictures")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("light", {}),
        ("dark", {"color_scheme": "dark"}),
        ("phone", {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2}),
    ],
)
def test_pictures_for_a_person_to_look_at(board, name, options):
    path = Path(os.environ["XAIBENCH_PICTURES"]) / f"{name}.png"
    board(**options).page.screenshot(path=path, full_page=True)
    assert path.stat().st_size > 10_000


def test_a_poor_model_is_flagged_where_its_board_is_chosen_and_where_it_is_shown(results, prediction, visit, tmp_path):
    truth = (0, 1, 2) * 10
    answers = (prediction(truth, truth), prediction(truth, (0,) * 30, task="phantom-shortcut"))
    view = visit(Html().render(replace(results, predictions=answers), tmp_path)).ready()
    names = view.page.locator("#which option").all_inner_texts()
    flagged = [at for at, name in enumerate(names) if "poor model" in name]
    assert len(names) == 2
    assert ["shortcut" in names[at] for at in flagged] == [True]  # one of three images is right there
    assert "poor" not in view.page.locator("#board").inner_text()
    view.page.locator("#which").select_option(index=flagged[0])
    assert "poor model" in view.page.locator("#board .flag").first.inner_text()
