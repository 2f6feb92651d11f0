"""The tables of CBIS-DDSM: both releases, the line feeds inside, the real counts, and any damage."""

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tasks.make import cbis as make
from xaibench_tasks.cbis_inspect import leaking
from xaibench_tasks.cbis_tables import TABLES, Lesion, Place, by_film, read_table

REAL = Path(os.environ.get("XAIBENCH_DATA", "/nowhere")) / "cbis-ddsm"
needs_real_tables = pytest.mark.skipif(not REAL.is_dir(), reason="XAIBENCH_DATA names no folder with cbis-ddsm/")
MASS = make.table_text([lesion for lesion in make.SMALL if (lesion.kind, lesion.part) == ("mass", "train")])
CALC = make.table_text([lesion for lesion in make.SMALL if (lesion.kind, lesion.part) == ("calc", "train")])
OLD = make.table_text([lesion for lesion in make.SMALL if (lesion.kind, lesion.part) == ("mass", "train")], old=True)


def real():
    return [lesion for table in TABLES for lesion in read_table(table, (REAL / table).read_bytes())[0]]


def told(findings):
    return [f"{finding.level} {finding.where}: {finding.what}" for finding in findings]


def test_a_row_gives_the_film_and_the_folders_of_its_pictures():
    made = make.Lesion(kind="calc", part="test", patient=38, pathology="BENIGN", number=2)
    lesions, findings = read_table("t.csv", make.table_text([made]))
    study, series = make.uid(made.folder, "study"), make.uid(made.folder, "series")
    assert not findings
    assert lesions == [
        Lesion(
            where="t.csv:2",
            kind="calc",
            part="test",
            patient="P_00038",
            side="LEFT",
            view="CC",
            number=2,
            pathology="BENIGN",
            density="3",
            assessment="4",
            subtlety="4",
            film=Place("Calc-Test_P_00038_LEFT_CC", make.uid(made.film, "study"), make.uid(made.film, "series")),
            crop=Place("Calc-Test_P_00038_LEFT_CC_2", study, series),
            mask=Place("Calc-Test_P_00038_LEFT_CC_2", study, series),
        )
    ]


@pytest.mark.parametrize("table", [MASS, CALC])
def test_every_row_spans_two_lines_of_the_file_and_no_line_feed_stays_in_a_path(table):
    lesions, findings = read_table("t.csv", table)
    assert not findings
    assert [lesion.where for lesion in lesions] == [f"t.csv:{line}" for line in range(2, 2 * len(lesions) + 2, 2)]
    assert table.count(b"\n") == 1 + 2 * len(lesions)
    assert not any("\n" in str(lesion) for lesion in lesions)


def test_the_old_release_reads_as_the_new_one():
    new, old = read_table("t.csv", MASS)[0], read_table("t.csv", OLD)[0]
    assert b"\\" in OLD
    assert [replace(lesion, where="") for lesion in old] == [replace(lesion, where="") for lesion in new]


def test_blanks_round_a_cell_do_not_matter():
    blank = MASS.replace(b",LEFT,", b", LEFT ,").replace(b",MALIGNANT,", b",MALIGNANT ,")
    assert blank != MASS
    assert read_table("t.csv", blank) == read_table("t.csv", MASS)


def test_a_byte_order_mark_does_not_hide_the_first_column():
    assert len(read_table("t.csv", b"\xef\xbb\xbf" + MASS)[0]) == len(read_table("t.csv", MASS)[0])


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("MALIGNANT", "MALIGN", "pathology 'MALIGN' is none of"),
        ("Mass-Training_P_00002_LEFT_CC/", "Mass-Training_P_00002_LEFT/", "no folder of a film"),
        ("P_00002,3,LEFT,CC", "P_00002,3,RIGHT,CC", "are not Mass-Training_P_00002_LEFT_CC"),
        ("P_00002,3,LEFT,CC,1", "P_00002,3,LEFT,CC,x", "'x' is no number"),
        ("P_00002,3,LEFT,CC,1", "P_00002,3,LEFT,CC,2", "is not the folder of lesion 2"),
        ("/000001.dcm", "", "should be folder/study/series/file"),
    ],
)
def test_a_wrong_row_is_named_by_file_and_line_and_the_others_are_kept(old, new, complaint):
    text = MASS.decode()
    at = text.index("P_00002,")
    start = at + text[at:].index(old) if old != "MALIGNANT" else text.index(old)
    broken = text[:start] + new + text[start + len(old) :]
    lesions, findings = read_table("t.csv", broken.encode())
    assert len(lesions) == len(read_table("t.csv", MASS)[0]) - 1
    assert len(findings) == 1
    assert findings[0].level == "error"
    assert findings[0].where.startswith("t.csv:")
    assert complaint in findings[0].what


