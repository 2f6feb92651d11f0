"""VinDr-Mammo: its two tables, boxes with fractions and beyond the film, films stored dark on bright."""

import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.tasks.make import vindr as make
from xaibench.errors import DataError, UsageError
from xaibench_tasks.records import Box
from xaibench_tasks.sources import open_source
from xaibench_tasks.vindr import Film, Marked, Vindr, inspect, read_boxes, read_films, scaled

SPLITS = ("train", "val", "test")
FILMS, BOXES = make.films_text(), make.boxes_text()


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make.write(tmp_path_factory.mktemp("vindr"))


@pytest.fixture
def copy(small, tmp_path):
    return shutil.copytree(small, tmp_path / "copy")


def told(folder):
    return [f"{finding.level} {finding.where}: {finding.what}" for finding in inspect(open_source(folder)).findings]


def by_id(task):
    return {record.id: record for record in task.records}


def test_the_tables_are_read():
    films, wrong = read_films("f.csv", FILMS)
    boxes, more = read_boxes("b.csv", BOXES)
    one = make.SMALL[0]
    assert not wrong
    assert not more
    assert films[0] == Film("f.csv:2", one.study_id, one.image, "L", "CC", 100, 80, 5, "train")
    assert len(films) == 8
    assert boxes[:2] == [
        Marked("b.csv:2", one.image, ("Mass",), Box(30.5, 20.25, 60.5, 40.75)),
        Marked("b.csv:3", one.image, ("Suspicious Calcification", "Mass"), Box(80, 0, 104.5, 10)),
    ]
    assert len(boxes) == 5


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (b"BI-RADS 5", b"BI-RADS 9", "'BI-RADS 9' is none of"),
        (b"training", b"holdout", "split 'holdout' is neither"),
        (b",100,80,", b",100,x,", "are no size"),
        (b",100,80,", b",0,80,", "are no size"),
        (make.SMALL[0].image.encode(), b"../../etc", "one of them is no id"),
        (make.SMALL[0].image.encode() + b",L", make.SMALL[1].image.encode() + b",L", "is already in f.csv:2"),
    ],
)
def test_a_wrong_film_is_named_by_its_line(old, new, complaint):
    films, findings = read_films("f.csv", FILMS.replace(old, new, 1))
    assert len(films) == 7
    assert len(findings) == 1
    assert findings[0].where in ("f.csv:2", "f.csv:3")
    assert complaint in findings[0].what


@pytest.mark.parametrize(
    "box", ["1,2,x,4", "5,2,1,4", "1,5,3,2", "1,2,3,nan", ",2,3,4", "1,2,inf,4", "-9,-9,-1,-1", "1,2,3,1e9"]
)
def test_a_wrong_box_is_named_by_its_line(box):
    boxes, findings = read_boxes("b.csv", BOXES.replace(b"20.25,30.5,40.75,60.5", box.encode(), 1))
    assert len(boxes) == 4
    assert [finding.where for finding in findings] == ["b.csv:2"]


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_damage_to_the_tables_raises(data):
    for table, read in ((FILMS, read_films), (BOXES, read_boxes)):
        start = data.draw(st.integers(0, len(table)))
        end = data.draw(st.integers(start, min(start + 200, len(table))))
        _, findings = read("t.csv", table[:start] + data.draw(st.binary(max_size=30)) + table[end:])
        assert all(finding.where.startswith("t.csv") for finding in findings)


def test_masks_are_the_boxes_cut_at_the_film(small):
    task = Vindr(path=str(small), size=64)
    mass, low = task.film(by_id(task)[make.SMALL[0].image]).masks
    assert mass[31:60, 21:40].all()
    assert mass.sum() == mass[30:61, 20:42].sum()
    assert low[80:, :10].all()
    assert low.sum() == low[80:, :10].sum()


