"""Mini-DDSM: the spreadsheet, filled outlines, classes by contour, and what `inspect` says."""

import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from skimage.segmentation import flood

from tests.tasks.make import mini_ddsm as make
from xaibench.errors import DataError, UsageError, XaibenchError
from xaibench_tasks.mini_ddsm import MiniDdsm, find_files, inspect, read_films
from xaibench_tasks.mini_ddsm_tables import Film, read_rows, read_table
from xaibench_tasks.records import FilledOutline, mask_of
from xaibench_tasks.sources import open_source

REAL = Path(os.environ.get("XAIBENCH_DATA", "/nowhere")) / "mini-ddsm"
needs_real_data = pytest.mark.skipif(not REAL.is_dir(), reason="XAIBENCH_DATA names no folder with mini-ddsm/")
SPLITS = ("train", "val", "test")
ROW = [
    "Benign\\0029\\C_0029_1.LEFT_CC.jpg",
    "C_0029_1.LEFT_CC.jpg",
    "CC",
    "LEFT",
    "Benign",
    "Benign\\0029\\C_0029_1.LEFT_CC_Mask.jpg",
    "-",
    "66.0",
    "3.0",
]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make.write(tmp_path_factory.mktemp("mini"))


@pytest.fixture
def copy(small, tmp_path):
    return shutil.copytree(small, tmp_path / "copy")


def told(folder):
    return [f"{finding.level} {finding.where}: {finding.what}" for finding in inspect(open_source(folder)).findings]


# --------------------------------------------------------------------------------------------------------------- table


def test_a_row_with_backslashes_and_a_dash_is_read():
    films, findings = read_rows("t.xlsx", [make.HEADER, ROW])
    assert not findings
    assert films == [
        Film(
            where="t.xlsx:2",
            image="Benign/0029/C_0029_1.LEFT_CC.jpg",
            contours=("Benign/0029/C_0029_1.LEFT_CC_Mask.jpg",),
            status="Benign",
            site="C",
            case="C_0029",
            side="LEFT",
            view="CC",
            age=66.0,
            density="3",
        )
    ]


@pytest.mark.parametrize("age", ["NaN", "", "unknown", "inf"])
def test_an_age_that_is_no_number_is_unknown(age):
    films, findings = read_rows("t.xlsx", [make.HEADER, [*ROW[:7], age, "3.0"]])
    assert not findings
    assert films[0].age is None


@pytest.mark.parametrize(
    ("column", "cell", "complaint"),
    [
        (0, "Benign\\0029\\scan.jpg", "is no film such as"),
        (0, "..\\..\\C_0029_1.LEFT_CC.jpg", "leads out of the dataset"),
        (2, "MLO", "are not those of"),
        (4, "Sick", "is none of Normal, Benign, Cancer"),
        (5, "..\\..\\secret.jpg", "leads out of the dataset"),
    ],
)
def test_a_wrong_row_is_named_and_left_out(column, cell, complaint):
    row = [*ROW]
    row[column] = cell
    films, findings = read_rows("t.xlsx", [make.HEADER, row])
    assert not films
    assert [finding.where for finding in findings] == ["t.xlsx:2"]
    assert complaint in findings[0].what


def test_a_film_that_is_there_twice_is_an_error():
    films, findings = read_rows("t.xlsx", [make.HEADER, ROW, ROW])
    assert len(films) == 1
    assert "is already in t.xlsx:2" in findings[0].what


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(st.sampled_from([*ROW, "", "-", "NaN"]) | st.text(max_size=20), max_size=12), max_size=8))
def test_no_text_in_the_cells_raises(rows):
    for film in read_rows("t.xlsx", [make.HEADER, *rows])[0]:
        assert film.status in ("Normal", "Benign", "Cancer")
    read_rows("t.xlsx", rows)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_no_damage_to_the_spreadsheet_raises(small, data):
    table = (small / "DataWMask.xlsx").read_bytes()
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(table)))
        end = data.draw(st.integers(start, min(start + 200, len(table))))
        table = table[:start] + data.draw(st.binary(max_size=20)) + table[end:]
    _, findings = read_table("t.xlsx", table)
    assert all(finding.where.startswith("t.xlsx") for finding in findings)


