"""INbreast: its table, its property lists, patients from file names, masks from outlines."""

import shutil
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.tasks.make import inbreast as make
from xaibench.errors import DataError, UsageError
from xaibench_tasks.inbreast import Inbreast, inspect
from xaibench_tasks.inbreast_tables import Film, Region, read_regions, read_table
from xaibench_tasks.sources import open_source

SPLITS = ("train", "val", "test")
REGIONS = make.regions_text(make.SMALL[0])
TABLE = make.table_text(make.SMALL)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make.write(tmp_path_factory.mktemp("inbreast"))


@pytest.fixture
def copy(small, tmp_path):
    return shutil.copytree(small, tmp_path / "copy")


def told(folder):
    return [f"{finding.level} {finding.where}: {finding.what}" for finding in inspect(open_source(folder)).findings]


def damaged(draw, content):
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.integers(start, min(start + 200, len(content))))
        content = content[:start] + draw(st.binary(max_size=20)) + content[end:]
    return content


# -------------------------------------------------------------------------------------------------------------- tables


def test_the_table_is_read_with_its_blanks_and_its_one_odd_view():
    films, findings = read_table("t.csv", TABLE)
    assert not findings
    assert len(films) == len(make.SMALL)
    assert films[3] == Film("t.csv:5", "20586986", "R", "MLO", "1", density="")
    assert films[5].view == "FB"
    assert films[4].birads == "4a"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (b"20587012", b"IMG_1", "is not eight digits"),
        (b";4a", b";7", "BI-RADS '7' is none of"),
        (b"20587012", b"20586908", "20586908 is already in t.csv:2"),
    ],
)
def test_a_wrong_row_is_named_by_its_line(old, new, complaint):
    films, findings = read_table("t.csv", TABLE.replace(old, new))
    assert len(films) == len(make.SMALL) - 1
    assert [finding.where for finding in findings] == ["t.csv:6"]
    assert complaint in findings[0].what


@pytest.mark.parametrize("content", [b"", b"a;b\n", TABLE.replace(b";", b","), b"\xff\xfe"])
def test_what_is_no_table_is_said_to_be_none(content):
    films, findings = read_table("t.csv", content)
    assert not films
    assert "is no table of INbreast" in findings[0].what


def test_regions_have_x_first_and_points_with_fractions():
    content = make.regions_text(make.Film(1, "a", regions=(("Mass", ((1.5, 2.25), (3, 4))),)))
    assert read_regions("1.xml", content) == ([Region("Mass", ((2.25, 1.5), (4.0, 3.0)))], [])


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (b"<integer>2</integer>", b"<integer>3</integer>", "says it has 3 regions, and has 2"),
        (b"<integer>4</integer>", b"<integer>9</integer>", "says it has 9 points, and has 4"),
        (b"(20.000000, 30.000000)", b"(20.000000; 30.0)", "1 of its points are no '(x, y)'"),
        (b"(20.000000, 30.000000)", b"(1e999, 30.0)", "1 of its points are no '(x, y)'"),
        (b"Point_px", b"Point_qx", "has no list of points"),
    ],
)
def test_odd_regions_are_told_and_the_rest_is_used(old, new, complaint):
    regions, findings = read_regions("1.xml", REGIONS.replace(old, new))
    assert any(complaint in finding.what for finding in findings)
    assert {finding.level for finding in findings} == {"warning"}
    assert len(regions) == (0 if old == b"Point_px" else 2)


@pytest.mark.parametrize(
    "content", [b"", b"<plist>", b"bplist00", b"<plist><dict><key>Images</key><string/></dict></plist>"]
)
def test_what_is_no_list_of_regions_is_an_error(content):
    regions, findings = read_regions("1.xml", content)
    assert not regions
    assert findings[0].level == "error"


def test_a_list_that_declares_entities_is_refused():
    bomb = (
        b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaa">]><plist version="1.0"><string>&a;</string></plist>'
    )
    assert "is no list of regions" in read_regions("1.xml", bomb)[1][0].what


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_damage_to_regions_or_table_raises(data):
    regions, _ = read_regions("1.xml", damaged(data.draw, REGIONS))
    assert all(region.points for region in regions)
    films, _ = read_table("t.csv", damaged(data.draw, TABLE))
    assert all(len(film.number) == 8 for film in films)


# ---------------------------------------------------------------------------------------------------------------- task


def test_films_are_grouped_by_the_hash_in_their_names(small):
    task = Inbreast(path=str(small), size=64, folds=3)
    by_patient = Counter(record.patient for record in task.records)
    assert by_patient[make.SMALL[0].hashed] == by_patient[make.SMALL[2].hashed] == 2
    assert len(by_patient) == 6
    for fold in range(3):
        sides = [{entry.patient for entry in task.entries(split, fold)} for split in SPLITS]
        assert sum(map(len, sides)) == len(set.union(*sides)) == 6


