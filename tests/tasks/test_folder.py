"""A user's own folder: images of every format, masks, patients, official splits, and mistakes told by line."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.tasks.make import folder as make
from xaibench.errors import DataError, UsageError
from xaibench_models.images import decoded
from xaibench_tasks.folder import UserFolder, inspect
from xaibench_tasks.sources import open_source
from xaibench_tasks.tables import read_table

SPLITS = ("train", "val", "test")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def place(tmp_path):
    return make.write(tmp_path / "mine", 40)


def entries(task):
    return [entry for split in SPLITS for entry in task.entries(split, 0)]


def write_table(place, *lines):
    (place / "index.csv").write_text("\n".join(lines) + "\n")
    return place


def test_images_of_every_format_load_with_their_masks(place):
    task = UserFolder(path=str(place), size=60)
    assert task.classes == ("fine", "ill")
    assert len(entries(task)) == 40
    for entry in entries(task):
        sample = task.load(entry)
        assert sample.image.shape == (1, 60, 60)
        assert len(sample.lesions) == entry.label
        if entry.label:
            assert sample.lesions[0].mean() == pytest.approx(20 / 60 * 20 / 48, abs=0.01)
            assert sample.image[0][sample.lesions[0]].mean() > 0.8


def test_colour_classes_and_steps_can_be_asked_for(place):
    task = UserFolder(path=str(place), size=32, channels=3, classes="ill,fine,other", steps="stretch")
    assert task.load(entries(task)[0]).image.shape == (3, 32, 32)
    assert {entry.label for entry in entries(task)} == {0, 1}
    assert task.classes == ("ill", "fine", "other")


def test_patients_stay_together_and_without_them_each_image_is_its_own(place, tmp_path):
    grouped = UserFolder(path=str(place), folds=3)
    for fold in range(3):
        sides = [{entry.patient for entry in grouped.entries(split, fold)} for split in SPLITS]
        assert sum(map(len, sides)) == len(set.union(*sides)) == 10
    alone = make.write(tmp_path / "alone", 20, patients=False)
    assert len({entry.patient for entry in entries(UserFolder(path=str(alone)))}) == 20
    (warning,) = inspect(open_source(alone)).level("warning")
    assert "no column patient" in warning.what


def test_a_column_of_splits_is_obeyed(place):
    splits = ["train"] * 4 + ["val"] * 2 + ["test"] * 2
    lines = [f"images/{2 * at:02d}.png,{'ab'[at % 2]},{split}" for at, split in enumerate(splits)]
    for at in range(8):
        source = next((place / "images").glob(f"{2 * at:02d}.*"))
        source.rename(source.with_suffix(".png"))
    task = UserFolder(path=str(write_table(place, "image,label,split", *lines)))
    assert [len(task.entries(split, 0)) for split in SPLITS] == [4, 2, 2]


def split_as(place, splits):
    """The table of the place with a column split."""
    header, *rows = (place / "index.csv").read_text().splitlines()
    pairs = zip(rows, splits, strict=True)
    return write_table(place, f"{header},split", *(f"{row},{split}" for row, split in pairs))


def test_a_split_of_test_alone_tests_every_image(place):
    task = UserFolder(path=str(split_as(place, ["test"] * 40)))
    assert [len(task.entries(split, 0)) for split in SPLITS] == [0, 0, 40]
    with pytest.raises(DataError, match="no train images in fold 0: training needs some"):
        decoded(task, "train", 0)


@pytest.mark.parametrize(("given", "lacks"), [("train", "test"), ("val", "train")])
def test_a_split_that_lacks_a_side_is_told_by_its_column(place, given, lacks):
    other = "val" if given == "train" else "test"
    split_as(place, [given] * 36 + [other] * 4)
    told = f"the column split names no {lacks} image .it has .*{given} 36.*test for every image if all networks bring"
    with pytest.raises(DataError, match=told):
        UserFolder(path=str(place))


def test_what_the_records_say_is_in_the_identity_and_the_permission_to_have_test_alone_is_not(place):
    task = UserFolder(path=str(place))
    assert "untrained" not in repr(task.splitting)
    assert task.fingerprint() != UserFolder(path=str(split_as(place, ["test"] * 40))).fingerprint()


def test_remarks_tell_the_order_of_classes_and_which_images_are_tested(place):
    def told(**given):
        return [f"{finding.where}: {finding.what}" for finding in UserFolder(path=str(place), **given).remarks()]

    order, tested = told()
    assert order == "classes: fine, ill (in the order of the alphabet; classes='ill,fine' is another one)"
    assert re.match(r"split: \d of 40 images are tested: no column split, so 15 % of the patients; ", tested)
    assert told(classes="ill,fine")[0] == "classes: ill, fine"
    assert told(folds=3)[1] == "split: 40 of 40 images are tested: no column split, so each patient in one of 3 folds"
    split_as(place, ["train"] * 20 + ["val"] * 16 + ["test"] * 4)
    assert told()[1] == "split: 4 of 40 images are tested: as the column split says"
    write_table(place, *(place / "index.csv").read_text().replace("train", "test").replace("val", "test").splitlines())
    assert "40 of 40 images are tested: the column split has test alone" in told()[1]


def test_several_masks_and_other_separators(place):
    first, second = (sorted(place.glob("masks/*"))[at].name for at in (0, 1))
    image = sorted(place.glob("images/01.*"))[0].name
    others = [f"images\\{file.name};fine;" for file in sorted(place.glob("images/*")) if file.name != image]
    write_table(place, "\ufeffImage;Label ;mask", f'images/{image};ill;"masks/{first}; masks/{second}"', *others)
    task = UserFolder(path=str(place))
    ill = next(entry for entry in entries(task) if entry.label)
    assert len(task.load(ill).lesions) == 2


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["image,label", "images/nothing.png,ill"], r"index\.csv:2: images/nothing\.png is not there"),
        (["image,label", "../../etc/passwd,ill"], r"index\.csv:2: .*is not there"),
        (["image,label", "/etc/passwd,ill"], r"index\.csv:2: .*is not there"),
        (["image,label", "images/00.png,"], r"index\.csv:2: has nothing in column 'label'"),
        (["image,label", ",ill"], r"index\.csv:2: has nothing in column 'image'"),
        (
            ["images/00.png,ill", "images/01.png,ill"],
            r"index\.csv: has columns images/00.png, ill; needed in its first",
        ),
        (["image,label", "images/00.png,ill", "images/00.png,ill"], r"index\.csv:3: .* is in index\.csv:2 already"),
        (["image,label,split", "images/00.png,ill,dev"], r"index\.csv:2: split 'dev' is none of train, val, test"),
        (["image,label"], "has no rows"),
    ],
)
def test_a_mistake_in_the_table_is_told_with_its_line(place, lines, told):
    write_table(place, *lines)
    errors = [f"{finding.where}: {finding.what}" for finding in inspect(open_source(place)).level("error")]
    assert re.search(told, "\n".join(errors))
    with pytest.raises(DataError):
        UserFolder(path=str(place), classes="ill,fine")


def test_wrong_columns_are_one_error_and_not_some_for_every_row(place):
    write_table(place, "file,class", *(f"images/{file.name},ill" for file in (place / "images").iterdir()))
    (error,) = inspect(open_source(place)).level("error")
    told = "has columns file, class; needed in its first line: image, label (and if known patient, mask, split)"
    assert (error.where, error.what) == ("index.csv", told)
    with pytest.raises(DataError, match=re.escape(f"index.csv: {told}")):
        UserFolder(path=str(place))


def test_one_class_is_none(place):
    write_table(place, "image,label", *(f"images/{file.name},ill" for file in (place / "images").iterdir()))
    with pytest.raises(DataError, match=r"names one class \(ill\); two are needed"):
        UserFolder(path=str(place))
    with pytest.raises(UsageError, match="the table also has ill"):
        UserFolder(path=str(place), classes="fine,other")


def test_a_mask_of_another_size_is_warned_of(place):
    Image.fromarray(np.ones((7, 9), np.uint8)).save(place / "masks" / "01.png")
    (warning,) = inspect(open_source(place)).level("warning")
    assert "masks/01.png is 9 x 7, its image 48 x 60" in warning.what


def test_a_table_in_another_encoding_is_told(place):
    (place / "index.csv").write_bytes("image,label\nimages/ü.png,ill\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"index\.csv:2: is not UTF-8"):
        UserFolder(path=str(place))


@given(
    st.text() | st.lists(st.sampled_from([*',;\t"\n\r\x00', "image", "label", "split", "a.png", "ill"])).map("".join)
)
def test_no_table_whatsoever_gives_a_traceback(text):
    try:
        lines = read_table("index.csv", text.encode("utf-8", "surrogatepass"))
    except DataError as error:
        assert "index.csv:" in str(error)  # noqa: PT017
    else:
        assert all(line["image"] == line["image"].strip() for line in lines)
