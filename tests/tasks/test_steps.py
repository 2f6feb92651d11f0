"""Preprocessing: image and masks move together, no lesion is lost, the breast is kept and labels are not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tasks.make.mias import film
from xaibench.errors import DataError, UsageError
from xaibench_tasks.frames import sampled
from xaibench_tasks.steps import (
    Clahe,
    Crop,
    CropToBreast,
    CropToLesions,
    Equalise,
    FaceRight,
    Frame,
    Grey,
    KeepBreast,
    Normalise,
    RemovePectoral,
    Resize,
    Rgb,
    Stretch,
    named,
    resized,
    run,
    square,
)
from xaibench_tasks.tissue import breast_mask, ellipse

small = st.integers(1, 40)


def frame(image, *masks):
    return Frame(np.asarray(image, np.float32), tuple(np.asarray(mask, bool) for mask in masks))


def one_pixel(shape, row, column):
    mask = np.zeros(shape, bool)
    mask[row, column] = True
    return mask


# -------------------------------------------------------------------------------------------------------------- resize


def test_shrinking_takes_the_mean_of_the_area():
    found = resized(np.array([[0, 1, 0.5, 0.5], [1, 0, 0.25, 0.75]], np.float32), 1, 2)
    assert np.allclose(found, [[0.5, 0.5]])
    assert np.allclose(resized(np.array([[0, 0, 1]], np.float32), 1, 2), [[0, 2 / 3]], atol=1e-6)


def test_points_see_four_neighbours_and_nothing_between():
    stripes = np.array([[1, 0, 0, 1, 1, 0, 0, 1]], np.float32)
    assert np.allclose(sampled(stripes, 1, 2), [[0, 0]])  # the halves of columns 1, 2 and 5, 6
    assert np.allclose(resized(stripes, 1, 2), [[0.5, 0.5]])
    assert np.allclose(sampled(np.array([[0, 1]], np.float32), 1, 4), [[0, 0.25, 0.75, 1]])


@given(small, small, small, small, st.integers(0, 10**6))
def test_no_lesion_is_lost_in_resizing(rows, columns, new_rows, new_columns, seed):
    rng = np.random.default_rng(seed)
    mask = one_pixel((rows, columns), rng.integers(rows), rng.integers(columns))
    done = Resize(new_rows, new_columns)(frame(rng.random((rows, columns)), mask, np.zeros((rows, columns))))
    assert done.image.shape == done.masks[0].shape == (new_rows, new_columns)
    assert done.masks[0].any()
    assert not done.masks[1].any()
    assert done.rescued in (0, 1)
    assert 0 <= done.image.min() <= done.image.max() <= 1


def test_a_lesion_that_would_vanish_keeps_the_pixel_of_its_place_and_is_counted():
    done = Resize(10, 10)(frame(np.zeros((100, 100)), one_pixel((100, 100), 42, 17)))
    assert np.argwhere(done.masks[0]).tolist() == [[4, 1]]
    assert done.rescued == 1


def test_nothing_happens_at_the_right_size():
    before = frame(np.eye(4), np.eye(4))
    assert Resize(4, 4)(before) is before


@given(small, small, st.integers(0, 10**6))
def test_image_and_mask_stay_on_top_of_each_other(rows, columns, seed):
    """A mask drawn into the image is found under the mask after any steps that move things."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((40, 40), bool)
    top, left = rng.integers(0, 30, 2)
    mask[top : top + 10, left : left + 10] = True
    before = frame(np.where(mask, 1.0, 0.1), mask)
    done = run(before, [FaceRight(), CropToLesions(2.0, 20), Resize(8 * rows, 8 * columns)])
    inside, outside = (float(done.image[where].mean()) for where in (done.masks[0], ~done.masks[0]))
    assert inside > 0.8
    assert outside < 0.4


# --------------------------------------------------------------------------------------------------------------- crops


def test_a_crop_cuts_image_and_masks_alike():
    image = np.arange(20).reshape(4, 5) / 20
    done = Crop(1, 2, 3, 9)(frame(image, image > 0.5))
    assert np.allclose(done.image, image[1:3, 2:5])
    assert done.masks[0].tolist() == (image > 0.5)[1:3, 2:5].tolist()
    assert np.allclose(Crop(-2, -2, 2, 2)(frame(image)).image, image[:2, :2])


def test_a_crop_of_nothing_is_refused():
    with pytest.raises(DataError, match="no part of an image of 4 x 5"):
        Crop(7, 7, 9, 9)(frame(np.zeros((4, 5))))


def test_a_square_moves_inwards_at_the_edges():
    assert square((100, 80), 50, 40, 20) == Crop(40, 30, 60, 50)
    assert square((100, 80), 2, 79, 20) == Crop(0, 60, 20, 80)
    assert square((100, 80), 50, 40, 90) == Crop(5, 0, 95, 80)


def test_lesions_are_cut_out_with_context():
    mask = np.zeros((100, 100), bool)
    mask[40:50, 60:65] = True
    done = CropToLesions(2.0, 10)(frame(np.zeros((100, 100)), mask))
    assert done.shape == (20, 20)  # twice the longer extent of 10
    assert int(done.masks[0].sum()) == 50
    plain = frame(np.zeros((100, 100)))
    assert CropToLesions()(plain) is plain


# ---------------------------------------------------------------------------------------------------------------- tones


def test_grey_and_colour():
    colour = np.array([[[1, 0, 0], [0, 1, 0], [0, 0, 1]]])
    assert np.allclose(Grey()(frame(colour)).image, [[0.299, 0.587, 0.114]])
    assert np.allclose(Rgb()(frame([[0.5]])).image, [[[0.5, 0.5, 0.5]]])
    assert Grey()(frame([[0.5]])).image.shape == (1, 1)
    assert Rgb()(frame(colour)).image.shape == (1, 3, 3)


