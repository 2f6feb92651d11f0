"""Both ways to restore pixels, one by one in compiled code and many together, against a direct solution."""

import subprocess
import sys
import time

import numpy as np
import pytest
import scipy.sparse.linalg
import torch

from xaibench import imputation
from xaibench.imputation import TOLERANCE, Restoration
from xaibench.infills import NOISE

EXACT = 1e-7  # to the last bit that single precision has


def one_by_one(image, kept, tolerance=TOLERANCE, noise=None):
    return imputation.one_by_one([Restoration(image, kept, noise)], tolerance)[0]


def together(image, kept, tolerance=TOLERANCE, noise=None):
    return imputation.together(Restoration(image, kept, noise), tolerance)


WAYS = [one_by_one, together]


def picture(seed=0, shape=(2, 12, 9)):
    return torch.from_numpy(np.random.default_rng(seed).random(shape, dtype=np.float32))


def random_masks(shape, shares, seed=1):
    generator = np.random.default_rng(seed)
    return torch.from_numpy(np.stack([generator.random(shape) < share for share in shares]))


def discs(shape):
    """Round holes, and round islands."""
    rows, columns = torch.meshgrid(*(torch.arange(side) for side in shape), indexing="ij")
    far = (rows - shape[0] // 2) ** 2 + (columns - shape[1] // 3) ** 2
    outside = torch.stack([far > (min(shape) * part) ** 2 for part in (0.04, 0.2, 0.45)])
    return torch.cat([outside, ~outside])


def neighbours(shape):
    """The weights between all pixels, written down from the definition."""
    places = np.arange(shape[0] * shape[1]).reshape(shape)
    matrix = scipy.sparse.lil_matrix((places.size, places.size))
    for r, c in [(r, c) for r in (-1, 0, 1) for c in (-1, 0, 1) if (r, c) != (0, 0)]:
        here = places[max(0, -r) : shape[0] - max(0, r), max(0, -c) : shape[1] - max(0, c)].ravel()
        there = places[max(0, r) : shape[0] + min(0, r), max(0, c) : shape[1] + min(0, c)].ravel()
        matrix[here, there] = 1 / 12 if r and c else 1 / 6
    return matrix.tocsr()


def exact(image, kept):
    """The sparse system, solved directly."""
    matrix = neighbours(kept.shape[1:])
    weights = scipy.sparse.diags(np.asarray(matrix.sum(axis=1)).ravel())
    filled = []
    for mask in kept.flatten(1).numpy():
        pixels = image.double().numpy().reshape(len(image), -1).T.copy()
        system = (weights - matrix)[~mask][:, ~mask].tocsc()
        found = scipy.sparse.linalg.spsolve(system, matrix[~mask][:, mask] @ pixels[mask])
        pixels[~mask] = found.reshape(-1, len(image))
        filled.append(torch.from_numpy(pixels.T.reshape(image.shape)).float())
    return torch.stack(filled)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", [(12, 9), (33, 40), (41, 17), (5, 64)])
def test_either_way_agrees_with_the_direct_solution(way, shape):
    image, kept = picture(3, (2, *shape)), torch.cat([random_masks(shape, (0.9, 0.5, 0.1, 0.02)), discs(shape)])
    kept[:, 1, 1], kept[:, 3, 2] = True, False  # no mask is all of one kind
    torch.testing.assert_close(way(image, kept, EXACT), exact(image, kept), rtol=0, atol=5e-5)


@pytest.mark.parametrize("way", WAYS)
def test_a_dozen_rounds_are_enough_however_large_a_region_and_however_few_pixels_are_left(way, monkeypatch):
    monkeypatch.setattr(imputation, "ROUNDS", 12)
    shape = (160, 120)
    image, kept = picture(5, (1, *shape)), torch.cat([discs(shape), random_masks(shape, (0.5, 0.03, 0.001))])
    assert (way(image, kept) - exact(image, kept)).abs().max() < NOISE / 10


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (2, 2), (8, 8), (9, 9), (17, 30)])
def test_all_kept_is_the_image_and_nothing_kept_is_the_mean(way, shape):
    image = picture(2, (3, *shape))
    full, empty = way(image, torch.stack([torch.ones(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.bool)]))
    assert torch.equal(full, image)
    torch.testing.assert_close(empty, image.mean(dim=(1, 2), keepdim=True).expand_as(image))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", [(1, 7), (7, 1), (9, 9), (17, 30), (64, 48)])
