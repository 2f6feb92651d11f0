"""MIAS: the list in all the forms it goes round in, y from the bottom, labels, patients, and what `inspect` says."""

import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tasks.make import mias as make
from xaibench.errors import DataError, UsageError
from xaibench_tasks.mias import Mias, inspect
from xaibench_tasks.mias_list import SIDE, parse
from xaibench_tasks.records import Circle
from xaibench_tasks.sources import open_source

REAL = Path(os.environ.get("XAIBENCH_DATA", "/nowhere")) / "mias"
needs_real_films = pytest.mark.skipif(not REAL.is_dir(), reason="XAIBENCH_DATA names no folder with mias/")
SPLITS = ("train", "val", "test")
FORMS = ("official", "bare", "kaggle", "crlf")


@pytest.fixture(autouse=True)
def own_cache(request, tmp_path, monkeypatch):
    if "real" not in request.fixturenames:
        monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make.write(tmp_path_factory.mktemp("mias"))


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The real films; what is found out about the files is kept for the module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XAIBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def sample(task, name):
    found = [entry for split in SPLITS for entry in task.entries(split, 0) if entry.id == name]
    return task.load(found[0])


# ------------------------------------------------------------------------------------------------------------ the list


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_list_has_the_same_rows(form):
    rows = [(row.film, row.background, row.kind, row.severity, row.circle) for row in parse("x", make.list_text()).rows]
    found = parse("x", make.list_text(form))
    assert [(row.film, row.background, row.kind, row.severity, row.circle) for row in found.rows] == rows
    assert {finding.level for finding in found.findings} == {"note"}
    assert len(rows) == len(make.ROWS) + len(make.NORMAL)


def test_y_is_measured_from_the_bottom():
    (row,) = parse("Info.txt", "mdb001 G CIRC B 535 425 197\n").rows
    assert row.circle == Circle(row=598, column=535, radius=197)  # 1023 - 425


def test_a_row_knows_its_file_and_line():
    assert parse("Info.txt", "x\n\nmdb003 D NORM \n").rows[0].where == "Info.txt:3"


def test_rows_without_coordinates_are_told_by_line():
    text = "mdb059 F CIRC B\nmdb216 D CALC M *NOTE 3* \nmdb001 G CIRC B 535 425 197\n"
    found = parse("Info.txt", text)
    assert [(finding.level, finding.where) for finding in found.findings] == [
        ("note", "Info.txt:1"),
        ("note", "Info.txt:2"),
    ]
    assert [row.circle is None for row in found.rows] == [True, True, False]


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("mdb001 G CIRC X 1 2 3", "error"),
        ("mdb001 Q CIRC B 1 2 3", "error"),
        ("mdb001 G BALL B 1 2 3", "error"),
        ("mdb001", "error"),
        ("mdb001 G CIRC B 1 2", "warning"),
        ("mdb001 G CIRC B a b c", "warning"),
        ("mdb001 G CIRC B 1024 2 3", "warning"),
        ("mdb001 G CIRC B 1 2 0", "warning"),
        ("mdb001 G CIRC B ² 2 1", "warning"),
    ],
)
def test_a_row_that_cannot_be_is_told(line, level):
    (finding,) = parse("Info.txt", line).findings
    assert (finding.level, finding.where) == (level, "Info.txt:1")


@given(
    st.text()
    | st.lists(st.sampled_from([*" \t\n\r\x0b\x1c", "mdb001", "G", "CIRC", "B", "12", "*NOTE 3*"])).map("".join)
)
def test_no_list_whatsoever_gives_a_traceback(text):
    found = parse("Info.txt", text)
    assert all(0 <= row.label <= 2 for row in found.rows)
    assert all(row.circle is None or 0 <= row.circle.row < SIDE for row in found.rows)


def test_patients_are_pairs_of_films():
    rows = parse("x", "mdb001 G NORM\nmdb002 G NORM\nmdb003 G NORM\nmdb322 G NORM\n").rows
    assert [row.patient for row in rows] == ["mias-001", "mias-001", "mias-002", "mias-161"]


def test_the_first_row_or_the_worst_gives_the_class():
    films = parse("x", "mdb144 F MISC B 1 2 3\nmdb144 F MISC M 1 2 3\nmdb145 F NORM\n")
    assert films.labels("first") == {"mdb144": 1, "mdb145": 0}
    assert films.labels("worst") == {"mdb144": 2, "mdb145": 0}