def test_classes_follow_birads(small):
    binary = {record.id: record.label for record in Inbreast(path=str(small), size=64).records}
    levels = {record.id: record.label for record in Inbreast(path=str(small), size=64, label="levels").records}
    wanted = {"1": (0, 0), "2": (0, 1), "3": (0, 1), "4a": (1, 2), "5": (1, 2), "6": (1, 2)}
    for film in make.SMALL:
        assert (binary[str(film.number)], levels[str(film.number)]) == wanted[film.birads]


def test_a_mask_is_the_polygon_cut_at_the_film(small):
    task = Inbreast(path=str(small), size=64)
    frames = {record.id: task.film(record) for record in task.records}
    mass, cluster = frames["20586908"].masks
    assert mass[45, 30]
    assert mass[30:61, 20:41].mean() > 0.9
    assert mass.sum() == mass[30:61, 20:41].sum()
    assert cluster[12, 65]
    cut = frames["20586934"].masks[0]
    assert cut[99, 0]
    assert cut.sum() == cut[90:, :16].sum() > 100


def test_single_calcifications_are_left_out_or_one_lesion_of_a_pixel_each(small):
    def lesions(**options):
        task = Inbreast(path=str(small), size=64, **options)
        return {record.id: task.film(record).masks for record in task.records}

    assert len(lesions()["20586960"]) == 1
    assert lesions()["20587012"] == ()
    mass, specks = lesions(lesions="all")["20586960"]
    assert list(zip(*np.nonzero(specks), strict=True)) == [(21, 10), (70, 50)]
    assert mass.sum() > 500


def test_samples_load_at_the_size_asked_for(small):
    task = Inbreast(path=str(small), size=48, lesions="all")
    for split in SPLITS:
        for entry in task.entries(split, 0):
            sample = task.load(entry)
            assert sample.image.shape == (1, 48, 48)
            assert all(mask.shape == (48, 48) and mask.any() for mask in sample.lesions)


def test_dark_on_bright_films_are_turned_round(copy):
    film = make.SMALL[7]
    pixels = make.draw_film(film)
    task = Inbreast(path=str(copy), size=64)
    record = next(record for record in task.records if record.id == str(film.number))
    before = task.film(record).image
    make.write_dicom(copy / "AllDICOMs" / film.file, 2**14 - 1 - pixels, photometric="MONOCHROME1")
    assert np.allclose(task.film(record).image, before, atol=1e-6)


def test_options_that_cannot_be_are_refused(small):
    for options in ({"label": "x"}, {"lesions": "x"}, {"size": 3}, {"steps": "x"}):
        with pytest.raises(UsageError):
            Inbreast(path=str(small), **options)


# ------------------------------------------------------------------------------------------------------------- inspect


def test_quirks_are_told_and_nothing_is_wrong_with_the_small_set(small):
    lines = told(small)
    assert not [line for line in lines if line.startswith(("error", "warning"))]
    assert any("3 regions are a single point" in line for line in lines)
    assert any("points of regions lie outside film 20586934" in line for line in lines)
    assert any("film 20587064 of BI-RADS 3 has no file of regions" in line for line in lines)
    report = inspect(open_source(small))
    assert report.found["patients"] == 6
    assert report.found["regions 'Mass'"] == 3
    assert report.deviations()["films"] == (8, 410)


def test_missing_damaged_and_contradictory_files_are_named(copy):
    one, two, three, four = make.SMALL[:4]
    (copy / "AllDICOMs" / one.file).unlink()
    (copy / "AllDICOMs" / two.file).write_bytes((copy / "AllDICOMs" / two.file).read_bytes()[:3000])
    (copy / "AllXML" / f"{three.number}.xml").write_bytes(b"<plist>")
    (copy / "AllDICOMs" / four.file).rename(copy / "AllDICOMs" / four.file.replace("_R_", "_L_"))
    lines = told(copy)
    assert any(line == f"error INbreast.csv:2: film {one.number} is not there" for line in lines)
    assert any(line.startswith("error INbreast.csv:3") and "damaged" in line for line in lines)
    assert any(line.startswith(f"error AllXML/{three.number}.xml: is no list of regions") for line in lines)
    assert any(line.startswith("warning INbreast.csv:5") and "says L ML, the table R MLO" in line for line in lines)
    with pytest.raises(DataError, match="is no list of regions"):
        Inbreast(path=str(copy))


def test_an_empty_folder_and_a_wrong_table_are_told(tmp_path):
    assert any(line.startswith("error") and "INESC Porto" in line for line in told(tmp_path))
    (tmp_path / "inbreast.csv").write_text("x,y\n")
    assert any("is no table of INbreast" in line for line in told(tmp_path))


def test_converted_films_without_a_patient_are_usable_with_a_warning(copy):
    for film in make.SMALL:
        (copy / "AllDICOMs" / film.file).unlink()
        Image.fromarray((make.draw_film(film) >> 6).astype(np.uint8)).save(copy / f"{film.number}.png")
    assert any("do not tell the patient" in line and line.startswith("warning") for line in told(copy))
    assert len({record.patient for record in Inbreast(path=str(copy), size=64).records}) == 8
