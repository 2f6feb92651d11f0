"""Where there is nothing sound to explain: a map that counts as failed, or an error; never a wrong map."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import VisionTransformer

from xaibench.classifier import TorchClassifier
from xaibench.isolation import isolated_randomness
from xaibench.normalise import invalid
from xaibench.registry import create

CAMS = ["gradcam", "gradcam++", "xgradcam", "hirescam", "layercam", "eigencam", "dt-gradcam"]
GRADIENTS = [
    "saliency", "input-x-gradient", "smoothgrad", "vargrad", "integrated-gradients", "gradient-shap", "blur-ig",
    "guided-ig", "guided-backprop", "deconvolution", "guided-gradcam", "deeplift", "deeplift-shap", "lrp",
]  # fmt: skip
ATTENTION = ["attention-rollout", "attention-gradient", "hmc-attention"]
ENSEMBLES = ["mean-of", "smooth"]
ALL = CAMS + GRADIENTS + ATTENTION + ENSEMBLES


class Convolutional(nn.Module):
    """Feature maps of a chosen size, and as many classes as asked for."""

    def __init__(self, channels=1, classes=3, grid=None):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(channels, 6, 5, stride=4), nn.ReLU())
        self.pool, self.head = nn.AdaptiveAvgPool2d(grid or 1), nn.Linear(6, classes)
        self.squeeze = nn.AdaptiveAvgPool2d(1)

    def forward(self, images):
        return self.head(self.squeeze(self.pool(self.features(images))).flatten(1))


class FeatureAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.key, self.scale = nn.Conv2d(6, 2, 1), nn.Conv2d(6, 2, 1), 0.7

    def forward(self, x, y):
        return x + y


class Attentive(Convolutional):
    def __init__(self, channels=1, classes=3):
        super().__init__(channels, classes)
        self.attention = FeatureAttention()

    def forward(self, images):
        maps = F.avg_pool2d(self.features(images), 2)
        return self.head(self.pool(self.attention(maps, maps)).flatten(1))


class Transformer(nn.Module):
    """Grey images of one size as a transformer takes them, three channels of 32 x 32."""

    def __init__(self, channels=1, classes=3):
        super().__init__()
        self.inner, self.channels = VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=classes), channels
        nn.init.normal_(self.inner.heads.head.weight)

    @property
    def head(self):
        return self.inner.heads.head

    def forward(self, images):
        return self.inner(F.interpolate(images.expand(-1, 3, -1, -1), (32, 32)))


def network_for(name, **options):
    kinds = {"hmc-attention": Attentive, "attention-rollout": Transformer, "attention-gradient": Transformer}
    with isolated_randomness(6):
        return kinds.get(name, Convolutional)(**options).eval()


def maps_of(name, network, batch):
    count = network.head.out_features
    classifier = TorchClassifier(network, tuple("abc"[:count]), "features" if hasattr(network, "features") else None)
    return np.asarray(create("explainers", name, "quick").plugin.explain(classifier, batch))


def reasons(maps):
    return [bool(reason) for reason in invalid(maps)]


def with_targets(batch, targets):
    object.__setattr__(batch, "targets", torch.tensor(targets))
    return batch


@pytest.fixture
def batch(make_batch):
    return make_batch(3, 1, (32, 32))


@pytest.mark.parametrize("name", ALL)
def test_a_nan_logit_fails_the_map_even_where_its_gradient_looks_sound(name, batch):
    network = network_for(name)
    with torch.no_grad():
        network.head.bias[1] = torch.nan
    maps = maps_of(name, network, with_targets(batch, [0, 1, 2]))
    assert np.isnan(maps[1]).all()
    # Relevance of one class is told from what all outputs were: with one of them NaN no map is sound.
    assert np.isfinite(maps[[0, 2]]).all() == (name != "lrp")


@pytest.mark.parametrize("name", ALL)
def test_an_infinite_logit_fails_the_map(name, batch):
    network = network_for(name)
    with torch.no_grad():
        network.head.bias[1] = -torch.inf
    maps = maps_of(name, network, with_targets(batch, [0, 1, 2]))
    assert np.isnan(maps[1]).all()
    assert np.isfinite(maps[[0, 2]]).all()


@pytest.mark.parametrize("name", ALL)
def test_a_nan_pixel_fails_its_own_image_and_touches_no_other(name, batch):
    expected = maps_of(name, network_for(name), batch)
    batch.images[1, 0, 16, 16] = torch.nan
    maps = maps_of(name, network_for(name), batch)
    assert reasons(maps)[1]
    largest = np.abs(expected).max(axis=(1, 2), keepdims=True)
    assert (np.abs(maps - expected) <= 1e-5 * largest)[[0, 2]].all()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shade", [0.0, 0.5])
def test_a_constant_image_gives_finite_maps(name, batch, shade):
    batch.images[:] = shade
    assert np.isfinite(maps_of(name, network_for(name), batch)).all()


@pytest.mark.parametrize("name", ["input-x-gradient", "integrated-gradients", "deeplift", "blur-ig", "guided-ig"])
def test_a_black_image_contributes_nothing_and_its_map_is_flat(name, batch):
    batch.images[:] = 0
    assert not maps_of(name, network_for(name), batch).any()


@pytest.mark.parametrize("name", [*CAMS, "guided-gradcam"])
def test_feature_maps_of_one_place_give_flat_maps(name, batch):
    """A single place cannot say where: the map counts as failed."""
    network = network_for(name, grid=1)
    explainer = create("explainers", f"{name}(layer=pool)").plugin
    maps = np.asarray(explainer.explain(TorchClassifier(network, ("a", "b", "c"), None), batch))
    assert np.isfinite(maps).all()
    assert reasons(maps) == [True] * 3


@pytest.mark.parametrize("name", ALL)
def test_a_network_of_one_class_is_explained(name, batch):
    maps = maps_of(name, network_for(name, classes=1), with_targets(batch, [0, 0, 0]))
    assert np.isfinite(maps).all()


@pytest.mark.parametrize("name", GRADIENTS)
def test_a_network_that_looks_at_nothing_gives_flat_maps(name, batch):
    network = network_for(name)
    with torch.no_grad():
        network.head.weight.zero_()
    maps = maps_of(name, network, batch)
    assert np.isfinite(maps).all()
    assert reasons(maps) == [True] * 3


class Constant(nn.Module):
    """Logits that no graph joins to the images."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(1, 3)

    def forward(self, images):
        return torch.ones(len(images), 3)


@pytest.mark.parametrize("name", ["saliency", "input-x-gradient", "integrated-gradients", "smoothgrad", "deeplift"])
def test_logits_that_do_not_depend_on_the_image_give_flat_maps(name, batch):
    assert not maps_of(name, Constant(), batch).any()


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("attention-rollout", "attention-gradient")])
def test_large_images_are_explained_at_their_size(name, make_batch):
    batch = make_batch(1, 1, (512, 512))
    maps = maps_of(name, network_for(name), batch)
    assert maps.shape == (1, 512, 512)
    assert np.isfinite(maps).all()
