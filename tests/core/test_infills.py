import numpy as np
import pytest
import scipy.sparse.linalg
import torch

from xaibench import imputation
from xaibench.errors import UsageError
from xaibench.imputation import restorations
from xaibench.infills import IMPUTED, NAMES, NOISE, PLAIN, Infill, infill


def harmonic(image, kept):
    """To the last bit that single precision has."""
    return imputation.harmonic(image, kept, tolerance=1e-7)


def picture(seed=0, shape=(2, 12, 9)):
    return torch.from_numpy(np.random.default_rng(seed).random(shape, dtype=np.float32))


def some_kept(seed=1, shape=(12, 9), share=0.5):
    return torch.from_numpy(np.random.default_rng(seed).random(shape) < share)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_infill_and_nothing_else_matters(name):
    torch.manual_seed(1)
    first = infill(name, picture(), 7, some_kept())
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert torch.equal(infill(name, picture(), 7, some_kept()), first)
    assert torch.equal(torch.get_rng_state(), before)
    assert first.shape == (2, 12, 9)
    assert first.dtype == torch.float32


@pytest.mark.parametrize("name", ["noise", "noisy-linear"])
def test_another_seed_gives_another_random_infill(name):
    assert not torch.equal(infill(name, picture(), 7, some_kept()), infill(name, picture(), 8, some_kept()))


@pytest.mark.parametrize("name", NAMES)
def test_infills_stay_in_the_range_of_pixels(name):
    filled = infill(name, picture(), 7, some_kept())
    assert filled.min() >= 0
    assert filled.max() <= 1


def test_black_and_mean_by_hand():
    image = torch.tensor([[[0.0, 1.0], [0.5, 0.1]], [[1.0, 1.0], [0.0, 0.0]]])
    assert torch.equal(infill("black", image, 0), torch.zeros(2, 2, 2))
    mean = infill("mean", image, 0)
    torch.testing.assert_close(mean, torch.tensor([0.4, 0.5])[:, None, None].expand(2, 2, 2))


def test_noise_is_the_same_pixels_elsewhere():
    image = picture(shape=(2, 8, 8))
    noise = infill("noise", image, 3)
    pairs = [tuple(pixel) for pixel in image.flatten(1).T.tolist()]
    assert sorted(pairs) == sorted(tuple(pixel) for pixel in noise.flatten(1).T.tolist())
    assert (noise != image).float().mean() > 0.9


def test_blur_keeps_a_flat_image_and_spreads_a_point_as_a_gaussian_does():
    flat = torch.full((1, 40, 30), 0.3)
    torch.testing.assert_close(infill("blur", flat, 0), flat)
    point = torch.zeros(1, 41, 41)
    point[0, 20, 20] = 1
    blurred = infill("blur", point, 0)[0]
    sigma = 0.05 * 41
    assert blurred.sum() == pytest.approx(1, abs=1e-5)
    assert blurred[20, 22] / blurred[20, 20] == pytest.approx(np.exp(-(2**2) / (2 * sigma**2)), rel=1e-5)
    assert blurred[19, 22] / blurred[20, 20] == pytest.approx(np.exp(-(1 + 2**2) / (2 * sigma**2)), rel=1e-5)


@pytest.mark.parametrize("name", ["black", "mean", "blur"])
def test_an_infill_without_chance_is_flipped_with_the_image(name):
    image = picture(shape=(1, 17, 10))
    torch.testing.assert_close(infill(name, image.flip(2), 0), infill(name, image, 0).flip(2))
    torch.testing.assert_close(infill(name, image.flip(1), 0), infill(name, image, 0).flip(1))


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 5), (1, 2, 2)])
@pytest.mark.parametrize("name", NAMES)
def test_tiny_images_have_infills(name, shape):
    filled = infill(name, torch.full(shape, 0.5), 0, torch.zeros(shape[1:], dtype=torch.bool))
    assert filled.shape == shape
    assert ((filled - 0.5).abs() < 6 * NOISE).logical_or(filled == 0).all()


# ------------------------------------------------------------------------------------------------------ imputation


def test_interpolation_restores_a_linear_ramp():
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(20.0), indexing="ij")
    ramp = (0.01 * rows + 0.02 * columns + 0.1).unsqueeze(0)
    kept = some_kept(shape=(16, 20), share=0.3)
    kept[0], kept[-1], kept[:, 0], kept[:, -1] = True, True, True, True  # at the border a mean is one-sided
    torch.testing.assert_close(harmonic(ramp, kept.unsqueeze(0))[0], ramp, rtol=0, atol=1e-5)


