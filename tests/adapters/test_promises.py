"""What every registered explainer promises, whatever it computes, on a convolutional network and on a transformer."""

import contextlib
import random
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.metadata import entry_points
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import VisionTransformer

from xaibench.classifier import TorchClassifier
from xaibench.errors import UsageError
from xaibench.guard import Guard
from xaibench.isolation import isolated_randomness
from xaibench.normalise import invalid
from xaibench.registry import create

POINTS = {point.name: point for point in entry_points(group="xaibench.explainers") if point.dist.name == "xaibench"}
del POINTS["maps"]  # of files that somebody has: tests/own/test_maps.py
CLASSES = ("a", "b", "c")
COUNT = 3  # images


class TinyTransformer(VisionTransformer):
    """torchvision's, with weights for which no class activation map is empty."""

    def __init__(self):
        super().__init__(
            image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=len(CLASSES)
        )
        generator = torch.Generator().manual_seed(13)
        with torch.no_grad():
            for name, tensor in self.named_parameters():
                scale = 1 if "ln" in name and name.endswith("weight") else 0  # of a layer normalisation
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.4 + scale)


class FeatureAttention(nn.Module):
    """Feature maps that attend to feature maps, with the parts that such modules have."""

    def __init__(self, channels):
        super().__init__()
        self.query, self.key, self.scale = nn.Conv2d(channels, 4, 1), nn.Conv2d(channels, 4, 1), 0.5

    def forward(self, x, y):
        weights = torch.einsum("bcij,bckl->bijkl", self.query(x) * self.scale, self.key(y)).flatten(3).softmax(dim=3)
        return x + torch.einsum("bijn,bcn->bcij", weights, y.flatten(2))


class AttentiveNet(nn.Module):
    """A convolutional network with attention between feature maps."""

    def __init__(self):
        super().__init__()
        self.features, self.attention = nn.Conv2d(1, 8, 4, stride=4), FeatureAttention(8)
        self.head = nn.Linear(8, len(CLASSES))
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for tensor in self.parameters():
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.5)

    def forward(self, images):
        maps = F.relu(self.features(images))
        return self.head(self.attention(maps, maps).mean(dim=(2, 3)))


@dataclass(frozen=True)
class Kind:
    """A kind of network: what its card would provide, and the images it takes."""

    provides: frozenset
    cam_layer: str
    channels: int
    size: tuple


KINDS = {
    "cnn": Kind(frozenset({"gradients", "cam_layer"}), "features", 1, (40, 32)),
    "vit": Kind(frozenset({"gradients", "cam_layer", "attention"}), "encoder.layers.encoder_layer_1.ln_1", 3, (32, 32)),
    "attentive": Kind(frozenset({"gradients", "cam_layer", "attention"}), "features", 1, (40, 32)),
}
# What a card cannot say: the network is looked at, and refused with the reason.
REFUSED = {
    ("vit", "guided-backprop"): "has none",
    ("vit", "guided-gradcam"): "has none",
    ("vit", "deconvolution"): "has none",
    ("vit", "deeplift"): "no rule for layer_norm",
    ("vit", "deeplift-shap"): "no rule for layer_norm",
    ("vit", "lrp"): "no rule for layer_norm",
    ("vit", "hmc-attention"): "no attention between feature maps",
    ("attentive", "attention-rollout"): "no torch.nn.MultiheadAttention",
    ("attentive", "attention-gradient"): "no torch.nn.MultiheadAttention",
}
# Divisors that all but cancel where activations are negative too leave fewer digits; so do products of all layers.
TOLERANCE = {"xgradcam": 1e-4, "gradcam++": 1e-4, "attention-gradient": 1e-4}


def provided(kind, name):
    """Whether the plan would try this pair. The third kind is there for what the others lack alone."""
    needs = POINTS[name].load()().card.needs - {"masks", "prior"}
    return needs <= KINDS[kind].provides and (kind != "attentive" or "attention" in needs)


PAIRS = [
    pytest.param(kind, name, id=f"{name}-{kind}")
    for name in sorted(POINTS)
    for kind in KINDS
    if provided(kind, name) and (kind, name) not in REFUSED
]


PERTURBING = ["scorecam"] + [
    name for name in sorted(POINTS) if POINTS[name].load()().card.family in ("perturbation", "surrogate")
]


