import numpy as np
import pytest
import torch

from xaibench import segmentation
from xaibench.errors import DataError, UsageError
from xaibench.seeds import derive
from xaibench.segmentation import METHODS, segment, segment_masks


def picture(channels=1, size=(48, 40), seed=0):
    """Four plain quarters with a little noise."""
    image = np.zeros((channels, *size), dtype=np.float32)
    image[:, : size[0] // 2, : size[1] // 2] = 0.9
    image[:, size[0] // 2 :, size[1] // 2 :] = 0.5
    return image + np.random.default_rng(seed).random(image.shape, dtype=np.float32) * 0.01


@pytest.fixture(autouse=True)
def _empty_cache(monkeypatch):
    monkeypatch.setattr(segmentation, "_cache", {})


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("method", METHODS)
def test_labels_cover_the_image_from_0_on_without_gaps(method, channels):
    labels = segment(picture(channels), method, count=20)
    assert labels.shape == (48, 40)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(np.unique(labels), np.arange(labels.max() + 1))


def test_slic_keeps_to_the_edges_of_the_picture():
    """Each segment lies in one quarter: no label is shared between two."""
    labels = segment(picture(), "slic", count=20, compactness=1, sigma=0)
    quarters = [labels[rows, columns] for rows in (slice(24), slice(24, 48)) for columns in (slice(20), slice(20, 40))]
    assert sum(len(np.unique(quarter)) for quarter in quarters) == labels.max() + 1


@pytest.mark.parametrize("method", METHODS)
def test_a_grey_picture_has_the_segments_of_the_same_picture_in_colour(method):
    grey = picture()
    np.testing.assert_array_equal(segment(grey, method, seed=3), segment(np.repeat(grey, 3, axis=0), method, seed=3))


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_segments_and_leaves_global_generators_alone(method, monkeypatch):
    before = np.random.get_state()
    first = segment(picture(), method, seed=5)
    monkeypatch.setattr(segmentation, "_cache", {})
    np.testing.assert_array_equal(segment(picture(), method, seed=5), first)
    np.testing.assert_equal(np.random.get_state(), before)


@pytest.mark.parametrize("method", METHODS)
def test_seeds_may_be_as_long_as_those_of_samples(method):
    assert segment(picture(), method, count=20, seed=derive("some image", 4)).max() > 0


def test_the_grid_is_as_square_as_the_image_allows():
    """24 cells on 48x32: 6 rows of 4 cells of 8x8 pixels."""
    labels = segment(np.zeros((1, 48, 32), dtype=np.float32), "grid", count=24)
    expected = np.arange(24).reshape(6, 4).repeat(8, axis=0).repeat(8, axis=1)
    np.testing.assert_array_equal(labels, expected)


def test_a_grid_finer_than_the_pixels_has_a_segment_per_pixel():
    labels = segment(np.zeros((1, 2, 3), dtype=np.float32), "grid", count=1000)
    np.testing.assert_array_equal(labels, [[0, 1, 2], [3, 4, 5]])


def test_slic_cuts_noise_into_about_as_many_segments_as_asked_only_because_it_smooths():
    noise = np.random.default_rng(0).random((1, 64, 64), dtype=np.float32)
    assert segment(noise, "slic", count=64).max() + 1 >= 48
    assert segment(noise, "slic", count=64, sigma=0.0).max() + 1 <= 8


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_slic_cuts_a_constant_image_into_about_as_many_squares_as_asked(value):
    labels = segment(np.full((1, 64, 64), value, dtype=np.float32), "slic", count=64)
    sizes = np.bincount(labels.ravel())
    assert 48 <= len(sizes) <= 81
    assert sizes.max() <= 4 * sizes.mean()


def test_felzenszwalb_finds_one_segment_in_a_constant_image():
    assert segment(np.zeros((3, 32, 32), dtype=np.float32), "felzenszwalb").max() == 0


def test_a_segmentation_is_made_once_per_image_and_parameters(monkeypatch):
    calls = []
    found = segmentation._found
    monkeypatch.setattr(segmentation, "_found", lambda *given: calls.append(given) or found(*given))
    for _ in range(2):
        for count in (10, 20):
            segment(picture(), "slic", count=count)
        segment(picture(seed=1), "slic", count=10)
        segment(picture(), "slic", count=10, seed=7)  # slic has no use for a seed
    assert len(calls) == 3


def test_writing_into_the_labels_does_not_spoil_the_next_call():
    segment(picture())[:] = -1
    assert segment(picture()).min() == 0


def test_few_segmentations_are_kept(monkeypatch):
    monkeypatch.setattr(segmentation, "KEPT", 3)
    for count in range(1, 20):
        segment(picture(), "grid", count=count)
    assert len(segmentation._cache) == 3


def test_an_image_of_other_shape_with_the_same_bytes_is_another_image():
    assert segment(np.zeros((1, 4, 8), dtype=np.float32), "grid", 2).shape == (4, 8)
    assert segment(np.zeros((1, 8, 4), dtype=np.float32), "grid", 2).shape == (8, 4)


def test_nan_is_refused():
    image = picture()
    image[0, 3, 3] = np.nan
    with pytest.raises(DataError, match="NaN"):
        segment(image)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "voronoi"}, "'voronoi' is not known; choose one of: slic"),
        ({"count": 0}, "count is 0"),
        ({"compactness": 0.0}, "compactness 0.0"),
        ({"compactness": float("nan")}, "compactness nan"),
        ({"iterations": 0}, "iterations 0"),
        ({"sigma": -1.0}, "sigma -1.0"),
    ],
)
def test_parameters_that_cannot_be_are_refused(given, message):
    with pytest.raises(UsageError, match=message):
        segment(picture(), **given)


@pytest.mark.parametrize("chunk", [1, 2, 64])
def test_masks_keep_the_segments_of_the_coalition(chunk):
    labels = np.array([[0, 0, 1], [2, 2, 1]], dtype=np.int32)
    coalitions = np.array([[True, False, False], [False, True, True], [True, True, True]])
    masks = list(segment_masks(labels, coalitions, torch.device("cpu"), chunk))
    assert {len(some) for some in masks[:-1]} <= {chunk}
    expected = [[[1, 1, 0], [0, 0, 0]], [[0, 0, 1], [1, 1, 1]], [[1, 1, 1], [1, 1, 1]]]
    np.testing.assert_array_equal(torch.cat(masks), expected)
