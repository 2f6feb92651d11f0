"""CDD-CESM: the spreadsheet, every shape of the annotator's export, labels and patients."""

import json
import shutil
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tasks.make import cdd_cesm as make
from xaibench.errors import DataError, UsageError
from xaibench_tasks.cdd_cesm import CddCesm, Image, inspect, read_rows
from xaibench_tasks.records import Box, Circle, Polygon, draw
from xaibench_tasks.sources import open_source
from xaibench_tasks.via import outline_of, read_export

SPLITS = ("train", "val", "test")
EXPORT = make.export_text()
ROWS = [["" if cell is None else str(cell).strip() for cell in row] for row in make.table_rows()]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make.write(tmp_path_factory.mktemp("cesm"))


@pytest.fixture
def copy(small, tmp_path):
    return shutil.copytree(small, tmp_path / "copy")


def told(folder):
    return [f"{finding.level} {finding.where}: {finding.what}" for finding in inspect(open_source(folder)).findings]


# -------------------------------------------------------------------------------------------------------------- shapes


def test_every_shape_of_the_annotator_is_an_outline():
    assert outline_of(make.POLYGON) == Polygon(((30, 20), (30, 40), (60, 40), (60, 20)))
    assert outline_of({**make.POLYGON, "name": "polyline"}) == outline_of(make.POLYGON)
    assert outline_of(make.CIRCLE) == Circle(row=40, column=50, radius=10)
    assert outline_of({"name": "rect", "x": 5, "y": 7, "width": 10, "height": 20}) == Box(7, 5, 27, 15)
    assert outline_of({"name": "point", "cx": 5, "cy": 7}) == Polygon(((7, 5),))


def test_an_ellipse_has_its_area_and_leans_as_it_was_turned(small):
    source = open_source(small)
    flat = {"name": "ellipse", "cx": 50, "cy": 50, "rx": 30, "ry": 10}
    mask = draw(outline_of(flat), (100, 100), source)
    assert mask.sum() == pytest.approx(np.pi * 30 * 10, rel=0.05)
    assert mask[50, 22]
    assert not mask[22, 50]
    leaning = draw(outline_of({**flat, "theta": np.pi / 4}), (100, 100), source)
    assert leaning[70, 70]  # down and to the right: clockwise on a screen
    assert not leaning[30, 70]


def test_the_export_is_read_with_its_blanks_and_its_empty_regions():
    regions, findings = read_export("e.csv", EXPORT)
    assert not findings
    assert Counter(region.name for region in regions) == {
        "P2_L_DM_CC": 2,
        "P2_L_CM_CC": 1,
        "P10_R_DM_MLO": 1,
        "P12_L_DM_MLO": 1,
    }
    assert regions[0].where == "e.csv:2"


@pytest.mark.parametrize(
    "shape",
    [
        "no json",
        "[]",
        "3",
        '{"name": "star"}',
        '{"name": "circle", "cx": 1, "cy": 2}',
        '{"name": "circle", "cx": 1, "cy": 2, "r": "x"}',
        '{"name": "circle", "cx": 1, "cy": 2, "r": 1e999}',
        '{"name": "polygon", "all_points_x": [1], "all_points_y": []}',
        '{"name": "polygon", "all_points_x": [], "all_points_y": []}',
        '{"name": "polygon", "all_points_x": [1, 2], "all_points_y": "12"}',
        '{"name": "polygon", "all_points_x": [NaN], "all_points_y": [1]}',
        "[" * 100_000,
    ],
)
def test_a_shape_that_cannot_be_drawn_is_named_by_its_line(shape):
    head = ",".join(make.EXPORT)
    quoted = shape.replace('"', '""')
    regions, findings = read_export("e.csv", f'{head}\nP1_L_DM_CC.jpg,1,{{}},1,0,"{quoted}",{{}}\n'.encode())
    assert not regions
    assert [finding.where for finding in findings] == ["e.csv:2"]


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_damage_to_the_export_raises(data):
    start = data.draw(st.integers(0, len(EXPORT)))
    end = data.draw(st.integers(start, min(start + 200, len(EXPORT))))
    _, findings = read_export("e.csv", EXPORT[:start] + data.draw(st.binary(max_size=30)) + EXPORT[end:])
    assert all(finding.where.startswith("e.csv") for finding in findings)


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["name", "cx", "cy", "r", "rx", "ry", "theta", "all_points_x", "all_points_y"]), inner
            )
        ),
    )
)
def test_no_json_raises(shape):
    text = json.dumps(shape).replace('"', '""')
    regions, findings = read_export("e.csv", f'{",".join(make.EXPORT)}\nP1.jpg,1,{{}},1,0,"{text}",{{}}\n'.encode())
    assert len(regions) + len(findings) <= 1, "one row is one region, one finding, or nothing drawn"


# --------------------------------------------------------------------------------------------------------------- table


def test_the_worst_row_of_an_image_is_its_class():
    images, findings = read_rows("t.xlsx", ROWS)
    assert not findings
    assert len(images) == 8
    assert images[0] == Image("t.xlsx:2", "P2_L_DM_CC", "P2", "DM", label=2)


