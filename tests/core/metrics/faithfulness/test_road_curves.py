"""Removal with interpolation, most and least relevant first."""

import numpy as np
import pytest
import torch

from xaibench.infills import infill
from xaibench.metrics.road import Road, RoadLeast, RoadMost

HALVES = [0.25, 0.5, 0.75]


def plain(metric, **others):
    return metric(**{"steps": 3, "infill": "black", "output": "logit", **others})


def linear(kit):
    return kit.case(kit.Weighed([[[8, 4, 2, 1]]]), [[[0.9, 0.5, 0.7, 0.1]]], np.ones((1, 1, 1, 4)))


def test_by_hand(kit):
    case = linear(kit)
    assert plain(Road).card.curve == tuple(HALVES)
    # Most relevant first: 8, 2, 4 go. Least relevant first: 1, 4, 2 go.
    np.testing.assert_allclose(plain(RoadMost).score(case).curves, [[7, 5, 1]])
    np.testing.assert_allclose(plain(RoadLeast).score(case).curves, [[14, 10, 8]])
    np.testing.assert_allclose(plain(Road).score(case).curves, [[7, 5, 7]])
    np.testing.assert_allclose(plain(Road).score(case).values, [19 / 3])


def test_the_three_share_their_passes(kit):
    case = linear(kit)
    plain(Road).score(case)
    assert case.classifier.counters.forward == 6
    plain(RoadMost).score(case)
    plain(RoadLeast).score(case)
    assert case.classifier.counters.forward == 6


def test_a_map_upside_down_has_the_opposite_value(kit):
    maps, images = kit.maps(1), kit.images(2)
    upright, turned = (kit.case(kit.Placed((12, 8)), some, images) for some in (maps, 1 - maps))
    road = Road(infill="mean")
    np.testing.assert_allclose(kit.values(road, turned), -kit.values(road, upright), atol=1e-6)


@pytest.mark.parametrize("metric", [RoadMost, RoadLeast])
def test_a_rectified_map_loses_10_to_90_percent_and_not_all_or_nothing(kit, metric):
    rectified = np.zeros((1, 10, 10), dtype=np.float32)
    rectified[0, :2, :3] = [[0.2, 0.4, 0.6], [0.8, 1.0, 0.1]]
    curve = metric(infill="black", output="logit").score(
        kit.case(kit.CountsWhite(), rectified, np.ones((1, 1, 10, 10)))
    )
    np.testing.assert_array_equal(curve.curves, [[90, 80, 70, 60, 50, 40, 30, 20, 10]])


def test_a_cut_at_a_percentile_loses_all_of_a_rectified_map():
    perturbation = pytest.importorskip("pytorch_grad_cam.metrics.perturbation_confidence")
    rectified = torch.zeros(10, 10)
    rectified[:2, :3] = torch.tensor([[0.2, 0.4, 0.6], [0.8, 1.0, 0.1]])
    removed = {
        percentile: perturbation.RemoveMostRelevantFirst(percentile, lambda _, kept: int((kept == 0).sum()))(
            torch.ones(1, 10, 10), rectified
        )
        for percentile in (10, 50, 90)
    }
    # Asked for the highest 90, 50 and 10 of 100 pixels, it removes all of them three times: the percentile is 0, and
    # no value is below it.
    assert removed == {10: 100, 50: 100, 90: 100}


def slow_road(network, heatmap, image, target, seed, parts, least):
    order = sorted(np.ndindex(heatmap.shape), key=lambda place: heatmap[place] if least else -heatmap[place])
    found = []
    for part in parts:
        kept = torch.ones(heatmap.shape, dtype=torch.bool)
        for place in order[: int(np.floor(part * len(order) + 0.5))]:
            kept[place] = False
        filled = infill("noisy-linear", torch.from_numpy(image), seed, kept)
        seen = torch.where(kept, torch.from_numpy(image), filled)
        found.append(float(torch.softmax(network(seen.unsqueeze(0))[0].double(), 0)[target]))
    return found


def test_it_agrees_with_its_slow_twin(kit):
    network = kit.Placed((12, 8), channels=3)
    maps, images, targets = kit.maps(3), kit.images(4, channels=3), [0, 1, 2, 1]
    case = kit.case(network, maps, images, targets)
    parts = np.arange(1, 10) / 10
    rows = list(zip(maps, images, targets, case.seeds, strict=True))
    most = [slow_road(network, *row, parts, least=False) for row in rows]
    least = [slow_road(network, *row, parts, least=True) for row in rows]
    np.testing.assert_allclose(RoadMost().score(case).curves, most, atol=1e-5)
    np.testing.assert_allclose(RoadLeast().score(case).curves, least, atol=1e-5)
    np.testing.assert_allclose(Road().score(case).values, np.mean(least, 1) - np.mean(most, 1), atol=1e-5)
