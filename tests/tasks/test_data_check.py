"""`xaibench data check`: what it says of good and of bad places, and how it ends."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tests.tasks.make import folder as make_folder
from tests.tasks.make import mias as make_mias
from xaibench.errors import XaibenchError
from xaibench_tasks.checking import Finding, Report
from xaibench_tasks.command import data
from xaibench_tasks.examination import SHOWN, as_text


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("XAIBENCH_DATA", raising=False)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return make_mias.write(tmp_path_factory.mktemp("mias"))


@pytest.fixture
def mine(tmp_path):
    return make_folder.write(tmp_path / "mine", 40)


def check(*words):
    """Exit code and text of the verb; an exception that is no exit is a failure."""
    done = CliRunner().invoke(data, ["check", *map(str, words)])
    if isinstance(done.exception, XaibenchError):
        return done.exception.exit_code, str(done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.exit_code, done.output


def test_good_films_are_counted_split_and_searched_for_leaks(films):
    code, text = check("mias(folds=2)", films)
    assert code == 0
    assert "films                            24        322  differs" in text
    assert "note     fold 1: train" in text
    assert "leak check of 24 images of 13 patients in 2 fold(s)" in text
    assert text.splitlines()[-1].startswith("mias can be used: 0 errors")


def test_the_same_as_json(films):
    code, text = check("mias", films, "--json")
    found = json.loads(text)
    assert (code, found["ok"], found["found"]["films"]) == (0, True, 24)
    assert found["deviations"]["films"] == [24, 322]
    assert {finding["level"] for finding in found["findings"]} <= {"note", "warning"}


def test_an_archive_is_checked_too(films, tmp_path):
    code, text = check("mias-roi", make_mias.pack(films, tmp_path / "all-mias.tar.gz"))
    assert code == 0
    assert "crops" in text


def test_the_default_place_is_the_home_of_data(films, tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "mias").symlink_to(films)
    monkeypatch.setenv("XAIBENCH_DATA", str(tmp_path / "home"))
    assert check("mias")[0] == check("mias-roi")[0] == 0


def test_without_any_place_it_says_what_to_do():
    code, text = check("mias")
    assert code == 2
    assert "XAIBENCH_DATA" in text


@pytest.mark.parametrize("task", ["mias", "mias-roi", "folder"])
def test_a_wrong_and_an_empty_folder_are_errors(task, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "holiday.jpg").write_bytes(b"")
    for place in ("empty", "wrong", "nowhere"):
        code, text = check(task, tmp_path / place)
        assert code == 2
        assert text.startswith("error    ") or "\nerror    " in text
        assert "cannot be used" in text


def test_a_half_download_names_every_film_that_is_missing(films, tmp_path):
    shutil.copytree(films, tmp_path / "half")
    for number in (3, 111, 144):
        (tmp_path / "half" / "all-mias" / f"mdb{number:03d}.pgm").unlink()
    code, text = check("mias", tmp_path / "half")
    assert code == 2
    assert [line for line in text.splitlines() if "is missing" in line] == [
        f"error    all-mias/Info.txt:{line}: mdb{number:03d}.pgm is missing: fetch it again"
        for number, line in ((3, 13), (111, 27), (144, 30))
    ]


def test_an_archive_cut_off_in_transfer_is_told(films, tmp_path):
    archive = make_mias.pack(films, tmp_path / "all-mias.tar.gz")
    archive.write_bytes(archive.read_bytes()[:100_000])
    code, text = check("mias", archive)
    assert code == 2
    assert "all-mias.tar.gz: is damaged or only half there" in text
    assert "fetch it again" in text


def test_a_film_cut_off_is_named(films, tmp_path):
    shutil.copytree(films, tmp_path / "cut")
    film = tmp_path / "cut" / "all-mias" / "mdb005.pgm"
    film.write_bytes(film.read_bytes()[:-1000])
    code, text = check("mias", tmp_path / "cut")
    assert code == 2
    assert "error    all-mias/mdb005.pgm: is damaged, cut off or no image" in text


@pytest.mark.parametrize("kind", make_folder.FORMATS)
def test_an_image_of_any_format_cut_off_is_named(mine, kind):
    file = sorted((mine / "images").glob(f"*.{kind}"))[0]
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    code, text = check("folder", mine)
    assert code == 2
    assert f"error    images/{file.name}: is damaged, cut off or no image" in text
    assert text.count("\nerror ") == 1
    assert "leak check" not in text  # what cannot be used is not tried


def test_leaks_across_splits_are_warned_of(mine):
    for number in (2, 22):
        Image.fromarray(np.tile(make_folder.pixels(0), (1, 1))).save(mine / "images" / f"{number:02d}.pgm")
    code, text = check("folder", mine)
    assert code == 0
    assert "identical pixels: images/" in text


def test_drawn_tasks_have_nothing_to_check(tmp_path):
    code, text = check("phantom", tmp_path)
    assert code == 2
    assert "phantom has no files to check" in text


def test_many_findings_are_shown_in_part_and_counted_in_full():
    findings = tuple(Finding("error", f"f{number}", "is bad") for number in range(SHOWN + 7))
    text = as_text(Report("x", {"a": 1}, {"a": 2}, findings))
    assert "... and 7 more; --json has them all" in text
    assert (
        text.splitlines()[-1]
        == f"x cannot be used as it is: {SHOWN + 7} errors, 0 warnings, 0 notes, 1 of 1 counts differ"
    )


def test_a_folder_tells_the_order_of_its_classes_what_is_tested_and_counts_in_words_that_fit(tmp_path):
    code, text = check("folder", make_folder.write(tmp_path / "alone", 20, patients=False))
    assert code == 0
    assert "note     classes: fine, ill (in the order of the alphabet; classes='ill,fine' is another one)" in text
    assert "note     split: 3 of 20 images are tested: no column split, so 15 % of the patients" in text
    assert text.splitlines()[-1].startswith("folder can be used: 0 errors, 1 warning, ")
