"""What every registered explainer promises, whatever it computes."""

import contextlib
import random
from importlib.metadata import entry_points

import numpy as np
import pytest
import torch

from xaibench.classifier import TorchClassifier
from xaibench.guard import Guard
from xaibench.isolation import isolated_randomness
from xaibench.normalise import invalid

POINTS = {point.name: point for point in entry_points(group="xaibench.explainers") if point.dist.name == "xaibench"}


@pytest.fixture(params=sorted(POINTS))
def factory(request):
    return POINTS[request.param].load()


@pytest.fixture
def batch(factory, make_batch, channels):
    """No more evidence than the card asks for."""
    needs = factory.card.needs
    return make_batch(channels=channels, masks="masks" in needs, prior="prior" in needs)


def explain(factory, classifier, batch):
    return np.asarray(factory().explain(classifier, batch), dtype=np.float32)


def test_explainers_are_registered():
    assert {"gradcam", "saliency", "random", "roi"} <= set(POINTS)


@pytest.mark.parametrize("name", sorted(POINTS))
def test_the_registered_name_is_that_of_the_card(name):
    assert POINTS[name].load().card.name == name


def test_a_map_is_finite_and_as_large_as_the_image(factory, classifier, batch):
    maps = explain(factory, classifier, batch)
    assert maps.shape == (8, 40, 32)
    assert np.isfinite(maps).all()


def test_all_maps_but_those_of_nothing_can_be_scored(factory, classifier, batch):
    """The last image has no lesion: what shows lesions alone has nothing to show there."""
    reasons = invalid(explain(factory, classifier, batch), factory.card.sign.replace("signed", "absolute"))
    flat = {"constant": range(8), "roi": [7], "roi-grid": [7]}.get(factory.card.name, ())
    assert [i for i, reason in enumerate(reasons) if reason] == list(flat)


def test_the_same_seeds_give_the_same_maps_bit_for_bit(factory, classifier, batch):
    np.testing.assert_array_equal(explain(factory, classifier, batch), explain(factory, classifier, batch))


def test_other_seeds_give_other_maps_only_if_the_card_says_stochastic(factory, classifier, batch, part):
    other = part(batch, list(range(8)))
    object.__setattr__(other, "seeds", tuple(seed + 1000 for seed in batch.seeds))
    same = [
        np.array_equal(*pair)
        for pair in zip(explain(factory, classifier, batch), explain(factory, classifier, other), strict=True)
    ]
    assert same == [not factory.card.stochastic] * 8


@pytest.mark.parametrize("size", [1, 3, 8])
@pytest.mark.parametrize("order", [range(8), [5, 2, 7, 0, 3, 6, 1, 4]], ids=["in order", "shuffled"])
def test_a_map_depends_neither_on_its_neighbours_nor_on_its_place(factory, classifier, batch, part, size, order):
    expected = explain(factory, classifier, batch)
    maps = np.empty_like(expected)
    for start in range(0, 8, size):
        indices = list(order)[start : start + size]
        maps[indices] = explain(factory, classifier, part(batch, indices))
    largest = np.abs(expected).max(axis=(1, 2), keepdims=True)
    assert (np.abs(maps - expected) <= 1e-5 * largest).all()


def test_the_network_is_left_as_it_was(factory, classifier, batch):
    guard = Guard(classifier.network)
    explain(factory, classifier, batch)
    assert guard.changes() == ""


def test_an_error_inside_the_network_leaves_no_hook(factory, classifier, make_batch, channels):
    guard = Guard(classifier.network)
    wrong = make_batch(channels=channels + 1)
    uses_network = factory.card.family != "reference"
    with pytest.raises(RuntimeError, match="channels") if uses_network else contextlib.nullcontext():
        explain(factory, classifier, wrong)
    assert guard.changes() == ""


def test_global_random_generators_are_left_as_they_were(factory, classifier, batch):
    """From a state of its own, since an explainer that seeds them may have left them in that very state before."""

    def states():
        return random.getstate(), np.random.get_state(), torch.get_rng_state().numpy()

    with isolated_randomness(20260723):
        before = states()
        explain(factory, classifier, batch)
        np.testing.assert_equal(states(), before)


def test_the_batch_is_left_as_it_was(factory, classifier, batch, part):
    copy = part(batch, list(range(8)))
    explain(factory, classifier, batch)
    assert torch.equal(batch.images, copy.images)
    assert not batch.images.requires_grad
    assert batch.images.grad is None
    assert torch.equal(batch.targets, copy.targets)
    np.testing.assert_equal(batch.masks, copy.masks)


def test_the_maps_are_no_window_into_the_batch(factory, classifier, batch):
    maps = factory().explain(classifier, batch)
    image, truth = batch.images.clone(), None if batch.masks is None else batch.masks.copy()
    maps += 1
    assert torch.equal(batch.images, image)
    np.testing.assert_equal(batch.masks, truth)


def test_the_class_matters_if_and_only_if_the_card_says_so(factory, classifier, batch, part):
    other = part(batch, list(range(8)))
    object.__setattr__(other, "targets", (batch.targets + 1) % 3)
    pairs = zip(explain(factory, classifier, batch), explain(factory, classifier, other), strict=True)
    assert [not np.array_equal(*pair) for pair in pairs] == [factory.card.class_sensitive] * 8


def test_only_explainers_that_ask_for_gradients_pass_backward(factory, classifier, batch):
    explain(factory, classifier, batch)
    assert (classifier.counters.backward > 0) == ("gradients" in factory.card.needs)


def test_no_pass_is_larger_than_the_batch(factory, network, classifier, batch):
    """The harness chose a batch that fits into memory."""
    sizes = [0]
    network.register_forward_pre_hook(lambda _module, inputs: sizes.append(len(inputs[0])))
    explain(factory, classifier, batch)
    assert max(sizes) <= 8


def test_reference_rows_never_look_at_the_model(factory, classifier, batch):
    explain(factory, classifier, batch)
    assert (classifier.counters.forward == 0) == (factory.card.family == "reference") == bool(factory.card.reference)


def test_half_precision_changes_the_numbers_but_not_their_kind(factory, network, batch):
    half = TorchClassifier(network, ("a", "b", "c"), "features", precision="bf16")
    maps = factory().explain(half, batch)
    assert maps.dtype in (np.float32, torch.float32)
    assert np.isfinite(np.asarray(maps)).all()


def test_maps_come_without_a_graph(factory, classifier, batch):
    assert not getattr(factory().explain(classifier, batch), "requires_grad", False)
