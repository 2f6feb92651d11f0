"""Patches and segments, worked by hand."""

import numpy as np
import pytest
import torch

from xaibench.errors import UsageError
from xaibench.metrics.pieces import IROF, Monotonicity, PixelFlipping
from xaibench.segmentation import segment

# Four patches of four pixels; the sums of weights are 8, 4, 2, 1, and the means of the map .9, .5, .7, .1.
WEIGHTS = np.kron([[8, 4], [2, 1]], np.full((2, 2), 1 / 4))[None]
MAP = np.kron([[0.9, 0.5], [0.7, 0.1]], np.ones((2, 2)))
WHITE = np.ones((1, 1, 4, 4))


def test_pixel_flipping_by_hand(kit):
    case = kit.case(kit.Weighed(WEIGHTS), [MAP], WHITE)
    found = PixelFlipping(cells=2, infill="black", output="logit").score(case)
    np.testing.assert_allclose(found.curves, [[15, 7, 5, 1, 0]])
    np.testing.assert_allclose(found.values, [(15 / 2 + 7 + 5 + 1 + 0) / 4])
    assert case.classifier.counters.forward == 4


def test_a_patch_is_worth_its_mean_and_not_its_size(kit):
    # Two patches over three columns: the first two, with a sum of 1.0 and a mean of .5, and the last, with .8.
    case = kit.case(kit.Weighed([[[1, 1, 5]]]), [[[0.5, 0.5, 0.8]]], np.ones((1, 1, 1, 3)))
    curve = PixelFlipping(cells=2, infill="black", output="logit").score(case).curves[0]
    assert curve.tolist() == [7, 2, 2, 0, 0]  # four places, two patches


def test_monotonicity_by_hand(kit):
    # Shown from the least relevant to the most: 1, then 4, then 2, then 8 are added: never a fall.
    case = kit.case(kit.Weighed(WEIGHTS), [MAP], WHITE)
    assert Monotonicity(cells=2, infill="black", output="logit").score(case) == [1]
    assert Monotonicity(cells=2, infill="black", output="logit", strict=True).score(case) == [1]
    # With -4 in place of 4, one of the four steps falls.
    fallen = np.where(WEIGHTS == 1, -WEIGHTS, WEIGHTS)
    case = kit.case(kit.Weighed(fallen), [MAP], WHITE)
    assert Monotonicity(cells=2, infill="black", output="logit").score(case) == [3 / 4]
    assert Monotonicity(cells=2, infill="black", output="logit", strict=True).score(case) == [0]


def test_a_step_that_changes_nothing_is_no_fall(kit):
    case = kit.case(kit.Weighed(0 * WEIGHTS), [MAP], WHITE)
    assert Monotonicity(cells=2, infill="black", strict=True).score(case) == [1]


def test_monotonicity_costs_nothing_after_pixel_flipping(kit):
    case = kit.case(kit.Placed((12, 8)), kit.maps(0), kit.images(1))
    PixelFlipping(cells=4).score(case)
    before = case.classifier.counters.forward
    Monotonicity(cells=4).score(case)
    assert (before, case.classifier.counters.forward) == (4 * 16, 4 * 16)


def test_irof_by_hand(kit):
    # Odds of 15 to 1 with all four segments, and a factor less for each that goes.
    weights = np.kron(np.log([[5, 3], [1, 1]]), np.full((2, 2), 1 / 4))[None]
    case = kit.case(kit.Weighed(weights), [MAP], WHITE)
    found = IROF(segments=4, method="grid", infill="black").score(case)
    # Order of removal .9, .7, .5, .1: probabilities 15/16, then 3/4, 3/4, 1/2, 1/2; relative to the first: 1, .8, ...
    relative = np.array([15 / 16, 3 / 4, 3 / 4, 1 / 2, 1 / 2]) / (15 / 16)
    np.testing.assert_allclose(found, [1 - (relative[0] / 2 + relative[1:4].sum() + relative[4] / 2) / 4], rtol=1e-6)


def test_irof_of_a_map_that_says_nothing_is_0_for_a_network_that_sees_nothing(kit):
    case = kit.case(kit.Weighed(0 * WEIGHTS), [MAP], WHITE)
    np.testing.assert_allclose(IROF(segments=4, method="grid").score(case), [0], atol=1e-7)


def test_irof_does_not_depend_on_how_many_segments_the_neighbours_have(kit):
    images = kit.images(3, 2, (16, 16))
    images[1] = 0.5  # a flat image has other segments
    maps = kit.maps(4, 2, (16, 16))
    counts = [segment(image, "felzenszwalb").max() + 1 for image in images]
    assert counts[0] != counts[1]
    both = IROF(method="felzenszwalb").score(kit.case(kit.Placed((16, 16)), maps, images))
    alone = IROF(method="felzenszwalb").score(kit.case(kit.Placed((16, 16)), maps[:1], images[:1]))
    np.testing.assert_allclose(both[0], alone[0], atol=1e-7)


def slow_irof(network, heatmap, image, target, labels):
    """Segment after segment."""
    names = sorted(set(labels.ravel().tolist()), key=lambda name: -heatmap[labels == name].mean())
    seen, heights = image.copy(), []
    for name in [None, *names]:
        if name is not None:
            seen[:, labels == name] = image.mean(axis=(1, 2))[:, None]
        heights.append(float(torch.softmax(network(torch.from_numpy(seen).unsqueeze(0))[0].double(), 0)[target]))
    relative = np.array(heights) / heights[0]
    return 1 - np.trapezoid(relative) / len(names)


def test_irof_agrees_with_its_slow_twin(kit):
    network = kit.Placed((16, 16), channels=3)
    maps, images, targets = kit.maps(5, 3, (16, 16)), kit.images(6, 3, (16, 16), channels=3), [0, 1, 2]
    case = kit.case(network, maps, images, targets)
    rows = zip(maps, images, targets, strict=True)
    twin = [slow_irof(network, *row, segment(row[1], "slic", 12)) for row in rows]
    np.testing.assert_allclose(IROF(segments=12).score(case), twin, atol=1e-5)


def test_what_cannot_be_is_refused():
    with pytest.raises(UsageError, match="cells is 0"):
        PixelFlipping(cells=0)
    with pytest.raises(UsageError, match="Segmentation 'voronoi'"):
        IROF(method="voronoi")
    with pytest.raises(UsageError, match="segments is 0"):
        IROF(segments=0)
