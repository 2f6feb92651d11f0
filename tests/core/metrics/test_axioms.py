import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from xaibench.classifier import TorchClassifier
from xaibench.errors import UsageError
from xaibench.metrics.axioms import Completeness, NonSensitivity


def linear(weights, bias=0.0):
    """Two classes: the second has these weights, the first none."""
    layer = nn.Linear(weights.size, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.stack([np.zeros(weights.size), weights.ravel()])))
        layer.bias.copy_(torch.tensor([0.0, bias]))
    return TorchClassifier(nn.Sequential(nn.Flatten(), layer), ("no", "yes"), None)


def case_of(make_case, image, raw, classifier):
    image = np.float32(image)[None, None]
    logits = classifier.logits(torch.from_numpy(image)).detach().numpy()
    case = make_case([raw], [np.ones_like(raw)])
    return dataclasses.replace(case, images=image, raw=np.float32([raw]), logits=logits, classifier=classifier)


WEIGHTS, IMAGE = np.array([[1.0, 2.0], [-1.0, 0.5]]), np.array([[0.5, 0.25], [0.5, 1.0]])


def test_completeness_by_hand(make_case):
    classifier = linear(WEIGHTS, bias=3.0)
    # Weight times pixel: .5 + .5 - .5 + .5 = 1, the gain over black, whatever the bias.
    shares = WEIGHTS * IMAGE
    assert Completeness().score(case_of(make_case, IMAGE, shares, classifier)) == pytest.approx([0.0], abs=1e-6)
    assert Completeness().score(case_of(make_case, IMAGE, 3 * shares, classifier)) == pytest.approx([2.0], abs=1e-6)
    assert Completeness().score(case_of(make_case, IMAGE, -shares, classifier)) == pytest.approx([2.0], abs=1e-6)


def test_completeness_is_undefined_where_the_black_image_says_the_same(make_case):
    case = case_of(make_case, IMAGE, IMAGE, linear(np.zeros((2, 2)), bias=1.0))
    assert np.isnan(Completeness().score(case)).all()


def test_a_metric_that_runs_the_network_says_so_where_there_is_none(make_case):
    case = make_case([IMAGE], [IMAGE > 0])
    for metric in (Completeness(), NonSensitivity()):
        with pytest.raises(UsageError, match="needs="):
            metric.score(case)


def quarters(*strong):
    """A map of 4 x 4 pixels that is 1 in these quarters."""
    found = np.zeros((4, 4))
    for row, column in strong:
        found[2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = 1
    return found


PICTURE = np.random.default_rng(0).random((4, 4))


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ([(0, 0)], 0.0),  # as the network sees it
        ([(0, 0), (1, 1)], 1 / 4),  # one quarter too many
        ([(1, 1)], 2 / 4),  # one too many and one missed
        ([(0, 1), (1, 0), (1, 1)], 1.0),  # all wrong
    ],
)
def test_non_sensitivity_by_hand(make_case, shown, expected):
    classifier = linear(quarters((0, 0)) + 0.0)
    case = case_of(make_case, PICTURE, quarters(*shown), classifier)
    assert NonSensitivity(grid=2).score(case) == pytest.approx([expected])


def test_non_sensitivity_forgives_what_is_less_than_its_tolerance(make_case):
    heatmap = quarters((0, 0)) + 0.05 * quarters((1, 1))
    case = case_of(make_case, PICTURE, heatmap, linear(quarters((0, 0))))
    assert NonSensitivity(grid=2, tolerance=0.01).score(case) == pytest.approx([1 / 4])
    assert NonSensitivity(grid=2, tolerance=0.1).score(case) == pytest.approx([0.0])


def slow_non_sensitivity(case, row, grid, tolerance):
    """Patch by patch, pixel by pixel, one pass each."""
    image, heatmap, target = case.images[row], case.maps[row], case.targets[row]
    H, W = heatmap.shape
    effects, sums = {}, {}
    for high in range(grid):
        for wide in range(grid):
            pixels = [(r, c) for r in range(H) for c in range(W) if (r * grid // H, c * grid // W) == (high, wide)]
            changed = image.copy()
            for r, c in pixels:
                changed[:, r, c] = image.mean(axis=(1, 2))
            logits = case.classifier.logits(torch.from_numpy(changed)[None])[0]
            effects[high, wide] = abs(float(logits[target]) - float(case.logits[row, target]))
            sums[high, wide] = sum(float(heatmap[place]) for place in pixels)
    matters = [{place: one > tolerance * max(of.values()) for place, one in of.items()} for of in (effects, sums)]
    return np.mean([matters[0][place] != matters[1][place] for place in effects])


def test_non_sensitivity_agrees_with_its_slow_twin(make_case):
    rng = np.random.default_rng(1)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 9 * 8, 2))
    classifier, images = TorchClassifier(network, ("a", "b"), None), rng.random((4, 3, 11, 10)).astype(np.float32)
    case = make_case(rng.random((4, 11, 10)) ** 8, np.ones((4, 11, 10)))
    logits = classifier.logits(torch.from_numpy(images)).detach().numpy()
    case = dataclasses.replace(case, images=images, logits=logits, classifier=classifier)
    twin = [slow_non_sensitivity(case, row, 4, 0.2) for row in range(4)]
    assert 0 < min(twin) < max(twin) < 1
    np.testing.assert_allclose(NonSensitivity(grid=4, tolerance=0.2).score(case), twin, atol=1e-9)


def test_a_patch_for_every_pixel_is_the_finest_grid(make_case):
    case = case_of(make_case, IMAGE, WEIGHTS > 1, linear(WEIGHTS * (WEIGHTS > 1)))
    before = case.classifier.counters.forward
    assert NonSensitivity(grid=50).score(case) == pytest.approx([0.0])
    assert case.classifier.counters.forward - before == 4


@pytest.mark.parametrize("wrong", [{"grid": 0}, {"tolerance": 1.0}, {"tolerance": -0.1}])
def test_parameters_that_cannot_be_are_refused(wrong):
    with pytest.raises(UsageError, match="give at least one patch per side"):
        NonSensitivity(**wrong)


def test_to_a_network_that_sees_nothing_no_patch_matters(make_case):
    case = case_of(make_case, PICTURE, quarters((1, 1)), linear(np.zeros((4, 4))))
    assert NonSensitivity(grid=2).score(case) == pytest.approx([1 / 4])