def test_one_pixel_is_the_weighted_mean_of_its_neighbours_by_hand():
    image = torch.tensor([[[0.1, 0.2, 0.3], [0.4, 0.9, 0.5], [0.6, 0.7, 0.8]]])
    kept = torch.ones(1, 3, 3, dtype=torch.bool)
    kept[0, 1, 1] = False
    expected = (0.2 + 0.4 + 0.5 + 0.7) / 6 + (0.1 + 0.3 + 0.6 + 0.8) / 12
    assert harmonic(image, kept)[0, 0, 1, 1].item() == pytest.approx(expected, abs=1e-6)


def test_at_a_corner_only_the_neighbours_that_exist_are_weighed():
    image = torch.tensor([[[0.9, 0.2, 0.3], [0.4, 0.7, 0.5], [0.6, 0.7, 0.8]]])
    kept = torch.ones(1, 3, 3, dtype=torch.bool)
    kept[0, 0, 0] = False
    # Two neighbours beside (1/6 each) and one across the corner (1/12): weights 2, 2, 1 of 5.
    expected = (2 * 0.2 + 2 * 0.4 + 0.7) / 5
    assert harmonic(image, kept)[0, 0, 0, 0].item() == pytest.approx(expected, abs=1e-6)


def test_two_neighbouring_removed_pixels_by_hand():
    image = torch.tensor([[[0.0, 0.5, 0.5, 1.0]]])
    kept = torch.tensor([[[True, False, False, True]]])
    # In one row only the two beside exist: a = (0 + b) / 2 and b = (a + 1) / 2, so a = 1/3 and b = 2/3.
    torch.testing.assert_close(harmonic(image, kept)[0, 0, 0], torch.tensor([0, 1 / 3, 2 / 3, 1]), rtol=0, atol=1e-5)


def exact(image, kept):
    """The sparse system, solved directly."""
    H, W = image.shape[1:]
    places = np.arange(H * W).reshape(H, W)
    matrix = scipy.sparse.lil_matrix((H * W, H * W))
    for r, c in [(r, c) for r in (-1, 0, 1) for c in (-1, 0, 1) if (r, c) != (0, 0)]:
        here = places[max(0, -r) : H - max(0, r), max(0, -c) : W - max(0, c)].ravel()
        there = places[max(0, r) : H + min(0, r), max(0, c) : W + min(0, c)].ravel()
        matrix[here, there] = 1 / 12 if r and c else 1 / 6
    matrix = matrix.tocsr()
    weights = scipy.sparse.diags(np.asarray(matrix.sum(axis=1)).ravel())
    filled = []
    for mask in kept.numpy():
        unknown, pixels = places[~mask], image.double().numpy().reshape(len(image), -1).T.copy()
        known = matrix[unknown][:, places[mask]] @ pixels[places[mask]]
        pixels[unknown] = scipy.sparse.linalg.spsolve((weights - matrix)[unknown][:, unknown].tocsc(), known)[:, None]
        filled.append(torch.from_numpy(pixels.T.reshape(image.shape)).float())
    return torch.stack(filled)


def slow_harmonic(image, kept, rounds=20000):
    """Each removed pixel becomes the mean of its neighbours, again and again, until nothing moves."""
    filled = image.double().numpy().copy()
    H, W = kept.shape
    filled[:, ~kept.numpy()] = 0.5
    places = [tuple(place) for place in np.argwhere(~kept.numpy())]
    for _ in range(rounds):
        before = filled.copy()
        for row, column in places:
            total, weights = 0, 0
            for r, c in [(r, c) for r in (-1, 0, 1) for c in (-1, 0, 1) if (r, c) != (0, 0)]:
                if 0 <= row + r < H and 0 <= column + c < W:
                    weight = 1 / 12 if r and c else 1 / 6
                    total, weights = total + weight * filled[:, row + r, column + c], weights + weight
            filled[:, row, column] = total / weights
        if np.abs(filled - before).max() < 1e-9:
            break
    return torch.from_numpy(filled).float()


@pytest.mark.parametrize("share", [0.95, 0.5, 0.1, 0.02])
def test_interpolation_agrees_with_its_slow_twin(share):
    image, kept = picture(5), some_kept(6, share=share)
    torch.testing.assert_close(harmonic(image, kept.unsqueeze(0))[0], slow_harmonic(image, kept), rtol=0, atol=1e-5)


def test_the_tolerance_in_use_is_far_below_the_noise_that_is_added():
    image = picture(5, (1, 120, 90))
    rows, columns = torch.meshgrid(torch.arange(120), torch.arange(90), indexing="ij")
    blobs = [(rows - 60) ** 2 + (columns - 45) ** 2 > radius**2 for radius in (5, 20, 44)]
    kept = torch.stack([*blobs, *(~blob for blob in blobs), some_kept(shape=(120, 90)), some_kept(2, (120, 90), 0.05)])
    assert (imputation.harmonic(image, kept) - exact(image, kept)).abs().max() < NOISE / 10


