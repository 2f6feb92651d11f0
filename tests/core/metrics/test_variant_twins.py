"""The same numbers as Quantus where it is right; and by hand, where it is not, what it does instead."""

import copy
import dataclasses
import warnings

import numpy as np
import pytest
import torch
from torch import nn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its own dependencies
    import quantus

from xaibench.isolation import isolated_randomness
from xaibench.metrics.robustness import AvgSensitivity, LocalLipschitz, MaxSensitivity
from xaibench.metrics.sanity import MPRT, EfficientMPRT
from xaibench.normalise import normalise
from xaibench.variants import image_of, parse

pytestmark = pytest.mark.filterwarnings("ignore")
DRAWS = [f"noise:uniform:0.05:{draw}" for draw in (1, 2, 3)]


@pytest.fixture
def network():
    with isolated_randomness(0):
        return nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(3 * 8 * 8, 2)).eval()


@pytest.fixture
def images():
    return np.random.default_rng(0).random((4, 1, 10, 10)).astype(np.float32)


TARGETS = np.array([0, 1, 1, 0])


def explain(model, inputs, targets, **_):
    """Absolute gradients, normalised image by image, as a case holds them."""
    leaf = torch.as_tensor(np.asarray(inputs), dtype=torch.float32).requires_grad_()
    model(leaf)[torch.arange(len(leaf)), torch.as_tensor(targets)].sum().backward()
    return normalise(leaf.grad.abs().sum(1).numpy())[:, None]


@pytest.fixture
def case(make_case, network, images):
    """What a run with three draws of noise would hand to a metric."""
    plain = explain(network, images, TARGETS)[:, 0]
    found = make_case(plain, np.ones_like(plain))
    seeds = (3, 5, 7, 9)
    noisy = {name: noise(images, seeds, name) for name in DRAWS}
    variants = {name: explain(network, some, TARGETS)[:, 0] for name, some in noisy.items()}
    return dataclasses.replace(found, images=images, seeds=seeds, targets=TARGETS, variants=variants)


def noise(images, seeds, name):
    return np.stack([image_of(parse(name), image, seed) for image, seed in zip(images, seeds, strict=True)])


def theirs(metric, network, images, case, **more):
    """A metric of Quantus that is given our noise, draw by draw."""
    draws = iter(DRAWS)

    def perturb(arr, **_):
        return noise(images, case.seeds, next(draws)).reshape(arr.shape)

    made = metric(nr_samples=3, perturb_func=perturb, abs=False, normalise=False, disable_warnings=True, **more)
    maps = case.maps[:, None]
    return made(
        model=network, x_batch=images, y_batch=TARGETS, a_batch=maps, explain_func=explain, device="cpu", batch_size=4
    )


@pytest.mark.parametrize(
    ("ours", "twin"), [(MaxSensitivity, quantus.MaxSensitivity), (AvgSensitivity, quantus.AvgSensitivity)]
)
def test_sensitivity_is_that_of_quantus_for_the_same_noise(ours, twin, network, images, case):
    expected = theirs(twin, network, images, case)
    assert min(expected) > 0.005
    np.testing.assert_allclose(ours(draws=3, radius=0.05).score(case), expected, rtol=1e-5)


def test_local_lipschitz_is_that_of_quantus_for_the_same_noise(network, images, case):
    expected = theirs(quantus.LocalLipschitzEstimate, network, images, case)
    assert min(expected) > 0.005
    np.testing.assert_allclose(LocalLipschitz(draws=3, radius=0.05).score(case), expected, rtol=1e-5)


def test_max_sensitivity_of_quantus_differs_from_call_to_call_and_ours_does_not(network, images, case):
    made = quantus.MaxSensitivity(nr_samples=2, disable_warnings=True)
    given = {"model": network, "x_batch": images, "y_batch": TARGETS, "a_batch": case.maps[:, None]}
    first, second = (made(**given, explain_func=explain, device="cpu") for _ in range(2))
    assert first != second
    assert all(np.array_equal(noise(images, case.seeds, name), noise(images, case.seeds, name)) for name in DRAWS)


def test_random_logit_of_quantus_sets_the_seed_of_everybody(network, images, case):
    np.random.seed(7)
    before = np.random.get_state()[1].copy()
    made = quantus.RandomLogit(num_classes=2, seed=42, disable_warnings=True)
    made(model=network, x_batch=images, y_batch=TARGETS, explain_func=explain, device="cpu")
    assert not np.array_equal(np.random.get_state()[1], before)


def test_the_noise_of_quantus_makes_pixels_that_no_image_has_and_ours_does_not(images, case):
    white = np.ones((1, 100), dtype=np.float32)
    theirs = quantus.MaxSensitivity(lower_bound=0.05, disable_warnings=True).perturb_func
    assert theirs(arr=white, indices=np.arange(100)[None]).max() > 1.01
    assert max(noise(np.ones_like(images), case.seeds, name).max() for name in DRAWS) == 1


def spoilt(network):
    """The networks that Quantus goes through, from the output down."""
    found = copy.deepcopy(network)
    for layer in (found[3], found[0]):
        torch.manual_seed(43)
        layer.reset_parameters()
        yield copy.deepcopy(found)


def test_mprt_is_that_of_quantus_for_the_same_networks(network, images, case):
    maps = [explain(one, images, TARGETS)[:, 0] for one in spoilt(network)]
    answer = MPRT(steps=2).score(
        dataclasses.replace(case, variants=dict(zip(MPRT(2).card.variants, maps, strict=True)))
    )
    made = quantus.MPRT(
        similarity_func=quantus.similarity_func.correlation_spearman, abs=False, normalise=False, disable_warnings=True
    )
    given = {"model": network, "x_batch": images, "y_batch": TARGETS, "a_batch": case.maps[:, None]}
    by_layer = made(**given, explain_func=explain, device="cpu")
    np.testing.assert_allclose(answer.curves, np.transpose([by_layer["3"], by_layer["0"]]), rtol=0, atol=1e-5)
    np.testing.assert_allclose(answer.values, by_layer["0"], rtol=0, atol=1e-5)


def test_the_average_of_quantus_counts_the_network_as_it_was_among_those_that_are_spoilt(network, images, case):
    """Were every spoilt map unlike the plain one, its average over two layers would still be a third."""
    options = {"abs": False, "normalise": False, "disable_warnings": True}
    options["similarity_func"] = quantus.similarity_func.correlation_spearman
    given = {"model": network, "x_batch": images, "y_batch": TARGETS, "a_batch": case.maps[:, None]}
    by_layer = quantus.MPRT(**options)(**given, explain_func=explain, device="cpu")
    average = quantus.MPRT(**options, return_average_correlation=True)(**given, explain_func=explain, device="cpu")
    assert by_layer["original"] == pytest.approx([1.0] * 4)
    of_the_spoilt = np.mean([by_layer["3"], by_layer["0"]], axis=0)
    np.testing.assert_allclose(average, (1 + 2 * of_the_spoilt) / 3, atol=1e-6)
    assert np.abs(average - of_the_spoilt).min() > 0.05


def test_the_entropy_of_efficient_mprt_is_that_of_quantus(network, images, case):
    *_, last = spoilt(network)
    maps = explain(last, images, TARGETS)[:, 0]
    before, after = (
        np.array([quantus.complexity_func.discrete_entropy(one, one) for one in of]) for of in (case.maps, maps)
    )
    ours = EfficientMPRT().score(dataclasses.replace(case, variants={"cascade:100": maps}))
    np.testing.assert_allclose(ours, (after - before) / before, rtol=0, atol=1e-5)