def test_a_lesion_that_is_there_twice_is_an_error_that_names_both_lines():
    row = make.Lesion()
    _, findings = read_table("t.csv", make.table_text([row, row]))
    assert told(findings) == ["error t.csv:4: Mass-Training_P_00001_LEFT_CC_1 is already in t.csv:2"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "no column 'patient_id'"),
        (b"a,b\n1,2\n", "no column 'patient_id', 'breast_density' or 'breast density'"),
        (b"\xff\xfe\x00", "is no readable table"),
        (b'"' + b"x" * 2**21, "is no readable table: field larger"),
    ],
)
def test_what_is_no_table_is_said_to_be_none(content, complaint):
    lesions, findings = read_table("t.csv", content)
    assert not lesions
    assert len(findings) == 1
    assert complaint in findings[0].what


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([MASS, CALC, OLD]), st.data())
def test_no_damage_to_a_table_raises(table, data):
    """Bytes lost, doubled, changed or put in, up to four times over."""
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(table)))
        end = data.draw(st.integers(start, min(start + 400, len(table))))
        table = table[:start] + data.draw(st.binary(max_size=40) | st.just(table[start:end] * 2)) + table[end:]
    lesions, findings = read_table("t.csv", table)
    assert all(lesion.patient.startswith("P_") and lesion.film.series for lesion in lesions)
    assert all(finding.where.startswith("t.csv") for finding in findings)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.text(max_size=12), max_size=16), max_size=6))
def test_no_text_in_the_cells_raises(rows):
    lesions, _ = read_table("t.csv", make._csv([make.MASS, *rows], "\r\n"))
    assert not lesions


@needs_real_tables
def test_the_real_tables_have_the_published_rows_patients_and_films():
    lesions = real()
    assert len(lesions) == 3568
    assert len({lesion.patient for lesion in lesions}) == 1566
    assert len(by_film(lesions)) == 3103
    counts = Counter((lesion.kind, lesion.part, lesion.pathology) for lesion in lesions)
    table = {
        ("mass", "train"): (637, 577, 104),
        ("mass", "test"): (147, 194, 37),
        ("calc", "train"): (544, 528, 474),
        ("calc", "test"): (129, 130, 67),
    }
    names = ("MALIGNANT", "BENIGN", "BENIGN_WITHOUT_CALLBACK")
    assert counts == {
        (*place, name): number for place, row in table.items() for name, number in zip(names, row, strict=True)
    }


@needs_real_tables
def test_the_18_and_13_patients_on_both_sides_of_the_real_tables_are_found():
    shared = {tables: len(patients) for tables, patients in leaking(real()).items()}
    assert shared == {
        "calc train and mass test": 18,
        "mass train and calc test": 13,
        "calc train and calc test": 0,
        "mass train and mass test": 0,
    }


@needs_real_tables
def test_the_real_old_release_lacks_one_row_and_agrees_in_all_others():
    old = read_table("o.csv", (REAL / "mass_case_description_train_set.OLD_HEADER.csv").read_bytes())
    name = "mass_case_description_train_set.csv"
    new = {lesion.mask.folder: replace(lesion, where="") for lesion in read_table(name, (REAL / name).read_bytes())[0]}
    assert not old[1]
    assert len(old[0]) == 1317
    assert set(new) - {lesion.mask.folder for lesion in old[0]} == {"Mass-Training_P_00737_LEFT_MLO_1"}
    assert all(replace(lesion, where="") == new[lesion.mask.folder] for lesion in old[0])


@needs_real_tables
def test_crop_and_mask_of_104_real_rows_lie_in_different_series():
    assert sum(lesion.crop.series != lesion.mask.series for lesion in real()) == 104