@dataclass
class Trial:
    """One explainer on one network: its maps, and what was seen while they were made."""

    explainer: Any
    classifier: TorchClassifier
    batch: Any
    maps: Any = None
    changes: str = ""
    sizes: tuple = ()
    randomness: bool = False

    @property
    def card(self):
        return self.explainer.card

    @cached_property
    def first_two(self):
        return self.again(two(self.batch))

    def again(self, batch=None):
        return array(self.explainer.explain(self.classifier, batch or self.batch))


def two(batch):
    """Its first two images."""
    return replace(
        batch,
        images=batch.images[:2],
        targets=batch.targets[:2],
        ids=batch.ids[:2],
        seeds=batch.seeds[:2],
        masks=None if batch.masks is None else batch.masks[:2],
    )


def array(maps):
    return np.asarray(maps, dtype=np.float32).copy()


def network_of(kind, small):
    return {"cnn": lambda: small(1), "vit": TinyTransformer, "attentive": AttentiveNet}[kind]()


def states():
    return random.getstate(), np.random.get_state(), torch.get_rng_state().numpy()


def same_states(first, second):
    try:
        np.testing.assert_equal(first, second)
    except AssertionError:
        return False
    return True


@pytest.fixture(scope="module")
def trials(make_batch, small_net):
    """Every pair is tried once, and what was seen is asked by many tests."""

    @cache
    def attempt(kind, name):
        trial = prepared(kind, name, make_batch, small_net)
        sizes, guard = [0], Guard(trial.classifier.network)
        hook = trial.classifier.network.register_forward_pre_hook(lambda _module, given: sizes.append(len(given[0])))
        # From a state of its own: an explainer that seeds generators may have left them in that very state before.
        with isolated_randomness(20260723):
            before = states()
            trial.maps = trial.explainer.explain(trial.classifier, trial.batch)
            trial.randomness = same_states(states(), before)
        hook.remove()
        trial.sizes, trial.changes = tuple(sizes), guard.changes()
        return trial

    return attempt


def prepared(kind, name, make_batch, small_net, precision="fp32"):
    """With the quick profile, where there is one: the promises do not depend on the number of passes."""
    explainer, traits = create("explainers", name, "quick").plugin, KINDS[kind]
    needs = explainer.card.needs
    batch = make_batch(COUNT, traits.channels, traits.size, masks="masks" in needs, prior="prior" in needs)
    classifier = TorchClassifier(
        network_of(kind, small_net), CLASSES, traits.cam_layer, precision=precision, batch_size=8
    )
    return Trial(explainer, classifier, batch)


@pytest.fixture
def trial(trials, kind, name):
    return trials(kind, name)


each_pair = pytest.mark.parametrize(("kind", "name"), PAIRS)


def test_explainers_are_registered():
    assert {"gradcam", "saliency", "random", "roi"} <= set(POINTS)


def test_there_are_35_methods_at_least_besides_floors_and_ceilings():
    assert sum(not point.load()().card.reference for point in POINTS.values()) >= 35


@pytest.mark.parametrize("name", sorted(POINTS))
def test_the_registered_name_is_that_of_the_card(name):
    assert POINTS[name].load()().card.name == name


@pytest.mark.parametrize("name", sorted(POINTS))
def test_every_explainer_is_tried_on_some_network(name):
    assert any(pair.values[1] == name for pair in PAIRS)


@pytest.mark.parametrize("name", sorted(POINTS))
def test_a_quick_map_takes_about_128_passes_at_most(name, trials):
    kind = next(pair.values[0] for pair in PAIRS if pair.values[1] == name)
    counters = trials(kind, name).classifier.counters
    assert max(counters.forward, counters.backward) / COUNT <= 180


@pytest.mark.parametrize(("kind", "name"), sorted(REFUSED))
def test_a_network_that_a_method_cannot_explain_is_refused_and_left_alone(kind, name, make_batch, small_net):
    trial = prepared(kind, name, make_batch, small_net)
    guard = Guard(trial.classifier.network)
    with pytest.raises(UsageError, match=REFUSED[kind, name]):
        trial.again()
    assert guard.changes() == ""


@each_pair
def test_a_map_is_finite_and_as_large_as_the_image(trial, kind):
    assert tuple(trial.maps.shape) == (COUNT, *KINDS[kind].size)
    assert np.isfinite(array(trial.maps)).all()


@each_pair
def test_all_maps_but_those_of_nothing_can_be_scored(trial):
    """The last image has no lesion: what shows lesions alone has nothing to show there."""
    reasons = invalid(array(trial.maps), trial.card.sign.replace("signed", "absolute"))
    flat = {"constant": range(COUNT), "roi": [COUNT - 1], "roi-grid": [COUNT - 1]}.get(trial.card.name, ())
    assert [i for i, reason in enumerate(reasons) if reason] == list(flat)


