"""Images in a folder per class with masks beside: a benchmark without writing a table."""

import numpy as np
import pytest
from PIL import Image

from xaibench.errors import DataError
from xaibench_tasks.folder import UserFolder, inspect
from xaibench_tasks.sources import open_source

SPLITS = ("train", "val", "test")


@pytest.fixture
def films(place):
    """24 films, half of them with a bright square and its mask."""
    for at in range(24):
        label, image, mask = ("fine", "ill")[at % 2], np.full((40, 30), at, np.uint8), np.zeros((40, 30), np.uint8)
        mask[5 : 5 + 20, 10:20] = 255
        write(place / "films" / "images" / label / f"{at:02d}.png", image + mask // 2 * (at % 2))
        if at % 2:
            write(place / "films" / "masks" / f"{at:02d}.png", mask)
    return place / "films"


def write(file, pixels):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)


def samples(task):
    return [task.load(entry) for split in SPLITS for entry in task.entries(split, 0)]


def test_a_stranger_benchmarks_a_network_of_their_own_on_images_of_their_own(films, bench):
    ended, results = bench("net.py:build", "gradcam,saliency", "energy,iou", tasks="folder(path=films, size=32)")
    assert ended.code == 0, ended.err
    assert {one.status for one in results.scores} == {"ok"}
    assert results.predictions[0].classes == ("fine", "ill")
    assert results.predictions[0].ids[0].startswith("images/")


def test_a_network_with_weights_is_tested_on_all_images_where_none_is_left_to_train(films, bench):
    ill = (f"images/ill/{at:02d}.png,1,masks/{at:02d}.png,test\n" for at in range(1, 24, 2))
    rows = "".join([*ill, *(f"images/fine/{at:02d}.png,0,,test\n" for at in range(0, 24, 2))])
    (films / "index.csv").write_text(f"image,label,mask,split\n{rows}")
    ended, results = bench(
        "net.py:build", "gradcam,tissue-prior", "energy", tasks="folder(path=films, size=32)", limit=24
    )
    assert ended.code == 0, ended.err
    assert len(results.predictions[0].ids) == 24
    found = {one.labels["explainer"]: one for one in results.scores}
    assert found["gradcam"].status == "ok"
    assert found["tissue-prior"].status == "unsupported"
    assert "no lesion" in found["tissue-prior"].reason


def test_folders_are_classes_and_masks_belong_to_the_image_of_their_name(films):
    found = samples(UserFolder(path=str(films), size=40))
    assert len(found) == 24
    for sample in found:
        ill = "/ill/" in sample.entry.id
        assert sample.entry.label == int(ill)
        assert len(sample.lesions) == int(ill)
        if ill:
            assert sample.image[0][sample.lesions[0]].min() > sample.image[0][~sample.lesions[0]].max()


def test_several_masks_of_one_image_are_several_lesions_and_the_longest_name_wins(films):
    dot = np.zeros((40, 30), np.uint8)
    dot[0:3, 0:3] = 255
    write(films / "masks" / "01_2.png", dot)
    write(films / "images" / "ill" / "01_x.png", dot)
    write(films / "masks" / "01_x_1.png", dot)
    lesions = {sample.entry.id: len(sample.lesions) for sample in samples(UserFolder(path=str(films), size=40))}
    assert lesions["images/ill/01.png"] == 2
    assert lesions["images/ill/01_x.png"] == 1


def test_a_table_wins_over_folders(films):
    (films / "index.csv").write_text("image,label\nimages/ill/01.png,a\nimages/fine/00.png,b\nimages/fine/02.png,b\n")
    assert UserFolder(path=str(films), size=40).classes == ("a", "b")


def test_masks_that_belong_to_no_image_or_to_two_are_told(films):
    write(films / "masks" / "99.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(DataError, match=r"masks/99\.png is the mask of no image: expected images/CLASS"):
        UserFolder(path=str(films))
    (films / "masks" / "99.png").unlink()
    write(films / "images" / "fine" / "01.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(DataError, match=r"01\.png may be of an image in images/\w+ and images/\w+: put it into"):
        UserFolder(path=str(films))
    (films / "masks" / "ill").mkdir()
    (films / "masks" / "01.png").rename(films / "masks" / "ill" / "01.png")
    found = {sample.entry.id: sample for sample in samples(UserFolder(path=str(films), size=40))}
    assert not found["images/fine/01.png"].lesions
    assert found["images/ill/01.png"].lesions


def test_a_check_counts_and_warns_of_patients(films):
    report = inspect(open_source(films))
    assert report.found == {"images": 24, "patients": 24, "masks": 12, "label fine": 12, "label ill": 12}
    (warning,) = report.level("warning")
    assert "images of one patient may be on both sides of a split" in warning.what


def test_an_empty_place_is_told_with_both_layouts(place):
    with pytest.raises(DataError, match=r"holds no index\.csv.*images/CLASS/NAME\.png and masks/NAME\.png"):
        UserFolder(path=str(place))