def test_many_masks_at_once_are_the_same_as_one_by_one():
    image = picture(5)
    kept = torch.stack([some_kept(seed, share=share) for seed, share in enumerate((0.9, 0.5, 0.1, 0, 1))])
    together = harmonic(image, kept)
    torch.testing.assert_close(together, torch.cat([harmonic(image, one.unsqueeze(0)) for one in kept]))
    assert torch.equal(together[-1], image)


def test_where_nothing_is_left_the_mean_of_each_channel_is_filled_in():
    image = picture(5)
    filled = harmonic(image, torch.zeros(1, 12, 9, dtype=torch.bool))[0]
    torch.testing.assert_close(filled, image.mean(dim=(1, 2), keepdim=True).expand_as(image))


def test_imputing_leaves_the_kept_pixels_alone_and_adds_noise_to_the_others():
    image, kept = torch.full((1, 60, 60), 0.5), some_kept(shape=(60, 60))
    filled = Infill("noisy-linear").impute(image, kept.unsqueeze(0), 3)[0]
    assert torch.equal(filled[:, kept], image[:, kept])
    assert (filled[:, ~kept] - 0.5).std().item() == pytest.approx(NOISE, rel=0.1)
    fewer = kept & some_kept(9, shape=(60, 60))
    again = Infill("noisy-linear").impute(image, fewer.unsqueeze(0), 3)[0]
    torch.testing.assert_close(again[:, ~kept], filled[:, ~kept])  # the same noise at the same place


# -------------------------------------------------------------------------------------------------------- the objects


@pytest.mark.parametrize("name", NAMES)
def test_maskings_show_the_kept_pixels_and_the_infill_elsewhere(name):
    image, masks = picture(), torch.stack([some_kept(seed) for seed in range(20)])
    chunks = [masks[:3], masks[3], masks[4:]]
    maskings = list(Infill(name).maskings(image, iter(chunks), 5))
    seen = []
    for masking in maskings:
        kept = torch.cat([item.reshape(-1, 12, 9) for item in masking.masks])
        seen.append(torch.where(kept.unsqueeze(1), masking.image, masking.infill))
    wanted = [torch.where(mask, image, infill(name, image, 5, mask)) for mask in masks]
    torch.testing.assert_close(torch.cat(seen), torch.stack(wanted))


def test_images_are_imputed_together_up_to_a_limit_and_each_as_by_itself(monkeypatch):
    monkeypatch.setattr("xaibench.infills.AHEAD", 12 * 9 * 2 * 39)
    sizes = []

    def spy(wanted):
        sizes.append([len(one.kept) for one in wanted])
        return restorations(wanted)

    monkeypatch.setattr("xaibench.infills.restorations", spy)
    images = [(picture(seed), torch.stack([some_kept(seed + n) for n in range(20)]), seed) for seed in range(3)]
    found = list(Infill("noisy-linear").all_maskings((image, iter([masks]), seed) for image, masks, seed in images))
    assert sizes == [[16, 4, 16], [4, 16, 4]]
    together = torch.cat([masking.infill for masking in found])
    alone = torch.cat([Infill("noisy-linear").impute(*one) for one in images])
    assert torch.equal(together, alone)


def test_images_without_a_mask_are_not_all_held(monkeypatch):
    monkeypatch.setattr("xaibench.infills.AHEAD", 12 * 9 * 2 * 3)
    taken = []

    def images():
        for number in range(10):
            taken.append(number)
            yield picture(), iter([torch.zeros(0, 12, 9, dtype=torch.bool)]), number

    next(Infill("noisy-linear").all_maskings(images()))
    assert len(taken) < 6


@pytest.mark.parametrize("shape", [(5, 7, 9), (5, 12, 7), (5, 12, 20)])
def test_masks_of_another_size_are_refused(shape):
    with pytest.raises(ValueError, match=r"masks of \(.*\) pixels for an image of \(12, 9\)"):
        Infill("noisy-linear").impute(picture(), torch.zeros(shape, dtype=torch.bool), 0)


def test_what_cannot_be_is_refused():
    with pytest.raises(UsageError, match="black, mean, blur, noise, noisy-linear"):
        infill("inpainted", picture(), 0)
    with pytest.raises(UsageError, match="depends on the mask"):
        infill("noisy-linear", picture(), 0)
    assert {*PLAIN, *IMPUTED} == set(NAMES)


def test_an_image_whose_gradient_is_watched_can_be_imputed():
    kept = some_kept(0)
    watched = infill("noisy-linear", picture().requires_grad_(), 3, kept)
    assert torch.equal(watched.detach(), infill("noisy-linear", picture(), 3, kept))