# ------------------------------------------------------------------------------------------------------------ the task


def test_masks_lie_where_the_lesions_were_drawn(small):
    task = Mias(path=str(small), size=1024)
    found = sample(task, "mdb001")
    (mask,) = found.lesions
    assert mask[1023 - 600, 400]
    assert not mask[600, 400]
    assert found.image[0][mask].min() == pytest.approx(250 / 255, abs=1e-4)
    assert found.image[0][~mask].min() == pytest.approx(6 / 255, abs=1e-4)


def test_two_rows_make_two_masks(small):
    assert len(sample(Mias(path=str(small)), "mdb005").lesions) == 2


def test_circles_outside_the_breast_are_left_out_unless_they_are_asked_for(small):
    assert sample(Mias(path=str(small)), "mdb212").lesions == ()
    assert len(sample(Mias(path=str(small), misplaced="keep"), "mdb212").lesions) == 1


def test_a_tiny_lesion_keeps_a_pixel_and_is_counted(small):
    task = Mias(path=str(small), size=32, misplaced="keep")
    assert [int(mask.sum()) for mask in sample(task, "mdb212").lesions] == [1]  # radius 3 of 1024
    assert task.rescued() == 1


def test_labels_follow_the_rule(small):
    first, worst, binary = (Mias(path=str(small), **options) for options in ({}, {"label": "worst"}, {"binary": True}))
    assert sample(first, "mdb144").entry.label == 1
    assert sample(worst, "mdb144").entry.label == 2
    assert [sample(binary, name).entry.label for name in ("mdb003", "mdb144", "mdb111")] == [0, 0, 1]
    assert binary.classes == ("not malignant", "malignant")


@pytest.mark.parametrize("folds", [1, 5])
def test_no_woman_is_on_two_sides(small, folds):
    task = Mias(path=str(small), folds=folds)
    for fold in range(folds):
        sides = [{entry.patient for entry in task.entries(split, fold)} for split in SPLITS]
        assert sum(map(len, sides)) == len(set.union(*sides)) == 13
        assert all(sides)


def test_folder_and_archive_are_the_same_task(small, tmp_path):
    archive = make.pack(small, tmp_path / "all-mias.tar.gz")
    one, other = Mias(path=str(small)), Mias(path=str(archive))
    assert one.fingerprint() == other.fingerprint()
    assert [one.entries(split, 0) for split in SPLITS] == [other.entries(split, 0) for split in SPLITS]
    assert np.array_equal(sample(one, "mdb005").image, sample(other, "mdb005").image)


def test_a_folder_that_holds_only_the_archive_will_do(small, tmp_path):
    (tmp_path / "mias").mkdir()
    make.pack(small, tmp_path / "mias" / "all-mias.tar.gz")
    (tmp_path / "mias" / "SOURCE.txt").write_text("from the web")
    assert len(Mias(path=str(tmp_path / "mias")).records) == make.FILMS


def test_the_fingerprint_knows_one_pixel(small, tmp_path):
    shutil.copytree(small, tmp_path / "copy")
    file = tmp_path / "copy" / "all-mias" / "mdb003.pgm"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    before = Mias(path=str(tmp_path / "copy")).fingerprint()
    file.write_bytes(content)
    assert Mias(path=str(tmp_path / "copy")).fingerprint() != before == Mias(path=str(small)).fingerprint()


@pytest.mark.parametrize(
    "options", [{"label": "last"}, {"misplaced": "x"}, {"size": 8}, {"steps": "magic"}, {"on_error": "hide"}]
)
def test_options_that_cannot_be_are_refused(small, options):
    with pytest.raises(UsageError, match=next(iter(options))):
        Mias(path=str(small), **options)


def test_without_data_it_says_what_to_fetch_and_under_which_licence(monkeypatch, tmp_path):
    monkeypatch.delenv("XAIBENCH_DATA", raising=False)
    with pytest.raises(DataError, match=r"(?s)all-mias\.tar\.gz.*research only.*mias\(path=\.\.\.\)"):
        Mias()
    monkeypatch.setenv("XAIBENCH_DATA", str(tmp_path))
    with pytest.raises(DataError, match="finds no data at"):
        Mias()


