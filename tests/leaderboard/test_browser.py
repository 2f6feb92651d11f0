"""The page in a real browser, from a file, as its readers open it."""

import os
import shutil
from pathlib import Path

import pytest

from xaibench_leaderboard.html import Html

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH")


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


class Visit:
    """A page with everything it asked for and complained about."""

    def __init__(self, context, path):
        self.troubles, self.requests = [], []
        self.page = context.new_page()
        self.page.on("console", lambda message: self.troubles.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("dialog", self._dialog)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def _dialog(self, dialog):
        self.troubles.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def names(self, body=".methods"):
        return self.page.locator(f"#board-1 {body} th[scope=row]").evaluate_all(
            "all => all.map(one => one.dataset.value)"
        )

    def button(self, name):
        return self.page.locator("#board-1 thead button").filter(has_text=name)

    def sorting(self):
        return self.page.locator("#board-1 thead th").evaluate_all(
            "all => all.map(one => one.getAttribute('aria-sort'))"
        )


@pytest.fixture
def open_page(browser, results, tmp_path):
    contexts = []

    def visit(**options):
        contexts.append(browser.new_context(**options))
        return Visit(contexts[-1], Html().render(results, tmp_path))

    yield visit
    for context in contexts:
        context.close()


def test_the_page_opens_without_complaint_and_asks_for_nothing_but_itself(open_page, tmp_path):
    visit = open_page()
    visit.page.wait_for_timeout(200)
    assert visit.troubles == []
    assert visit.requests == [(tmp_path / "leaderboard.html").as_uri()]
    assert visit.page.locator("h2").count() == 7


def test_the_guard_sees_a_page_that_complains_and_fetches(browser, tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<script>alert(1); console.error('no'); fetch('http://127.0.0.1:9/x').catch(() => 0); boom()</script>"
    )
    context = browser.new_context()
    visit = Visit(context, bad)
    visit.page.wait_for_timeout(200)
    assert {"dialog: 1", "error: no", "boom is not defined"} <= set(visit.troubles)
    assert "http://127.0.0.1:9/x" in visit.requests
    context.close()


def test_nothing_that_a_name_brings_becomes_an_element_or_runs(open_page, hostile):
    visit = open_page()
    assert hostile in visit.names()
    assert visit.page.locator("img, [onmouseover], [onerror]").count() == 0
    for element in visit.page.locator("[title], .subject, pre").all():
        element.dispatch_event("mouseover")
    assert visit.troubles == []


def test_a_click_sorts_methods_by_a_column_and_leaves_references_alone(open_page, hostile):
    visit = open_page()
    before = visit.names(".references")
    assert visit.names() == ["gradcam", "saliency", hostile, "lime(samples=50)", "rollout"]
    assert visit.sorting() == [None, "descending", None, None, None]
    visit.button("seconds").click()  # lower is better: 0.002, 0.01, 12.5, then those without a number
    assert visit.names() == ["saliency", "gradcam", "lime(samples=50)", hostile, "rollout"]
    assert visit.sorting() == [None, None, None, "ascending", None]
    visit.button("seconds").click()
    assert visit.names() == ["lime(samples=50)", "gradcam", "saliency", hostile, "rollout"]
    assert visit.sorting() == [None, None, None, "descending", None]
    assert visit.names(".references") == before


def test_merged_cells_do_not_shift_the_columns_behind_them(open_page):
    visit = open_page()
    visit.button("maps ok").click()  # 100 % for three, 50 % for lime, nothing for rollout
    assert visit.names()[3:] == ["lime(samples=50)", "rollout"]
    visit.button("maps ok").click()
    assert visit.names()[0] == "lime(samples=50)"
    assert visit.names()[-1] == "rollout"


def test_names_sort_as_words(open_page, hostile):
    visit = open_page()
    visit.button("explainer").click()
    assert visit.names() == [hostile, "gradcam", "lime(samples=50)", "rollout", "saliency"]


def test_the_keyboard_sorts_too(open_page):
    visit = open_page()
    visit.button("seconds").focus()
    visit.page.keyboard.press("Enter")
    assert visit.names()[0] == "saliency"


def test_without_script_the_tables_are_complete(open_page):
    visit = open_page(java_script_enabled=False)
    assert visit.page.locator("#board-1 tbody tr").count() == 9
    assert visit.page.locator("thead button").count() == 0
    assert visit.page.locator("#board-1 thead th").first.inner_text() == "explainer"


def test_the_head_stays_in_sight_while_a_long_table_scrolls(open_page):
    visit = open_page(viewport={"width": 1000, "height": 300})
    box = visit.page.locator("#board-1 .scroll")
    box.evaluate("box => { box.scrollTop = 150 }")
    assert box.evaluate("box => box.scrollTop") == 150
    for head in visit.page.locator("#board-1 thead th").all():
        assert head.bounding_box()["y"] == pytest.approx(box.bounding_box()["y"], abs=2)


def test_on_a_phone_only_the_tables_scroll_sideways_and_the_names_stay(open_page):
    visit = open_page(viewport={"width": 390, "height": 844})
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390
    box = visit.page.locator("#board-1 .scroll")
    assert box.evaluate("box => box.scrollWidth > box.clientWidth")
    box.evaluate("box => { box.scrollLeft = 200 }")
    name = visit.page.locator("#board-1 .methods th").first.bounding_box()
    assert name["x"] == pytest.approx(box.bounding_box()["x"], abs=2)


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
  const shade = document.querySelector("[class*=shade-]");
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
def test_all_text_is_readable_on_every_shade(open_page, scheme):
    visit = open_page(color_scheme=scheme)
    worst, where = visit.page.evaluate(CONTRASTS)
    assert worst >= 4.5, where
    dark = visit.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 22, 27)"
    assert dark is (scheme == "dark")


@pytest.mark.skipif("XAIBENCH_PICTURES" not in os.environ, reason="XAIBENCH_PICTURES names no folder for pictures")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("light", {}),
        ("dark", {"color_scheme": "dark"}),
        ("phone", {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2}),
    ],
)
def test_pictures_for_a_person_to_look_at(open_page, name, options):
    path = Path(os.environ["XAIBENCH_PICTURES"]) / f"{name}.png"
    open_page(**options).page.screenshot(path=path, full_page=True)
    assert path.stat().st_size > 10_000