def test_boxes_follow_a_film_that_was_made_smaller(copy, small):
    film = make.SMALL[4]
    (copy / film.file).unlink()
    half = Image.fromarray((make.draw_film(film) >> 4).astype(np.uint8)).resize((make.WIDTH // 2, make.HEIGHT // 2))
    half.save((copy / film.file).with_suffix(".png"))
    task = Vindr(path=str(copy), size=64)
    mask = task.film(by_id(task)[film.image]).masks[0]
    assert mask.shape == (50, 40)
    assert mask[15:30, 10:20].all()
    assert mask.sum() == 15 * 10
    assert any("1 films have another size than the table says" in line for line in told(copy))


def test_a_box_never_vanishes_by_scaling():
    assert scaled(Box(100, 100, 104, 104), 0.01, 0.01) == Box(1, 1, 2, 2)


def test_films_are_bright_whichever_way_they_are_stored(small):
    task = Vindr(path=str(small), size=64)
    for film in make.SMALL:
        assert np.allclose(task.film(by_id(task)[film.image]).image, make.draw_film(film) / 4095, atol=1e-6)


def test_findings_can_be_chosen_by_name(small):
    def count(findings):
        return sum(len(record.lesions) for record in Vindr(path=str(small), size=64, findings=findings).records)

    assert count("") == 5
    assert count("Mass") == 4
    assert count("Suspicious Calcification, Skin Thickening") == 2
    with pytest.raises(UsageError, match="findings='Lump': give 'Mass'"):
        count("Lump")


def test_classes_follow_birads(small):
    binary, levels = (Vindr(path=str(small), size=64, label=label) for label in ("binary", "levels"))
    for film in make.SMALL:
        wanted = {1: (0, 0), 2: (0, 1), 3: (0, 1), 4: (1, 2), 5: (1, 2)}[film.birads]
        assert (by_id(binary)[film.image].label, by_id(levels)[film.image].label) == wanted


def test_the_published_split_is_kept_and_no_study_is_torn(small):
    task = Vindr(path=str(small), size=64)
    assert {entry.id for entry in task.entries("test", 0)} == {f.image for f in make.SMALL if f.split == "test"}
    own = Vindr(path=str(small), size=64, official=False, folds=3)
    for fold in range(3):
        sides = [{entry.patient for entry in own.entries(split, fold)} for split in SPLITS]
        assert sum(map(len, sides)) == len(set.union(*sides)) == 7


def test_samples_load_at_the_size_asked_for(small):
    task = Vindr(path=str(small), size=48)
    for entry in task.entries("train", 0):
        sample = task.load(entry)
        assert sample.image.shape == (1, 48, 48)
        assert all(mask.any() for mask in sample.lesions)


def test_nothing_is_wrong_with_the_small_set_and_its_quirk_is_told(small):
    report = inspect(open_source(small))
    assert not report.level("error")
    assert not report.level("warning")
    assert report.found["boxes"] == 5
    assert any("reaches over its film" in finding.what for finding in report.findings)


def test_missing_damaged_and_stray_entries_are_named(copy):
    gone, cut = make.SMALL[2], make.SMALL[3]
    (copy / gone.file).unlink()
    (copy / cut.file).write_bytes((copy / cut.file).read_bytes()[:1500])
    table = copy / "finding_annotations.csv"
    table.write_bytes(table.read_bytes().replace(make.SMALL[4].image.encode(), b"f" * 32))
    lines = told(copy)
    assert f"error breast-level_annotations.csv:4: film {gone.image} is not there" in lines
    assert any(line.startswith("error breast-level_annotations.csv:5") and "damaged" in line for line in lines)
    assert any("is no film of breast-level_annotations.csv" in line for line in lines)
    with pytest.raises(DataError, match="is no film of"):
        Vindr(path=str(copy))


def test_empty_wrong_and_half_folders_are_told(tmp_path):
    assert any("no breast-level_annotations.csv and no finding_annotations.csv" in line for line in told(tmp_path))
    (tmp_path / "breast-level_annotations.csv").write_bytes(FILMS)
    (tmp_path / "finding_annotations.csv").write_bytes(b"x\n")
    assert any("is no such table of VinDr-Mammo" in line for line in told(tmp_path))
    (tmp_path / "finding_annotations.csv").write_bytes(BOXES)
    assert any("has the tables, but none of the films" in line for line in told(tmp_path))
