"""Learning from one dataset and being tested on another."""

import shutil

import numpy as np
import pytest
from PIL import Image

from tests.tasks.make import folder as make
from xaibench.errors import DataError, UsageError
from xaibench.identity import task_identity
from xaibench.registry import create
from xaibench_tasks.external import External


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def home(tmp_path):
    return make.write(tmp_path / "home", 40)


@pytest.fixture
def away(tmp_path):
    """Twelve images that are none of the first set's."""
    place = make.write(tmp_path / "away", 12)
    for file in sorted((place / "images").iterdir()):
        pixels = np.random.default_rng(1000 + int(file.stem)).integers(0, 255, (10, 8), dtype=np.uint8)
        enlarged = Image.fromarray(pixels.repeat(6, axis=0).repeat(6, axis=1))
        if file.suffix == ".dcm":
            make.write_dicom(file, np.asarray(enlarged).astype(np.uint16) * 16, bits=12)
        else:
            enlarged.save(file)
    return place


def rename(place, old, new):
    table = place / "index.csv"
    table.write_text(table.read_text().replace(f",{old},", f",{new},"))
    return place


def external(home, away, **more):
    return External(train="folder(size=32)", test="folder(size=32)", train_path=str(home), test_path=str(away), **more)


def test_what_is_learned_is_of_one_set_and_what_is_tested_is_all_of_the_other(home, away):
    task, alone = external(home, away), create("tasks", f"folder(size=32, path='{home}')").plugin
    for split in ("train", "val"):
        assert [entry.id for entry in task.entries(split, 0)] == [f"train/{e.id}" for e in alone.entries(split, 0)]
    tested = task.entries("test", 0)
    assert sorted(entry.id.removeprefix("test/images/") for entry in tested) == sorted(
        path.name for path in (away / "images").iterdir()
    )
    assert not {entry.patient for entry in tested} & {entry.patient for entry in task.entries("train", 0)}
    for entry in (*task.entries("train", 0)[:4], *tested):
        sample = task.load(entry)
        assert sample.entry == entry
        assert sample.image.shape == (1, 32, 32)
        assert len(sample.lesions) == entry.label


def test_an_image_of_both_sets_is_reported_as_a_leak(home, away):
    learned = external(home, away).entries("train", 0)[0].id.removeprefix("train/")
    assert not any("identical pixels: t" in leak for leak in external(home, away).card.leaks)
    target = next(path for path in sorted((away / "images").iterdir()) if path.suffix == learned[-4:])
    shutil.copy(home / learned, target)
    with pytest.raises(DataError, match=f"1 test image can be learned from as well.*images/{target.name}.*shared=True"):
        external(home, away)
    (found,) = [leak for leak in external(home, away, shared=True).card.leaks if leak.startswith("identical pixels")]
    assert f"train/{learned}" in found
    assert f"test/images/{target.name}" in found
    assert "different splits" in found


def test_the_same_folder_on_both_sides_is_no_external_test(home, tmp_path):
    copied = shutil.copytree(home, tmp_path / "copied")
    for other in (home, copied):
        with pytest.raises(DataError, match=r"\d+ test images can be learned from as well, with the very same pixels"):
            external(home, other)


def test_a_set_that_has_test_images_alone_cannot_be_learned_from(home, away):
    header, *rows = (home / "index.csv").read_text().splitlines()
    (home / "index.csv").write_text("\n".join([f"{header},split", *(f"{row},test" for row in rows)]))
    with pytest.raises(DataError, match="external: train=folder has no train image of fine, ill"):
        external(home, away)
    assert len(external(away, home).entries("test", 0)) == 40


def test_patients_of_one_name_on_both_sides_are_told_and_others_are_not(home, away):
    assert any("have the same name on both sides: P0, P1, P2" in leak for leak in external(home, away).card.leaks)
    table = away / "index.csv"
    table.write_text(table.read_text().replace(",P", ",Q"))
    assert not any("same name" in leak for leak in external(home, away).card.leaks)


def test_classes_are_matched_by_name_and_the_rest_is_left_out_only_if_asked(home, away):
    rename(away, "fine", "healthy")
    with pytest.raises(UsageError, match="the classes differ"):
        external(home, away)
    with pytest.raises(UsageError, match="fewer than two"):
        external(home, away, classes="ill")
    with pytest.raises(UsageError, match="'fine' is not in both tasks; ill are"):
        external(home, away, classes="fine,ill")


def test_the_order_of_classes_asked_for_numbers_the_labels_of_both_sets(home, away):
    task = external(home, away, classes="ill,fine")
    assert task.classes == ("ill", "fine")
    for entry in (*task.entries("train", 0), *task.entries("test", 0)):
        assert entry.label == int(not task.load(entry).lesions)


def test_the_key_follows_the_content_and_not_the_place(home, away, tmp_path):
    def identity(home, away):
        given = f"train='folder(size=32)', test='folder(size=32)', train_path='{home}', test_path='{away}'"
        return task_identity(create("tasks", f"external({given})"))

    before = identity(home, away)
    assert identity(shutil.copytree(home, tmp_path / "moved"), away) == before
    rename(away, "fine", "healthy")
    rename(away, "ill", "fine")
    rename(away, "healthy", "ill")
    assert identity(home, away) != before


def test_mistakes_are_told(home, away):
    with pytest.raises(UsageError, match="needs two tasks"):
        External(train="folder")
    with pytest.raises(UsageError, match="the same size"):
        External(train="folder(size=32)", test="folder(size=16)", train_path=str(home), test_path=str(away))
    task = external(home, away)
    with pytest.raises(DataError, match="no image of external"):
        task.load(create("tasks", f"folder(path='{home}')").plugin.entries("train", 0)[0])