def test_a_damaged_film_is_named_or_left_out_and_counted(small, tmp_path):
    shutil.copytree(small, tmp_path / "half")
    file = tmp_path / "half" / "all-mias" / "mdb003.pgm"
    file.write_bytes(file.read_bytes()[:5000])
    strict = Mias(path=str(tmp_path / "half"))
    with pytest.raises(DataError, match=r"mdb003\.pgm"):
        sample(strict, "mdb003")
    lenient = Mias(path=str(tmp_path / "half"), on_error="skip")
    assert list(lenient.skipped) == ["mdb003"]
    assert "mdb003" in lenient.card.skipped
    assert len(lenient.records) == make.FILMS - 1


# --------------------------------------------------------------------------------------------------------- what it says


def test_inspect_counts_and_notes_what_is_odd(small):
    report = inspect(open_source(small))
    assert report.level("error") == report.level("warning") == []
    assert report.found["films"] == make.FILMS == 24
    assert report.found["circles"] == 14
    assert report.found["rows without coordinates"] == 2
    assert (report.found["benign (first row)"], report.found["benign (worst row)"]) == (10, 9)
    told = {finding.where.rpartition("/")[2]: finding.what for finding in report.findings}
    assert sum("outside the breast" in what for what in told.values()) == 2
    assert report.deviations()["films"] == (24, 322)


def test_a_list_that_makes_two_films_normal_is_warned_of(tmp_path):
    report = inspect(open_source(make.write(tmp_path / "x", "edited")))
    assert [finding.what[:14] for finding in report.level("warning")] == ["mdb212 is NORM", "mdb214 is NORM"]


def test_missing_and_surplus_films_are_named(small, tmp_path):
    shutil.copytree(small, tmp_path / "odd")
    inner = tmp_path / "odd" / "all-mias"
    (inner / "mdb005.pgm").rename(inner / "mdb300.pgm")
    report = inspect(open_source(tmp_path / "odd"))
    assert "mdb005.pgm is missing" in report.level("error")[0].what
    assert report.level("error")[0].where.startswith("all-mias/Info.txt:")
    assert [finding.where for finding in report.level("warning")] == ["all-mias/mdb300.pgm"]


def test_a_film_of_another_size_is_an_error(small, tmp_path):
    shutil.copytree(small, tmp_path / "odd")
    (tmp_path / "odd" / "all-mias" / "mdb003.pgm").write_bytes(b"P5\n4 3\n255\n" + bytes(12))
    (finding,) = inspect(open_source(tmp_path / "odd")).level("error")
    assert "4 x 3 pixels" in finding.what


# ------------------------------------------------------------------------------------------------------ the real films


@needs_real_films
def test_the_real_films_have_every_published_count(real):
    report = inspect(open_source(REAL))
    assert report.deviations() == {}
    assert report.level("error") == report.level("warning") == []
    lines = [int(finding.where.rpartition(":")[2]) for finding in report.findings if "no coordinates" in finding.what]
    assert len(lines) == 4


@needs_real_films
def test_the_real_films_by_either_rule(real):
    def counts(rule):
        task = Mias(label=rule)
        return Counter(entry.label for split in SPLITS for entry in task.entries(split, 0))

    assert counts("first") == {0: 207, 1: 64, 2: 51}
    assert counts("worst") == {0: 207, 1: 63, 2: 52}


@needs_real_films
def test_the_real_circles_lie_on_bright_tissue(real):
    task = Mias(misplaced="keep")
    films = [task.film(record) for record in task.records if record.lesions]
    greys = [float(film.image[mask].mean()) * 255 for film in films for mask in film.masks]
    assert len(greys) == 119
    assert np.mean(greys) == pytest.approx(167.8, abs=0.05)
    upside_down = [float(film.image[mask[::-1]].mean()) * 255 for film in films for mask in film.masks]
    assert np.mean(upside_down) == pytest.approx(147.6, abs=0.3)


@needs_real_films
def test_no_two_real_films_look_alike(real):
    told = Mias().card.leaks
    assert len(told) == 1
    assert "0 group(s) of identical images, 0 pair(s) of near-duplicates" in told[0]