def test_normalising_brings_the_mean_to_the_middle():
    done = Normalise(0.2, 0.1, 3)(frame([[0.2, 0.5, 0.8, -0.1]]))
    assert np.allclose(done.image, [[0.5, 1, 1, 0]])
    assert np.allclose(Normalise(0.2, 0.1, 3)(frame([[0.3]])).image, [[0.5 + 1 / 6]])


def test_stretching_uses_the_whole_range_and_leaves_one_tone_alone():
    ramp = np.linspace(0.4, 0.6, 101)[None]
    done = Stretch()(frame(ramp)).image
    assert (done[0, 1], done[0, -2]) == (0, 1)
    assert np.allclose(Stretch()(frame(np.full((3, 3), 0.4))).image, 0.4)


def test_equalising_leaves_black_alone_and_spreads_the_rest():
    done = Equalise()(frame([[0, 0, 0, 0.50, 0.51, 0.52, 0.53]])).image
    assert done[0, :3].tolist() == [0, 0, 0]
    assert np.allclose(done[0, 3:], [0.25, 0.5, 0.75, 1], atol=0.05)
    assert Equalise()(frame(np.zeros((2, 2)))).image.tolist() == [[0, 0], [0, 0]]


def test_clahe_raises_local_contrast_and_its_limit_tames_it():
    rng = np.random.default_rng(0)
    left, right = (rng.normal(mean, 0.02, (256, 128)) for mean in (0.2, 0.8))
    halves = frame(np.concatenate([left, right], axis=1).clip(0, 1))
    spreads = [float(Clahe(limit, 8)(halves).image[:, :96].std()) for limit in (1.0, 4.0, 40.0)]
    assert float(halves.image[:, :96].std()) < spreads[0] < spreads[1] < spreads[2]


# --------------------------------------------------------------------------------------------------------------- tissue


@pytest.mark.parametrize("number", [1, 2])
def test_the_breast_is_found_and_the_label_is_not(number):
    pixels = film(number).astype(np.float32) / 255
    label = np.zeros(pixels.shape, bool)
    label[60:130, 44:144] = label[60:130, 880:980] = True
    label &= pixels == 1
    assert label.sum() == 70 * 100
    done = KeepBreast()(frame(pixels))
    assert not done.image[label].any()
    breast = pixels > 0.3
    assert (done.image[breast & ~label] > 0).mean() > 0.99
    assert breast_mask(pixels).mean() < 1.15 * (breast & ~label).mean()


def test_films_face_right_and_masks_turn_with_them():
    odd, even = (film(number).astype(np.float32) / 255 for number in (1, 2))
    mask = one_pixel(odd.shape, 100, 1000)
    turned = FaceRight()(frame(odd, mask))
    assert np.array_equal(turned.image, odd[:, ::-1])
    assert np.argwhere(turned.masks[0]).tolist() == [[100, 23]]
    assert np.array_equal(FaceRight()(frame(even)).image, even)


def test_a_film_is_cut_to_its_breast_with_all_lesions():
    pixels = film(2).astype(np.float32) / 255
    far = one_pixel(pixels.shape, 1020, 1000)
    done = CropToBreast()(frame(pixels))
    assert done.shape[0] == pytest.approx(880, abs=60)
    assert done.shape[1] == pytest.approx(760, abs=60)
    assert CropToBreast()(frame(pixels, far)).masks[0].any()


def test_a_film_without_a_breast_stays_as_it_is():
    black = frame(np.zeros((50, 40)))
    for step in (KeepBreast(), FaceRight(), CropToBreast(), RemovePectoral()):
        assert np.array_equal(step(black).image, black.image)


@pytest.mark.parametrize("margin", [0, 40])  # films may be black beyond the chest wall
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_pectoral_muscle_is_cut_away_and_the_gland_is_not(mirrored, margin):
    down, across = np.mgrid[:256, :256] / 256
    rng = np.random.default_rng(0)
    breast = ((down - 0.5) / 0.48) ** 2 + (across / 0.7) ** 2 < 1
    muscle = across / 0.35 + down / 0.6 < 1
    image = np.where(muscle, 0.85, np.where(breast, 0.4, 0.02)) + 0.02 * rng.random((256, 256))
    image = np.pad(image, ((0, 0), (margin, 0)))
    order = slice(None, None, -1 if mirrored else 1)
    done = RemovePectoral()(frame(image[:, order])).image[:, order][:, margin:]
    assert (done[muscle] == 0).mean() > 0.9
    assert (done[breast & ~muscle] == 0).mean() < 0.05


def test_without_a_muscle_nothing_is_cut():
    pixels = film(2).astype(np.float32) / 255
    assert np.array_equal(RemovePectoral()(frame(pixels)).image, pixels)


def test_an_ellipse_of_five_is_the_usual_element():
    assert ellipse(5).astype(int).tolist() == [
        [0, 0, 1, 0, 0],
        [1, 1, 1, 1, 1],
        [1, 1, 1, 1, 1],
        [1, 1, 1, 1, 1],
        [0, 0, 1, 0, 0],
    ]


# ---------------------------------------------------------------------------------------------------------------- names


def test_steps_are_named_with_their_numbers():
    assert named("breast, clahe:3.5:4 ,normalise:0.4:0.2") == (KeepBreast(), Clahe(3.5, 4), Normalise(0.4, 0.2))
    assert named("") == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [("brest", "there is no step 'brest'; there are breast,"), ("clahe:x", "limit:tiles"), ("face:1", "no numbers")],
)
def test_steps_that_cannot_be_are_refused(text, told):
    with pytest.raises(UsageError, match=told):
        named(text)
