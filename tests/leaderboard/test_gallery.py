"""Pictures: which images, what is drawn on them, whose licence lets them be shown, and the page that shows them."""

import io
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from xaibench.results import load_results
from xaibench_leaderboard.board import boards_of
from xaibench_leaderboard.command import leaderboard
from xaibench_leaderboard.html import Html
from xaibench_leaderboard.page import thumbnails
from xaibench_leaderboard.page.gallery import FOLDER, gallery_of, image_means

TASK = "phantom(size=64, test=8, train=4, val=4)"


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A real run of a model that needs no training, on eight small images."""
    out = tmp_path_factory.mktemp("run") / "results"
    command = [sys.executable, "-m", "xaibench", "run", "--models", "oracle-lesion", "--tasks", TASK]
    command += ["--explainers", "saliency,smoothgrad(samples=2),centre,edges,constant", "--metrics", "energy,stability"]
    command += ["--no-references", "--no-audit", "--out", str(out), "--progress", "none"]
    subprocess.run(command, check=True, capture_output=True, timeout=240)
    (out / "leaderboard.html").unlink()
    for picture in (out / FOLDER).iterdir():
        picture.unlink()
    return out


@pytest.fixture
def shown(run_folder, tmp_path):
    results = load_results(run_folder)
    return gallery_of(results, boards_of(results), tmp_path, asked=False)["1"]


def test_cases_show_the_image_the_methods_and_the_lesson_rows_side_by_side(shown, tmp_path):
    for case in shown["cases"]:
        names = [tile["name"] for tile in case["tiles"]]
        assert names[0] == "the image"
        assert set(names[1:]) == {"saliency", "smoothgrad(samples=2)", "centre (floor)", "edges (floor)"}
        picture = Image.open(io.BytesIO((tmp_path / case["sprite"]).read_bytes()))
        assert picture.size == (thumbnails.TILE * len(names), thumbnails.TILE)


def test_values_under_the_pictures_are_those_of_the_cells(shown, run_folder):
    results = load_results(run_folder)
    (cell,) = [
        one for one in results.scores if one.labels["explainer"] == "centre" and one.labels["metric"] == shown["metric"]
    ]
    known = dict(zip(cell.ids, cell.values, strict=True))
    found = {case["id"]: tile["value"] for case in shown["cases"] for tile in case["tiles"] if "centre" in tile["name"]}
    assert found == {image: pytest.approx(known[image], rel=1e-3) if image in known else None for image in found}
    assert set(known) & set(found)


def test_best_worst_and_wrong_answers_are_among_the_cases(shown, run_folder):
    (prediction,) = load_results(run_folder).predictions
    wrong = {
        image
        for image, truth, logits in zip(prediction.ids, prediction.truth, prediction.logits, strict=True)
        if int(np.argmax(logits)) != truth
    }
    assert {case["id"] for case in shown["cases"] if case["wrong"]} <= wrong
    assert bool(wrong) == any(case["wrong"] for case in shown["cases"])
    assert {"best", "worst"} <= {why for case in shown["cases"] for why in case["why"]}


def test_explainers_with_several_seeds_get_a_strip_and_others_none(shown):
    assert [strip["explainer"] for strip in shown["strips"]] == ["smoothgrad(samples=2)"]
    (strip,) = shown["strips"]
    assert strip["tiles"][0]["name"] == "the run's own"
    assert len(strip["tiles"]) >= 2


def test_the_same_pictures_are_written_once(run_folder, tmp_path):
    results = load_results(run_folder)
    first = gallery_of(results, boards_of(results), tmp_path, asked=False)
    before = sorted(path.name for path in (tmp_path / FOLDER).iterdir())
    assert gallery_of(results, boards_of(results), tmp_path, asked=True) == first
    assert sorted(path.name for path in (tmp_path / FOLDER).iterdir()) == before


def closed(results):
    cards = [
        {**one.cards, "task": {**one.cards["task"], "licence": "not to be redistributed"}} for one in results.scores
    ]
    return replace(
        results, scores=tuple(replace(one, cards=own) for one, own in zip(results.scores, cards, strict=True))
    )


def test_images_under_a_closed_licence_are_shown_only_if_asked_for(run_folder, tmp_path):
    results = closed(load_results(run_folder))
    found = gallery_of(results, boards_of(results), tmp_path, asked=False)["1"]
    assert "not to be redistributed" in found["note"]
    assert not (tmp_path / FOLDER).exists()
    asked = gallery_of(results, boards_of(results), tmp_path, asked=True)["1"]
    assert asked["cases"]
    assert asked["private"]


def test_data_that_are_not_those_of_the_run_make_no_pictures(run_folder, tmp_path):
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", run_folder, copy], check=True)
    for path in copy.glob("cells/*/*/cell.json"):
        cell = json.loads(path.read_text())
        cell["identity"]["task"]["fingerprint"] = "other films"
        path.write_text(json.dumps(cell))
    results = load_results(copy)
    assert "not at hand" in gallery_of(results, boards_of(results), tmp_path, asked=True)["1"]["note"]


def test_a_damaged_map_costs_the_pictures_and_not_the_page(run_folder, tmp_path):
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", run_folder, copy], check=True)
    for path in copy.glob("cells/*/*/*/maps.npy"):
        path.write_bytes(b"x" * path.stat().st_size)
    results = load_results(copy)
    note = gallery_of(results, boards_of(results), tmp_path, asked=True)["1"]["note"]
    assert note == "No pictures: an image or a map could not be read (Damaged)."
    assert Html().render(results, tmp_path).exists()


def test_looking_at_a_folder_runs_no_code_that_came_with_it(run_folder, tmp_path):
    copy, trap, sprung = tmp_path / "copy", tmp_path / "trap.py", tmp_path / "sprung"
    subprocess.run(["cp", "-r", run_folder, copy], check=True)
    trap.write_text(f"open({str(sprung)!r}, 'w').close()\nclass phantom: pass\n")
    (record,) = copy.glob("runs/*.json")
    run = json.loads(record.read_text())
    run["request"]["tasks"] = f"{trap}:phantom"
    record.write_text(json.dumps(run))
    for path in copy.glob("cells/*/*/cell.json"):
        path.write_text(path.read_text().replace('"name": "phantom"', f'"name": "{trap}:phantom"'))
    results = load_results(copy)
    assert "note" in gallery_of(results, boards_of(results), tmp_path, asked=True)["1"]
    assert not sprung.exists()


def test_a_folder_without_maps_says_so(results, tmp_path):
    assert gallery_of(results, boards_of(results), tmp_path, asked=True)["1"]["note"].startswith("No pictures")


def test_means_over_cells_are_taken_per_image(result):
    cells = [result("a", "energy", (0.2, None, 0.4)), result("b", "energy", (0.4, None, 0.8))]
    assert image_means(cells) == {"film-0": pytest.approx(0.3), "film-2": pytest.approx(0.6)}


def test_a_run_without_masks_or_wrong_answers_shows_its_first_images(run_folder, tmp_path):
    results = load_results(run_folder)
    right = tuple(tuple(float(at == truth) for at in range(3)) for truth in results.predictions[0].truth)
    results = replace(
        results,
        predictions=(replace(results.predictions[0], logits=right),),
        scores=tuple(replace(one, values=(None,) * len(one.values)) for one in results.scores),
    )
    cases = gallery_of(results, boards_of(results), tmp_path, asked=False)["1"]["cases"]
    assert [case["id"] for case in cases] == list(results.predictions[0].ids[:4])
    assert not any(case["wrong"] or case["why"] for case in cases)


def test_predictions_of_fewer_images_than_scores_limit_the_pictures(run_folder, tmp_path):
    results = load_results(run_folder)
    (one,) = results.predictions
    few = replace(one, ids=one.ids[:3], truth=one.truth[:3], logits=one.logits[:3], patients=one.patients[:3])
    cases = gallery_of(results := replace(results, predictions=(few,)), boards_of(results), tmp_path, asked=False)["1"][
        "cases"
    ]
    assert {case["id"] for case in cases} <= set(few.ids)


# ------------------------------------------------------------------------------------------------------------- pixels


def square(size, start, stop):
    mask = np.zeros((size, size), dtype=bool)
    mask[start:stop, start:stop] = True
    return mask


def test_the_outline_is_the_rim_of_the_lesion_and_nothing_else():
    picture = thumbnails.plain(np.full((1, 128, 128), 0.5, dtype=np.float32), square(128, 40, 60))
    line = (picture == thumbnails.OUTLINE).all(axis=2)
    assert line.sum() == 4 * 19  # the rim of a square of 20
    assert line[40, 45]
    assert not line[50, 50]
    assert (picture[~line] == 128).all()


def test_a_lesion_smaller_than_a_pixel_of_the_picture_is_outlined_too():
    picture = thumbnails.plain(np.zeros((1, 512, 512), dtype=np.float32), square(512, 100, 101))
    assert (picture == thumbnails.OUTLINE).all(axis=2).any()


def test_heat_covers_the_image_where_the_map_is_high_and_spares_it_where_it_is_zero():
    image = np.full((1, 128, 128), 0.5, dtype=np.float32)
    heat = np.zeros((128, 128), dtype=np.float32)
    heat[:64] = 1.0
    picture = thumbnails.overlaid(image, heat, np.zeros((128, 128), dtype=bool))
    assert (picture[64:] == 128).all()
    assert (picture[:64] == (255, 250, 170)).all()


def test_colour_images_keep_their_colours():
    image = np.zeros((3, 16, 16), dtype=np.float32)
    image[0] = 1.0
    assert (thumbnails.plain(image, np.zeros((16, 16), dtype=bool)) == (255, 0, 0)).all()


def test_a_sprite_is_a_webp_of_all_tiles():
    tile = np.zeros((thumbnails.TILE, thumbnails.TILE, 3), dtype=np.uint8)
    found = Image.open(io.BytesIO(thumbnails.sprite([tile, tile, tile])))
    assert (found.format, found.size) == ("WEBP", (3 * thumbnails.TILE, thumbnails.TILE))


# ------------------------------------------------------------------------------------------------------ in the browser


@pytest.fixture
def page(visit, run_folder, tmp_path):
    folder = tmp_path / "page"
    return lambda address, **options: visit(Html().render(load_results(run_folder), folder), address, **options).ready()


def test_the_gallery_shows_pictures_that_load_and_frames_wrong_answers(page, shown):
    view = page("#view=gallery")
    view.page.locator("[data-case] img").first.scroll_into_view_if_needed()
    view.until("document.querySelector('[data-case] img').naturalWidth > 0")
    assert view.page.locator("[data-case]").count() == len(shown["cases"])
    wrong = [case["id"] for case in shown["cases"] if case["wrong"]]
    assert view.all(".case.wrong", "dataset.case") == wrong
    alt = view.page.locator("[data-case] img").nth(1).get_attribute("alt")
    assert alt.startswith(shown["cases"][0]["tiles"][1]["name"])


def test_wrong_answers_and_the_worst_can_be_chosen(page, shown):
    view = page("#view=gallery")
    for kind in ("wrong", "worst", "best"):
        view.page.locator("#kinds").select_option(kind)
        wanted = [one["id"] for one in shown["cases"] if (one["wrong"] if kind == "wrong" else kind in one["why"])]
        assert view.all("[data-case]", "dataset.case") == wanted


def test_the_pictures_fit_a_phone(page):
    view = page("#view=gallery", viewport={"width": 390, "height": 844})
    assert view.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_page_without_pictures_says_how_to_make_them(visit, results, tmp_path):
    view = visit(Html().render(results, tmp_path), "#view=gallery").ready()
    assert "No pictures" in view.page.locator("#gallery .flag").text_content()


def test_the_command_makes_closed_pictures_only_with_the_option(run_folder, tmp_path):
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", run_folder, copy], check=True)
    for path in copy.glob("cells/*/*/cell.json"):
        path.write_text(path.read_text().replace('"licence": "Apache-2.0"', '"licence": "none stated"'))
    note = gallery_of(load_results(copy), boards_of(load_results(copy)), tmp_path, asked=False)["1"]["note"]
    assert "`xaibench leaderboard --results FOLDER --gallery` makes them" in note
    for options, made in (([], False), (["--gallery"], True)):
        answer = CliRunner().invoke(leaderboard, ["--results", str(copy), *options], catch_exceptions=False)
        assert answer.exit_code == 0
        assert any((copy / FOLDER).iterdir()) is made
