"""Augmentation by its definition: each move by itself, on images whose answer is known."""

import pytest
import torch

from xaibench_models.augment import augmented
from xaibench_models.recipes import Augmentation


def images(count=64, side=8):
    return torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(0))


def test_nothing_asked_nothing_done():
    batch = images()
    assert torch.equal(augmented(batch, Augmentation(), 1), batch)


@pytest.mark.parametrize(("how", "axis"), [(Augmentation(mirror=True), 3), (Augmentation(upend=True), 2)])
def test_half_of_the_images_are_flipped_and_the_others_stay(how, axis):
    batch = images(400)
    found = augmented(batch, how, 1)
    flipped = (found == batch.flip(axis)).all(dim=(1, 2, 3))
    assert ((found == batch).all(dim=(1, 2, 3)) ^ flipped).all()
    assert 160 < flipped.sum() < 240


def test_quarter_turns_come_in_four_kinds_equally_often():
    batch = images(400)
    found = augmented(batch, Augmentation(quarter_turns=True), 1)
    counts = [(found == batch.rot90(turns, (2, 3))).all(dim=(1, 2, 3)).sum().item() for turns in range(4)]
    assert sum(counts) == 400
    assert min(counts) > 60


def test_a_rotation_moves_a_point_by_the_angle_asked_at_most_and_keeps_the_centre():
    batch = torch.zeros(200, 1, 65, 65)
    batch[:, 0, 32, 57:62] = 1  # a bar on the right
    batch[:, 0, 31:34, 31:34] = 1
    found = augmented(batch, Augmentation(rotate=15), 1)
    assert found[:, 0, 32, 32].min() > 0.99
    rows, columns = torch.meshgrid(torch.arange(65.0), torch.arange(65.0), indexing="ij")
    bar = found[:, 0] * (columns > 45)
    centre = [(bar * axis).sum((1, 2)) / bar.sum((1, 2)) - 32 for axis in (rows, columns)]
    degrees = torch.rad2deg(torch.atan2(centre[0], centre[1]))
    assert degrees.abs().max() <= 15.2
    assert degrees.min() < -12
    assert degrees.max() > 12
    assert torch.hypot(*centre).sub(27).abs().max() < 0.2


def test_an_image_that_is_not_square_is_rotated_without_being_sheared():
    batch = torch.zeros(50, 1, 41, 81)
    batch[:, 0, 20, 52:57] = 1
    found = augmented(batch, Augmentation(rotate=40), 1)[:, 0]
    rows, columns = torch.meshgrid(torch.arange(41.0), torch.arange(81.0), indexing="ij")
    down, across = ((found * axis).sum((1, 2)) / found.sum((1, 2)) for axis in (rows - 20, columns - 40))
    assert torch.hypot(down, across).sub(14).abs().max() < 0.2


def test_brightness_adds_the_same_to_all_pixels_and_contrast_keeps_the_mean():
    batch = 0.4 + 0.2 * images()
    brighter = augmented(batch, Augmentation(brightness=0.2), 1) - batch
    assert brighter.amax((1, 2, 3)).sub(brighter.amin((1, 2, 3))).max() < 1e-6
    assert 0.15 < brighter.abs().max() <= 0.2
    sharper = augmented(batch, Augmentation(contrast=0.5), 1)
    torch.testing.assert_close(sharper.mean((1, 2, 3)), batch.mean((1, 2, 3)))
    factor = sharper.std((1, 2, 3)) / batch.std((1, 2, 3))
    assert 0.5 <= factor.min() < 0.7
    assert 1.3 < factor.max() <= 1.5


def test_pixels_stay_in_range():
    found = augmented(images(), Augmentation(brightness=1.0, contrast=1.0), 1)
    assert found.min() >= 0
    assert found.max() <= 1


def test_the_same_seed_gives_the_same_images_and_another_one_others():
    how = Augmentation(mirror=True, upend=True, rotate=10, brightness=0.1)
    batch = images()
    assert torch.equal(augmented(batch, how, 5), augmented(batch, how, 5))
    assert not torch.equal(augmented(batch, how, 5), augmented(batch, how, 6))