@needs_real_data
def test_the_real_spreadsheet_has_the_published_rows():
    films, findings = read_table("DataWMask.xlsx", (REAL / "DataWMask.xlsx").read_bytes())
    assert not findings
    assert len(films) == 7808
    assert len({film.case for film in films}) == 1952
    assert Counter(film.status for film in films) == {"Normal": 2408, "Benign": 2684, "Cancer": 2716}
    assert sum(film.age is None for film in films) == 12
    assert Counter((film.status, bool(film.contours)) for film in films) == {
        ("Normal", False): 2408,
        ("Benign", False): 1282,
        ("Benign", True): 1402,
        ("Cancer", False): 1288,
        ("Cancer", True): 1428,
    }


# ------------------------------------------------------------------------------------------------------------ outlines


@pytest.mark.parametrize("ending", ["jpg", "png"])
@pytest.mark.parametrize("more", [False, True])
def test_masks_are_the_filled_outlines(tmp_path, ending, more):
    task = MiniDdsm(path=str(make.write(tmp_path, ending=ending, more=more)), size=64)
    films = {film.name: film for film in make.SMALL}
    assert sum(len(record.lesions) for record in task.records) == 8
    for record in task.records:
        masks = task.film(record).masks
        wanted = [make.area(box) for box in films[record.id].outlines]
        assert len(masks) == len(wanted)
        for mask, area in zip(masks, wanted, strict=True):
            # JPEG may move the outline's brightness below the threshold here and there, never open it for good.
            assert (mask & area).sum() / (mask | area).sum() > 0.97
            assert mask.sum() > 3 * (np.asarray(make.draw_outline(make.ONE)) > 127).sum()


@needs_real_data
def test_real_outlines_are_filled_as_a_flood_from_the_border_fills_them(capsys):
    source = open_source(REAL)
    find = find_files(source)
    masks = [found for film in read_films(source) for path in film.contours if (found := find(path))]
    sizes = []
    for name in masks:
        area = mask_of(FilledOutline(name), source)
        line = np.pad(np.asarray(Image.open(REAL / name).convert("L")) > 127, 1)
        outside = flood(line.astype(np.uint8), (0, 0), connectivity=1)
        assert np.array_equal(area, ~outside[1:-1, 1:-1])
        sizes.append(int(area.sum()))
    with capsys.disabled():
        print(f"\nMini-DDSM: {len(sizes)} real contours enclose {sorted(sizes)} pixels")
    assert sizes
    assert all(11_202 <= size <= 150_977 for size in sizes)


# --------------------------------------------------------------------------------------------------------------- class


def classes(folder, **options):
    task = MiniDdsm(path=str(folder), size=64, **options)
    return {record.id: task.classes[record.label] for record in task.records}


def test_the_class_is_that_of_the_film_and_not_of_the_case(small):
    found = classes(small)
    assert found["C_0029_1.LEFT_CC"] == "benign"
    assert found["C_0029_1.RIGHT_CC"] == "normal"
    assert found["B_0001_1.RIGHT_MLO"] == "cancer"
    assert found["B_0001_1.LEFT_CC"] == "normal"
    assert "B_0001_1.RIGHT_CC" not in found
    assert len(found) == 23


def test_the_rule_of_the_set_and_the_strictest_rule_are_options(small):
    assert len(classes(small, label="case")) == 24
    assert classes(small, label="case")["B_0001_1.LEFT_CC"] == "cancer"
    marked = classes(small, label="marked")
    assert Counter(marked.values()) == {"benign": 4, "cancer": 3, "normal": 8}


def test_hospitals_that_give_the_class_away_can_be_left_out(small):
    assert {name[0] for name in classes(small, sites="AD")} == {"A", "D"}