def test_one_kept_pixel_is_seen_everywhere(way, shape):
    image, kept = picture(2, (2, *shape)), torch.zeros(1, *shape, dtype=torch.bool)
    kept[0, shape[0] // 3, shape[1] // 2] = True
    expected = image[:, shape[0] // 3, shape[1] // 2, None, None].expand_as(image)
    torch.testing.assert_close(way(image, kept, EXACT)[0], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("way", WAYS)
def test_a_line_of_pixels_is_restored_by_drawing_a_line(way):
    kept = torch.zeros(1, 1, 200, dtype=torch.bool)
    kept[..., 0] = kept[..., -1] = True
    ramp = torch.linspace(0, 1, 200).view(1, 1, 200)
    torch.testing.assert_close(way(ramp, kept, EXACT)[0], ramp, rtol=0, atol=1e-3)
    torch.testing.assert_close(way(ramp.mT, kept.mT, EXACT)[0], ramp.mT, rtol=0, atol=1e-3)


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_not_one_bit_depends_on_the_batch_or_on_the_number_of_threads(threads):
    shape = (70, 53)
    image, kept = picture(4, (2, *shape)), torch.cat([discs(shape), random_masks(shape, (0, 0.9, 0.5, 0.1, 1))])
    threads(1)
    alone = torch.cat([imputation.harmonic(image, mask.unsqueeze(0)) for mask in kept])
    for number in (1, 2, 3, 16):
        threads(number)
        assert torch.equal(imputation.harmonic(image, kept), alone)
        assert torch.equal(imputation.harmonic(image, kept.flip(0)), alone.flip(0))


def test_a_channel_is_restored_whatever_the_others_are():
    image, kept = picture(4, (3, 40, 30)), discs((40, 30))
    each = [imputation.harmonic(channel.unsqueeze(0), kept) for channel in image]
    assert torch.equal(imputation.harmonic(image, kept), torch.cat(each, dim=1))


@pytest.mark.parametrize("way", WAYS)
def test_of_a_grey_film_all_channels_are_restored_alike_and_have_noise_of_their_own(way):
    film, kept, noise = picture(4, (1, 40, 30)), discs((40, 30)), 0.1 * picture(6, (3, 40, 30))
    grey = film.expand(3, -1, -1)
    alone = way(film, kept)
    torch.testing.assert_close(way(grey, kept), alone.expand(-1, 3, -1, -1))
    wanted = torch.where(kept.unsqueeze(1), grey, (alone + noise).clamp(0, 1))
    torch.testing.assert_close(way(grey, kept, noise=noise), wanted)


def test_on_a_device_one_channel_of_a_grey_film_is_solved(monkeypatch):
    asked = []

    def spy(grid, known, tolerance):
        asked.append(known.shape[1])
        return torch.zeros_like(known)

    monkeypatch.setattr(imputation, "_conjugate_gradients", spy)
    together(picture(4, (1, 40, 30)).expand(3, -1, -1), discs((40, 30)))
    together(picture(4, (2, 40, 30)), discs((40, 30)))
    assert asked == [1, 2]


@pytest.mark.parametrize("way", WAYS)
def test_noise_is_added_to_what_is_restored_which_then_is_clipped_and_to_nothing_else(way):
    image, kept = picture(4), torch.zeros(1, 12, 9, dtype=torch.bool)
    kept[:, ::2] = True
    image[:, 0], image[:, 1] = 3, -2  # what is kept is not clipped
    plain = exact(image, kept)
    noise = picture(8) - 0.5
    wanted = torch.where(kept.unsqueeze(1), image, (plain + noise).clamp(0, 1))
    torch.testing.assert_close(way(image, kept, EXACT, noise), wanted, rtol=0, atol=1e-5)
    assert ((plain + noise)[:, :, 1::2] > 1).any()
    assert ((plain + noise)[:, :, 1::2] < 0).any()


def test_images_of_several_sizes_restored_at_once_are_those_restored_alone(threads):
    wanted = [
        Restoration(picture(seed, (channels, *shape)), random_masks(shape, (0.7, 0.2, 0.05)[:count], seed))
        for seed, (channels, shape, count) in enumerate([(2, (20, 31), 3), (1, (12, 9), 1), (3, (20, 31), 2)])
    ]
    alone = [imputation.harmonic(one.image, one.kept) for one in wanted]
    for number in (1, 2, 5):
        threads(number)
        found = imputation.restorations(wanted)
        assert all(torch.equal(*pair) for pair in zip(found, alone, strict=True))


def test_a_failure_in_any_thread_is_told(threads, monkeypatch):
    from xaibench import restoring

    def fail(room, picture, kept, *others):
        time.sleep(0.05)  # so that the other thread takes the other mask
        if not kept[0, 0]:
            raise MemoryError

    monkeypatch.setattr(restoring, "_restore", fail)
    threads(2)
    for number in range(2):
        kept = torch.ones(2, 12, 9, dtype=torch.bool)
        kept[number, 0, 0] = False
        with pytest.raises(MemoryError):
            imputation.harmonic(picture(), kept)


def test_no_mask_at_all_is_no_image():
    assert imputation.harmonic(picture(), torch.zeros(0, 12, 9, dtype=torch.bool)).shape == (0, 2, 12, 9)


def test_an_image_of_another_layout_and_type_is_restored_too():
    image, kept = picture(4, (2, 30, 40)), discs((30, 40))
    expected = imputation.harmonic(image, kept)
    turned = image.permute(1, 2, 0).contiguous().permute(2, 0, 1).requires_grad_()
    assert torch.equal(imputation.harmonic(turned, kept.float()), expected)
    precise = image.double() + 1e-12
    assert torch.equal(imputation.harmonic(precise, torch.ones(1, 30, 40, dtype=torch.bool))[0], precise)


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_the_compiler_is_loaded_only_to_restore_pixels():
    code = """
import sys, torch
from xaibench.infills import infill
image, kept = torch.rand(1, 8, 8), torch.rand(8, 8) > 0.5
infill("blur", image, 0)
print("numba" in sys.modules)
infill("noisy-linear", image, 0, kept)
print("numba" in sys.modules)
"""
    assert run(code) == ["False", "True"]
