"""Where our values differ from those of Quantus and pytorch-grad-cam, the answer by hand."""

import warnings

import numpy as np
import pytest
import torch

from xaibench.metrics import responses
from xaibench.metrics.additivity import SensitivityN
from xaibench.metrics.deletion import Deletion
from xaibench.metrics.road import RoadMost

quantus = pytest.importorskip("quantus")
QUIET = {"abs": False, "normalise": False, "disable_warnings": True}


@pytest.fixture(autouse=True)
def _their_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def flipped(network, images, maps, **others):
    metric = quantus.PixelFlipping(features_in_step=1, **QUIET, **others)
    return np.array(metric(network, images, np.ones(len(images), dtype=int), a_batch=maps, softmax=False, device="cpu"))


def sequential(network):
    return torch.nn.Sequential(network).eval()


def test_black_is_black_and_not_the_darkest_pixel_of_the_image(kit):
    network = sequential(kit.Weighed(np.ones((1, 2, 2))))
    images, maps = np.float32([[[[0.5, 1.0], [1.0, 1.0]]]]), np.float32([[[0.1, 0.9], [0.6, 0.3]]])
    # In the end all is black: a sum of 0. There, the darkest pixel (.5) is filled in four times.
    ours = Deletion(steps=4, infill="black", output="logit").score(kit.case(network, maps, images)).curves
    np.testing.assert_allclose(ours, [[3.5, 2.5, 1.5, 0.5, 0]])
    np.testing.assert_allclose(flipped(network, images, maps[:, None], perturb_baseline="black"), [[3, 2.5, 2, 2]])


def test_the_mean_of_the_image_stays_what_it_was_when_pixels_go(kit):
    network = sequential(kit.Weighed(np.ones((1, 2, 2))))
    images, maps = np.float32([[[[1.0, 0.0], [0.0, 0.0]]]]), np.float32([[[1.0, 0.75], [0.5, 0.25]]])
    # The mean is .25: the sum is 1, then .25, .5, .75 and 1. There, the mean is taken again from what is left at each
    # step: .25/4 after the first, so the second adds a sixteenth.
    ours = Deletion(steps=4, infill="mean", output="logit").score(kit.case(network, maps, images)).curves
    np.testing.assert_allclose(ours, [[1, 0.25, 0.5, 0.75, 1]])
    theirs = flipped(network, images, maps[:, None], perturb_baseline="mean")
    np.testing.assert_allclose(theirs[0, :2], [0.25, 0.25 + 0.25 / 4])


def test_the_area_includes_the_untouched_image_and_exists_with_numpy_2(kit):
    network = sequential(kit.Weighed([[[8, 4], [2, 1]]]))
    maps, images = np.float32([[[0.9, 0.5], [0.7, 0.1]]]), np.ones((1, 1, 2, 2), dtype=np.float32)
    ours = Deletion(steps=4, infill="black", output="logit").score(kit.case(network, maps, images)).values
    np.testing.assert_allclose(ours, [((15 + 7) / 2 + (7 + 5) / 2 + (5 + 1) / 2 + (1 + 0) / 2) / 4])
    if hasattr(np, "trapz"):
        theirs = flipped(network, images, maps[:, None], perturb_baseline=0.0, return_auc_per_sample=True)
        np.testing.assert_allclose(theirs, [(7 + 5) / 2 + (5 + 1) / 2 + (1 + 0) / 2])
    else:
        with pytest.raises(AttributeError, match="trapz"):
            flipped(network, images, maps[:, None], perturb_baseline=0.0, return_auc_per_sample=True)