def test_two_women_with_one_number_are_two_patients_and_no_case_is_split(small):
    task = MiniDdsm(path=str(small), size=64, folds=3)
    assert {record.patient for record in task.records} == {"C_0029", "B_0001", "A_0007", "A_0029", "D_0030", "D_0031"}
    for fold in range(3):
        sides = [{entry.patient for entry in task.entries(split, fold)} for split in SPLITS]
        assert sum(map(len, sides)) == len(set.union(*sides)) == 6


def test_options_that_cannot_be_are_refused(small):
    for options in ({"label": "x"}, {"size": 0}, {"sites": "X"}, {"sites": ""}):
        with pytest.raises(UsageError):
            MiniDdsm(path=str(small), **options)


# ------------------------------------------------------------------------------------------------------------- inspect


def test_confounds_and_quirks_are_told(small):
    lines = told(small)
    assert not [line for line in lines if line.startswith("error")]
    for site, status in (("B", "Cancer 4"), ("C", "Benign 4")):
        assert any(f"site confound: films of hospital {site}" in line and status in line for line in lines)
    assert any("5 of 8 films called Cancer have no contour" in line for line in lines)
    assert any("1 films have no contour, but the other view" in line for line in lines)
    assert any("4 films have no age" in line for line in lines)


@needs_real_data
def test_the_real_site_confound_is_named():
    lines = told(REAL)
    assert any("hospital B are Normal 0, Benign 520, Cancer 620" in line for line in lines)
    assert any("hospital C are Normal 0, Benign 720, Cancer 932" in line for line in lines)
    assert any("1288 of 2716 films called Cancer have no contour" in line for line in lines)


def test_an_empty_folder_and_a_wrong_spreadsheet_are_told(tmp_path):
    assert any(line.startswith("error") and "has neither" in line for line in told(tmp_path))
    (tmp_path / "DataWMask.xlsx").write_bytes(b"PK no zip")
    assert any("is no readable .xlsx file" in line for line in told(tmp_path))
    with pytest.raises(DataError, match=r"is no readable \.xlsx file"):
        MiniDdsm(path=str(tmp_path))


def test_missing_cut_and_open_files_are_named(copy):
    top = copy / "MINI-DDSM-Complete-JPEG-8" / "Benign" / "0029"
    (top / "C_0029_1.RIGHT_CC.jpg").unlink()
    (top / "C_0029_1.LEFT_CC.jpg").write_bytes((top / "C_0029_1.LEFT_CC.jpg").read_bytes()[:600])
    broken = make.draw_outline(make.ONE)
    ImageDraw.Draw(broken).rectangle((30, 25, 40, 35), fill=0)
    broken.save(top / "C_0029_1.LEFT_MLO_Mask.jpg")
    lines = told(copy)
    assert any("error DataWMask.xlsx:4: Benign/0029/C_0029_1.RIGHT_CC.jpg is not there" in line for line in lines)
    assert any("error DataWMask.xlsx:2: " in line and "C_0029_1.LEFT_CC.jpg is damaged" in line for line in lines)
    assert any("C_0029_1.LEFT_MLO_Mask.jpg encloses next to nothing" in line for line in lines)


def test_a_table_without_any_film_is_one_error(tmp_path):
    make.write_table(tmp_path, make.SMALL)
    assert [line for line in told(tmp_path) if line.startswith("error")] == [
        f"error {tmp_path}: has the table, but none of the films that it names"
    ]


def test_missing_films_stop_the_task_unless_they_may_be_skipped(copy):
    (copy / "MINI-DDSM-Complete-JPEG-8" / "Normal" / "0030" / "D_0030_1.LEFT_CC.jpg").unlink()
    with pytest.raises(XaibenchError, match=r"D_0030_1\.LEFT_CC"):
        MiniDdsm(path=str(copy), size=64)
    task = MiniDdsm(path=str(copy), size=64, on_error="skip")
    assert list(task.skipped) == ["D_0030_1.LEFT_CC"]