@each_pair
def test_maps_come_without_a_graph(trial):
    assert not getattr(trial.maps, "requires_grad", False)


@each_pair
def test_the_network_is_left_as_it_was(trial):
    assert trial.changes == ""


@each_pair
def test_global_random_generators_are_left_as_they_were(trial):
    assert trial.randomness


@each_pair
def test_the_batch_is_left_as_it_was(trial, kind, make_batch):
    traits = KINDS[kind]
    copy = make_batch(COUNT, traits.channels, traits.size)
    assert torch.equal(trial.batch.images, copy.images)
    assert not trial.batch.images.requires_grad
    assert trial.batch.images.grad is None
    assert torch.equal(trial.batch.targets, copy.targets)
    if trial.batch.masks is not None:
        np.testing.assert_equal(trial.batch.masks, copy.masks)


@each_pair
def test_only_explainers_that_ask_for_gradients_pass_backward(trial):
    assert (trial.classifier.counters.backward > 0) == ("gradients" in trial.card.needs)


@each_pair
def test_no_pass_is_larger_than_16_images(trial):
    """What the classifier is told to mask at once, and what is passed forward and backward at once on a CPU."""
    assert max(trial.sizes) <= 16


@pytest.mark.parametrize("name", PERTURBING)
def test_images_that_a_method_changes_go_through_the_engine(name, trials):
    """What passes elsewhere is a look at a layer at most. Extremal perturbations climb along gradients."""
    trial = trials("cnn", name)
    assert (sum(trial.sizes) > COUNT) == (name == "extremal-perturbation")
    assert trial.classifier.counters.forward > 5 * COUNT


@each_pair
def test_reference_rows_never_look_at_the_model(trial):
    reference = trial.card.family == "reference"
    assert (trial.classifier.counters.forward == 0) == reference == bool(trial.card.reference)


@each_pair
def test_the_same_seeds_give_the_same_maps_bit_for_bit_and_the_maps_are_no_window_into_the_batch(trial, make_batch):
    maps = trial.explainer.explain(trial.classifier, trial.batch)
    np.testing.assert_array_equal(array(maps), array(trial.maps))
    image, truth = trial.batch.images.clone(), None if trial.batch.masks is None else trial.batch.masks.copy()
    maps += 1
    assert torch.equal(trial.batch.images, image)
    np.testing.assert_equal(trial.batch.masks, truth)


@each_pair
def test_other_seeds_give_other_maps_only_if_the_card_says_stochastic(trial):
    other = two(trial.batch)
    maps = trial.again(replace(other, seeds=tuple(seed + 1000 for seed in other.seeds)))
    same = [np.array_equal(*pair) for pair in zip(maps, trial.first_two, strict=True)]
    assert same == [not trial.card.stochastic] * 2


@each_pair
def test_the_class_matters_if_and_only_if_the_card_says_so(trial):
    other = two(trial.batch)
    maps = trial.again(replace(other, targets=(other.targets + 1) % 3))
    differs = [not np.array_equal(*pair) for pair in zip(maps, trial.first_two, strict=True)]
    assert differs == [trial.card.class_sensitive] * 2


@each_pair
def test_a_map_depends_neither_on_its_neighbours_nor_on_its_place(trial, part):
    expected = array(trial.maps)
    maps = np.empty_like(expected)
    for indices in ([2], [1, 0]):
        maps[indices] = trial.again(part(trial.batch, indices))
    largest = np.abs(expected).max(axis=(1, 2), keepdims=True)
    assert (np.abs(maps - expected) <= TOLERANCE.get(trial.card.name, 1e-5) * largest).all()


@each_pair
def test_an_error_inside_the_network_leaves_no_hook(trial, kind, make_batch):
    guard, traits = Guard(trial.classifier.network), KINDS[kind]
    wrong = make_batch(1, traits.channels + 1, traits.size)
    uses_network = trial.card.family != "reference"
    with pytest.raises(RuntimeError, match="channels") if uses_network else contextlib.nullcontext():
        trial.again(wrong)
    assert guard.changes() == ""


@each_pair
def test_half_precision_changes_the_numbers_but_not_their_kind(kind, name, make_batch, small_net, part):
    half = prepared(kind, name, make_batch, small_net, precision="bf16")
    maps = half.explainer.explain(half.classifier, part(half.batch, [0, COUNT - 1]))
    assert maps.dtype in (np.float32, torch.float32)
    assert np.isfinite(np.asarray(maps)).all()
