"""The toys are what they say: where a closed form is promised, explainers that must meet it do."""

import numpy as np
import pytest
import torch

from xaibench.registry import create
from xaibench.testing import (
    Additive,
    AttentiveCNN,
    Linear,
    PixelDetector,
    PlantedTask,
    ToyCNN,
    ToyTransformer,
    batch_of,
    case_of,
    classifier_of,
    lesion_maps,
    noise_maps,
    planted_samples,
)

SHAPE = (1, 16, 16)


@pytest.fixture
def batch():
    return batch_of(planted_samples(3, SHAPE))


@pytest.fixture
def weights():
    return torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(1))


def maps_of(reference, network, batch):
    return np.asarray(create("explainers", reference).plugin.explain(classifier_of(network), batch))


@pytest.mark.parametrize("reference", ["input-x-gradient", "integrated-gradients", "deeplift"])
def test_attributions_of_the_linear_network_are_weight_times_pixel(reference, batch, weights):
    expected = weights[batch.targets, 0] * batch.images[:, 0]
    np.testing.assert_allclose(maps_of(reference, Linear(weights), batch), expected, atol=1e-5)


def test_the_gradient_of_the_linear_network_is_its_weights(batch, weights):
    np.testing.assert_allclose(maps_of("saliency", Linear(weights), batch), weights[batch.targets, 0].abs(), atol=1e-6)


def test_the_bias_of_the_linear_network_is_added():
    network = Linear(torch.ones(2, 1, 2, 2), torch.tensor([0.5, -1.0]))
    assert network(torch.ones(1, 1, 2, 2)).tolist() == [[4.5, 3.0]]


def test_integrated_gradients_of_the_additive_network_are_weight_times_square(batch, weights):
    expected = weights[batch.targets, 0] * batch.images[:, 0] ** 2
    found = maps_of("integrated-gradients(steps=200)", Additive(weights), batch)
    np.testing.assert_allclose(found, expected, atol=0.01 * float(expected.abs().max()))
    doubled = maps_of("input-x-gradient", Additive(weights), batch)
    np.testing.assert_allclose(doubled, 2 * expected, atol=1e-5)


@pytest.mark.parametrize("reference", ["saliency", "integrated-gradients", "occlusion(window=1, stride=1)"])
def test_a_map_of_the_pixel_detector_points_at_its_pixel(reference, batch):
    images, targets = batch.images.clone(), torch.ones(3, dtype=torch.long)
    images[:, :, 5, 9] = 0.8
    planted = batch_of(planted_samples(3, SHAPE))
    object.__setattr__(planted, "images", images)
    object.__setattr__(planted, "targets", targets)
    network = PixelDetector(5, 9)
    found = np.asarray(create("explainers", reference).plugin.explain(classifier_of(network, ("no", "yes")), planted))
    assert [divmod(int(one.argmax()), SHAPE[2]) for one in found] == [(5, 9)] * 3
    assert np.count_nonzero(found) == 3


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", [ToyCNN, AttentiveCNN, ToyTransformer])
def test_toy_networks_take_any_size_and_are_the_same_everywhere(kind, channels):
    images = torch.rand(2, channels, 24, 40, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        first, second = (kind(channels).eval()(images) for _ in range(2))
    assert first.shape == (2, 3)
    assert torch.equal(first, second)
    assert first.std() > 0


def test_planted_images_are_bright_where_the_lesion_lies():
    for sample in planted_samples(6, SHAPE):
        (lesion,) = sample.lesions
        marker = sample.regions["marker"]
        assert lesion.sum() == 49
        assert sample.image[0][lesion].mean() > sample.image[0][~lesion & ~marker].mean() + 0.2
        assert (sample.image[:, marker] == 1).all()
        assert not (lesion & marker).any()
        assert sample.image.min() >= 0
        assert sample.image.max() <= 1


def test_planted_samples_can_be_normal():
    assert [sample.lesions for sample in planted_samples(2, normal=True)] == [(), ()]


def test_the_planted_task_keeps_the_promises_of_a_task():
    task = PlantedTask(3, 24, 32)
    assert task.load(task.entries("test", 0)[1]).image.shape == (3, 24, 32)


def test_a_case_has_the_maps_normalised_and_the_logits_of_its_network():
    samples = planted_samples(3)
    classifier = classifier_of(ToyCNN())
    case = case_of(samples, 5 * noise_maps(samples) + 2, ("seed:1",), classifier)
    assert (case.maps.min(), case.maps.max()) == (0, 1)
    images = torch.from_numpy(np.stack([sample.image for sample in samples]))
    np.testing.assert_allclose(case.logits, classifier.logits(images), rtol=1e-6)
    assert case.variants["seed:1"].shape == case.maps.shape
    assert np.array_equal(case.masks, lesion_maps(samples) > 0)