@pytest.mark.parametrize(
    ("column", "cell", "complaint"),
    [(3, "IMG_1", "is no image such as"), (11, "Unclear", "pathology 'Unclear' of P2_L_DM_CC is none of")],
)
def test_a_wrong_row_is_named(column, cell, complaint):
    rows = [list(row) for row in ROWS]
    rows[1][column] = cell
    _, findings = read_rows("t.xlsx", rows)
    assert [finding.where for finding in findings] == ["t.xlsx:2"]
    assert complaint in findings[0].what


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.sampled_from(["P2_L_DM_CC", "Benign", ""]) | st.text(max_size=9), max_size=13), max_size=6))
def test_no_text_in_the_cells_raises(rows):
    for table in ([make.HEADER, *rows], rows):
        images, _ = read_rows("t.xlsx", table)
        assert all(image.label in (0, 1, 2) for image in images)


# ---------------------------------------------------------------------------------------------------------------- task


def test_images_labels_and_masks_go_together(small):
    task = CddCesm(path=str(small), size=64, images="both")
    assert {record.id: task.classes[record.label] for record in task.records} == {
        "P2_L_DM_CC": "malignant",
        "P2_L_CM_CC": "malignant",
        "P2_R_DM_CC": "normal",
        "P10_R_DM_MLO": "benign",
        "P10_R_CM_MLO": "benign",
        "P11_L_DM_MLO": "normal",
        "P12_L_DM_MLO": "malignant",
        "P13_L_DM_MLO": "normal",
    }
    polygon, circle = task.film(task.records[0]).masks
    assert polygon[31:60, 21:40].all()
    assert polygon.sum() == polygon[30:61, 20:41].sum()
    assert circle.sum() == pytest.approx(np.pi * 100, rel=0.05)
    assert circle[40, 50]


def test_low_energy_and_subtracted_images_can_be_chosen(small):
    counts = {kind: len(CddCesm(path=str(small), size=64, images=kind).records) for kind in ("low-energy", "both")}
    assert counts == {"low-energy": 6, "both": 8}
    with pytest.raises(DataError, match="2 patients are too few"):  # the subtracted ones of the small set
        CddCesm(path=str(small), size=64, images="subtracted")


def test_no_woman_is_on_two_sides(small):
    task = CddCesm(path=str(small), size=64, images="both", folds=3)
    for fold in range(3):
        sides = [{entry.patient for entry in task.entries(split, fold)} for split in SPLITS]
        assert sum(map(len, sides)) == len(set.union(*sides)) == 5


def test_samples_load_at_the_size_asked_for(small):
    task = CddCesm(path=str(small), size=48)
    for entry in task.entries("train", 0):
        sample = task.load(entry)
        assert sample.image.shape == (1, 48, 48)
        assert all(mask.any() for mask in sample.lesions)


def test_options_that_cannot_be_are_refused(small):
    for options in ({"images": "x"}, {"size": 3}):
        with pytest.raises(UsageError):
            CddCesm(path=str(small), **options)


# ------------------------------------------------------------------------------------------------------------- inspect


def test_the_small_set_is_in_order(small):
    report = inspect(open_source(small))
    assert not report.level("error")
    assert not report.level("warning")
    assert report.found["regions"] == 5
    assert report.found["patients"] == 5
    assert any("1 images are called benign or malignant and have no drawn lesion" in line for line in told(small))


def test_missing_damaged_stray_and_contradictory_entries_are_named(copy):
    low = copy / make.FOLDERS["DM"]
    (low / "P11_L_DM_MLO.jpg").unlink()
    (low / "P12_L_DM_MLO.jpg").write_bytes((low / "P12_L_DM_MLO.jpg").read_bytes()[:500])
    export = copy / "Radiology_hand_drawn_segmentations_v2.csv"
    circle = ',1,{},1,0,"{""name"": ""circle"", ""cx"": 9, ""cy"": 9, ""r"": 5}",{}\r\n'
    export.write_bytes(export.read_bytes() + f"P99_L_DM_CC.jpg{circle}P13_L_DM_MLO.jpg{circle}".encode())
    lines = told(copy)
    assert any(line.startswith("error") and "image P11_L_DM_MLO is not there" in line for line in lines)
    assert any(line.startswith("error") and "P12_L_DM_MLO.jpg is damaged" in line for line in lines)
    assert any(line.startswith("warning") and "P99_L_DM_CC is no image of" in line for line in lines)
    assert any("1 images are called normal and have drawn lesions" in line for line in lines)


def test_empty_wrong_and_half_folders_are_told(tmp_path):
    assert any(line.startswith("error") and "Cancer Imaging Archive" in line for line in told(tmp_path))
    make.write(tmp_path)
    for folder in make.FOLDERS.values():
        shutil.rmtree(tmp_path / folder)
    assert any("has the tables, but none of the images" in line for line in told(tmp_path))
    (tmp_path / "Radiology-manual-annotations.xlsx").write_bytes(b"no zip")
    assert any("is no readable .xlsx file" in line for line in told(tmp_path))
    with pytest.raises(DataError, match=r"is no readable \.xlsx file"):
        CddCesm(path=str(tmp_path))
