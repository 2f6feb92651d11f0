"""Explainers that mask images, at the edges of what they may be given: a sound map, or one that the harness refuses."""

import pytest
import torch
from torch import nn

from xaibench.classifier import TorchClassifier
from xaibench.contracts import Batch
from xaibench.normalise import invalid
from xaibench.registry import create

NAMES = [
    "scorecam(channels=4)",
    "scorecam(variant=raw)",
    "ablationcam",
    "rise(samples=16, output=logit)",
    "occlusion",
    "sliding-window(windows='0.5+0.25')",
    "extremal-perturbation(steps=3)",
    "feature-ablation(segmentation=grid, segments=12)",
]
CAMS = NAMES[:3]


class Net(nn.Module):
    def __init__(self, channels=1, classes=3, grid=None, bias=0.0):
        super().__init__()
        self.layer = nn.Sequential(nn.Conv2d(channels, 6, 5, stride=4, padding=2), nn.BatchNorm2d(6), nn.ReLU())
        if grid:
            self.layer.append(nn.AdaptiveAvgPool2d(grid))
        self.head = nn.Linear(6, classes)
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for tensor in self.parameters():
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
            self.head.weight.abs_()
            self.head.bias += bias

    def forward(self, images):
        return self.head(self.layer(images).mean(dim=(2, 3)))


def explain(name, network, images, classes=3):
    plugin = create("explainers", name).plugin
    classifier = TorchClassifier(network, tuple("abc"[:classes]), "layer", batch_size=8)
    count = len(images)
    batch = Batch(images, torch.zeros(count, dtype=torch.long), tuple(map(str, range(count))), tuple(range(count)))
    maps = plugin.explain(classifier, batch)
    assert maps.shape == (count, *images.shape[2:])
    return invalid(maps.numpy(), "absolute"), maps


def drawn(count=2, channels=1, size=(32, 24)):
    return torch.rand(count, channels, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_logits_that_are_no_numbers_give_maps_that_are_refused(name, value):
    reasons, maps = explain(name, Net(bias=value), drawn())
    assert all(reasons)
    assert not maps.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_a_network_of_one_class_is_explained_by_its_logit(name):
    reasons, _ = explain(name, Net(classes=1), drawn(), classes=1)
    assert reasons == ["", ""]


@pytest.mark.parametrize("name", ["occlusion(output=probability)", "rise(samples=16)"])
def test_the_probability_of_one_class_is_always_1_and_its_map_is_refused(name):
    reasons, _ = explain(name, Net(classes=1), drawn(), classes=1)
    assert all("flat" in reason for reason in reasons)


@pytest.mark.parametrize("name", [*CAMS])
def test_a_cam_layer_of_one_place_gives_flat_maps_which_are_refused(name):
    reasons, _ = explain(name, Net(grid=1), drawn())
    assert all("flat" in reason for reason in reasons)


@pytest.mark.parametrize("name", ["occlusion", "sliding-window(windows='0.5+0.25')", "extremal-perturbation(steps=3)"])
def test_in_a_constant_image_covered_with_its_mean_there_is_nothing_to_find(name):
    reasons, maps = explain(name, Net(), torch.full((2, 1, 32, 24), 0.5))
    assert all(reasons)
    assert maps.isfinite().all()


@pytest.mark.parametrize("name", [*CAMS, "rise(samples=16, output=logit)", "occlusion(infill=black)"])
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_any_constant_image_gives_finite_maps(name, value):
    _, maps = explain(name, Net(), torch.full((2, 1, 32, 24), value))
    assert maps.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("channels", "size"), [(1, (512, 512)), (3, (64, 48))])
def test_large_grey_and_small_colour_images_are_explained(name, channels, size):
    reasons, _ = explain(name, Net(channels), drawn(1, channels, size))
    assert reasons == [""]