def test_tied_pixels_are_not_removed_from_the_top_left_on(kit):
    """Three pixels are tied at the top, and the last is the lowest."""
    white, tied = np.ones((300, 1, 2, 2), dtype=np.float32), np.tile(np.float32([[1, 1], [1, 0]]), (300, 1, 1))
    network = sequential(kit.Weighed([[[8, 4], [2, 1]]]))
    ours = Deletion(steps=4, infill="black", output="logit").score(kit.case(network, tied, white)).curves[:, 1]
    assert set(np.round(ours)) == {7, 11, 13}  # each of the three is the first to go somewhere
    theirs = flipped(network, white[:20], tied[:20, None], perturb_baseline=0.0)
    assert len(set(theirs[:, 0])) == 1  # always the same one


def test_road_takes_colour_images(kit):
    network, maps, images = sequential(kit.Placed((12, 12), 3)), kit.maps(0, 2, (12, 12)), kit.images(1, 2, (12, 12), 3)
    assert np.isfinite(kit.values(RoadMost(), kit.case(network, maps, images))).all()
    with pytest.raises(IndexError):
        quantus.ROAD(percentages=[90], **QUIET)(
            network, images, np.ones(2, dtype=int), a_batch=maps[:, None], device="cpu"
        )


def test_road_counts_every_image_and_not_the_first_batch(kit):
    network = sequential(kit.Weighed(np.ones((1, 6, 6))))
    images, maps = kit.images(0, 6, (6, 6)), kit.maps(1, 6, (6, 6))
    targets = np.array([1, 1, 1, 0, 0, 0])  # the network says 1 of every image
    ours = RoadMost(output="accuracy", steps=1).score(kit.case(network, maps, images, targets))
    assert ours.values.tolist() == [1, 1, 1, 0, 0, 0]
    metric = quantus.ROAD(percentages=[50], noise=0.01, **QUIET)
    theirs = metric(network, images, targets, a_batch=maps[:, None], device="cpu", batch_size=3)
    assert theirs == {50: 1.0}  # the second half of the images is lost


def test_sensitivity_n_is_a_value_of_one_image(kit):
    weights = np.random.default_rng(0).random((6, 6)).astype(np.float32)
    network, images = sequential(kit.Weighed(weights[None])), np.ones((1, 1, 6, 6), dtype=np.float32)
    ours = SensitivityN(infill="black", cells=0).score(kit.case(network, weights[None], images))
    np.testing.assert_allclose(ours, [1], atol=1e-5)  # the weights explain a linear network perfectly
    metric = quantus.SensitivityN(features_in_step=1, n_max_percentage=0.8, **QUIET)
    with pytest.raises(ValueError, match="length at least 2"):  # it correlates the images of a batch with each other
        metric(network, images, np.ones(1, dtype=int), a_batch=weights[None, None], device="cpu")


def test_infidelity_hides_one_square_at_a_time(kit):
    """There, what was hidden before stays hidden."""
    seen = []

    class Watched(kit.Weighed):
        def forward(self, images):
            seen.append(int((images == 0).sum()))
            return super().forward(images)

    network, images = sequential(Watched(np.ones((1, 4, 4)))), np.ones((1, 1, 4, 4), dtype=np.float32)
    metric = quantus.Infidelity(perturb_patch_sizes=[2], n_perturb_samples=1, perturb_baseline=0.0, **QUIET)
    metric(network, images, np.ones(1, dtype=int), a_batch=kit.maps(0, 1, (4, 4))[:, None], device="cpu")
    hidden = [count for count in seen if count]
    assert hidden == [4, 8, 12, 16]


def test_the_noise_of_pytorch_grad_cams_road_is_that_of_the_global_generator_and_ours_the_images_own(kit):
    road = pytest.importorskip("pytorch_grad_cam.metrics.road")
    image, kept = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.ones(8, 8)
    kept[2:6, 2:6] = 0
    theirs = [road.NoisyLinearImputer()(image, kept) for _ in range(2)]
    assert not torch.equal(*theirs)
    case = kit.case(kit.Placed((12, 8)), kit.maps(1), kit.images(2))
    first = kit.values(RoadMost(), case)
    responses.forget()
    np.testing.assert_array_equal(kit.values(RoadMost(), case), first)
