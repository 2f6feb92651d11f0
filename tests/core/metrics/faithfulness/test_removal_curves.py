"""Deletion and insertion, worked by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from xaibench.errors import UsageError
from xaibench.infills import infill
from xaibench.metrics.deletion import Deletion, Insertion
from xaibench.metrics.removal import Removal, _stable_order, grid, ranking

WEIGHTS = [[[8, 4, 2, 1]]]
MAP = [[0.9, 0.5, 0.7, 0.1]]


def black(metric, **others):
    return metric(infill="black", output="logit", **{"steps": 4, **others})


def test_deletion_of_a_linear_network_by_hand(kit):
    found = black(Deletion).score(kit.case(kit.Weighed(WEIGHTS), [MAP], np.ones((1, 1, 1, 4))))
    # The first pixel goes (8), then the third (2), the second (4), the last (1).
    np.testing.assert_allclose(found.curves, [[15, 7, 5, 1, 0]])
    np.testing.assert_allclose(found.values, [((15 + 7) / 2 + (7 + 5) / 2 + (5 + 1) / 2 + (1 + 0) / 2) / 4])


def test_insertion_of_a_linear_network_by_hand(kit):
    found = black(Insertion).score(kit.case(kit.Weighed(WEIGHTS), [MAP], np.ones((1, 1, 1, 4))))
    np.testing.assert_allclose(found.curves, [[0, 8, 10, 14, 15]])
    np.testing.assert_allclose(found.values, [(0 / 2 + 8 + 10 + 14 + 15 / 2) / 4])


def test_probabilities_by_hand(kit):
    case = kit.case(kit.Weighed([[[np.log(3), np.log(2)]]]), [[[0.2, 1.0]]], np.ones((1, 1, 1, 2)))
    found = Deletion(steps=2, infill="black").score(case)
    # Odds of 6, of 3 without the second pixel, and of 1: probabilities 6/7, 3/4 and 1/2.
    np.testing.assert_allclose(found.curves, [[6 / 7, 3 / 4, 1 / 2]], rtol=1e-6)
    np.testing.assert_allclose(found.values, [((6 / 7 + 1 / 2) / 2 + 3 / 4) / 2], rtol=1e-6)
    odds = Deletion(steps=2, infill="black", output="log-odds").score(case)
    np.testing.assert_allclose(odds.curves, [np.log([6, 3, 1])], atol=1e-6)


def test_accuracy_by_hand(kit):
    case = kit.case(kit.Weighed([[[1, -2]]]), [[[1.0, 0.0]]], np.ones((1, 1, 1, 2)))
    # Logits of the class: -1 (lost), -2 (lost), 0 (a tie of two: half).
    curve = Deletion(steps=2, infill="black", output="accuracy").score(case).curves
    np.testing.assert_allclose(curve, [[0, 0, 0.5]])


def test_another_infill_by_hand(kit):
    case = kit.case(kit.Weighed([[[3, 1]]]), [[[1.0, 0.0]]], [[[[1.0, 0.5]]]])
    # The mean is .75: first 3 * .75 + .5, then 3 * .75 + .75.
    np.testing.assert_allclose(
        Deletion(steps=2, infill="mean", output="logit").score(case).curves, [[3.5, 2.75, 3.0]], rtol=1e-6
    )


def test_steps_that_do_not_divide_the_pixels_weigh_as_much_as_they_remove(kit):
    case = kit.case(kit.Weighed(np.ones((1, 1, 5))), [[[1.0, 0.8, 0.6, 0.4, 0.2]]], np.ones((1, 1, 1, 5)))
    # Half of 5 pixels is 2.5: 3 are removed, and the first step is 3/5 wide.
    found = black(Deletion, steps=2).score(case)
    np.testing.assert_allclose(found.curves, [[5, 2, 0]])
    np.testing.assert_allclose(found.values, [0.6 * (5 + 2) / 2 + 0.4 * (2 + 0) / 2])


def test_more_steps_than_pixels_change_nothing_but_the_resolution(kit):
    case = kit.case(kit.Weighed(WEIGHTS), [MAP], np.ones((1, 1, 1, 4)))
    many = black(Deletion, steps=40).score(case)
    assert case.classifier.counters.forward == 4
    np.testing.assert_allclose(many.values, black(Deletion).score(case).values)


def test_one_pixel(kit):
    case = kit.case(kit.Weighed([[[2]]]), [[[1.0]]], np.ones((1, 1, 1, 1)))
    np.testing.assert_allclose(black(Deletion, steps=1).score(case).curves, [[2, 0]])
    np.testing.assert_allclose(black(Insertion, steps=1).score(case).curves, [[0, 2]])


@pytest.mark.parametrize("first", [Deletion, Insertion])
def test_exactly_as_many_pixels_go_as_asked_for_however_many_are_tied(kit, first):
    rectified = np.zeros((1, 10, 10), dtype=np.float32)
    rectified[0, :2, :3] = [[0.2, 0.4, 0.6], [0.8, 1.0, 0.1]]  # 94 % are zero
    case = kit.case(kit.CountsWhite(), rectified, np.ones((1, 1, 10, 10)))
    curve = black(first, steps=10).score(case).curves[0]
    np.testing.assert_array_equal(curve, np.arange(100, -1, -10) if first is Deletion else np.arange(0, 101, 10))


def test_tied_pixels_go_in_an_order_that_favours_no_place(kit):
    count = 1500
    case = kit.case(kit.Weighed(WEIGHTS), np.ones((count, 1, 4)), np.ones((count, 1, 1, 4)))
    curves = black(Deletion).score(case).curves
    # Over all orders, each pixel removed takes a fourth of 15 along; the first of the four takes 8 in a fourth of them.
    spread = curves.std(axis=0) / np.sqrt(count)
    assert (np.abs(curves.mean(axis=0) - [15, 11.25, 7.5, 3.75, 0]) <= 4 * spread + 1e-9).all()
    assert np.mean(curves[:, 1] == 7) == pytest.approx(1 / 4, abs=0.03)


def test_a_tie_is_broken_in_the_same_way_for_the_same_seed_and_not_for_another():
    flat = np.ones((6, 6), dtype=np.float32)
    assert np.array_equal(ranking(flat, 3), ranking(flat, 3))
    assert not np.array_equal(ranking(flat, 3), ranking(flat, 4))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_relevance_is_put_in_order_with_the_first_of_equals_first(kind):
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(size=500), rng.integers(-3, 4, 500) / 4, [1e-42, -1e-42, 1e30, -1e30, 0]])
    values = rng.permutation(values.astype(kind))
    np.testing.assert_array_equal(_stable_order(values), sorted(range(len(values)), key=lambda place: values[place]))


def test_minus_zero_is_tied_with_zero():
    """Else a map that is zero nearly everywhere would be put in order by the sign of its zeros."""
    np.testing.assert_array_equal(
        ranking(np.float32([[0.0, -0.0, 0.0, -0.0]]), 3), ranking(np.zeros((1, 4), np.float32), 3)
    )


def test_a_saturated_network_falls_only_at_the_end_whatever_the_map(kit):
    maps, white = kit.maps(0, 2, (8, 8)), np.ones((2, 1, 8, 8))
    curves = Deletion(steps=8, infill="black", output="logit").score(kit.case(kit.Saturated(), maps, white)).curves
    np.testing.assert_allclose(curves, [[1] * 8 + [0]] * 2, atol=1e-6)


def test_patches_are_as_equal_as_they_can_be():
    assert grid((4, 6), 2).tolist() == [[0, 0, 0, 1, 1, 1]] * 2 + [[2, 2, 2, 3, 3, 3]] * 2
    assert np.bincount(grid((7, 5), 3).ravel()).tolist() == [6, 6, 3, 4, 4, 2, 4, 4, 2]
    assert np.array_equal(grid((3, 2), 0), np.arange(6).reshape(3, 2))
    assert np.array_equal(grid((3, 2), 9), np.arange(6).reshape(3, 2))


# ------------------------------------------------------------------------------------------------------------- twins


def slow_deletion(network, heatmap, image, target, steps, replaced):
    """Pixel after pixel, one image at a time."""
    order = sorted(np.ndindex(heatmap.shape), key=lambda place: -heatmap[place])
    heights, places = [], []
    for step in range(steps + 1):
        count = int(np.floor(len(order) * step / steps + 0.5))
        seen = image.copy()
        for row, column in order[:count]:
            seen[:, row, column] = replaced[:, row, column]
        logits = network(torch.from_numpy(seen).unsqueeze(0))[0].double()
        heights.append(float(torch.softmax(logits, 0)[target]))
        places.append(count / len(order))
    return np.trapezoid(heights, places)


@pytest.mark.parametrize("name", ["black", "mean", "blur", "noise"])
def test_deletion_and_insertion_agree_with_their_slow_twin(kit, name):
    network = kit.Placed((12, 8), channels=3)
    maps, images, targets = kit.maps(3), kit.images(4, channels=3), [0, 1, 2, 1]
    case = kit.case(network, maps, images, targets)
    fills = [
        infill(name, torch.from_numpy(image), seed).numpy() for image, seed in zip(images, case.seeds, strict=True)
    ]
    rows = list(zip(maps, images, targets, fills, strict=True))
    twin = [slow_deletion(network, one, image, target, 20, fill) for one, image, target, fill in rows]
    np.testing.assert_allclose(Deletion(steps=20, infill=name).score(case).values, twin, atol=1e-6)
    # To show the most relevant first on the infill is to delete from the infill what the image replaces.
    twin = [slow_deletion(network, one, fill, target, 20, image) for one, image, target, fill in rows]
    np.testing.assert_allclose(Insertion(steps=20, infill=name).score(case).values, twin, atol=1e-6)


def test_the_curve_is_that_of_quantus_where_quantus_has_one(kit):
    quantus = pytest.importorskip("quantus")
    network = torch.nn.Sequential(kit.Placed((8, 8)))
    maps, images = kit.maps(5, 3, (8, 8)), kit.images(6, 3, (8, 8))
    case = kit.case(network, maps, images)
    theirs = quantus.PixelFlipping(
        features_in_step=4, perturb_baseline=0.0, abs=False, normalise=False, disable_warnings=True
    )(network, images, case.targets, a_batch=maps[:, None], softmax=True, device="cpu")
    ours = Deletion(steps=16, infill="black").score(case)
    np.testing.assert_allclose(ours.curves[:, 1:], theirs, atol=1e-5)  # theirs begins after the first step


# ------------------------------------------------------------------------------------------------------------- cards


@pytest.mark.parametrize("metric", [Deletion, Insertion])
def test_the_card_tells_the_places_of_the_curve_and_its_range(metric):
    assert metric(steps=4).card.curve == (0, 0.25, 0.5, 0.75, 1)
    assert (metric(steps=4).card.lowest, metric(steps=4).card.highest) == (0, 1)
    card = metric(steps=4, output="logit").card
    assert (card.lowest, card.highest, card.worst) == (None, None, None)
    assert len(metric().card.curve) == len(metric.card.curve) == 33


@pytest.mark.parametrize(
    ("params", "message"),
    [({"steps": 0}, "steps is 0"), ({"infill": "red"}, "infill is 'red'"), ({"output": "loss"}, "output is 'loss'")],
)
def test_what_cannot_be_is_refused(params, message):
    with pytest.raises(UsageError, match=message):
        Deletion(**params)


def test_every_map_needs_its_seed_and_its_pieces():
    case = SimpleNamespace(maps=np.zeros((3, 4, 4), np.float32), seeds=(0, 1, 2))
    with pytest.raises(ValueError, match="shorter"):
        Removal(case, None, [grid((4, 4), 2)] * 2)
