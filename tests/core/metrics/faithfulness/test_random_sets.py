"""Correlations and infidelity over sets that are hidden, worked by hand."""

import numpy as np
import pytest
import torch

from xaibench.errors import UsageError
from xaibench.infills import infill
from xaibench.metrics.additivity import FaithfulnessCorrelation, FaithfulnessEstimate, Infidelity, SensitivityN
from xaibench.metrics.responses import read
from xaibench.metrics.subsets import correlation, random_sets, squares

ADDITIVE = (FaithfulnessCorrelation, FaithfulnessEstimate, SensitivityN, Infidelity)
BEST = {FaithfulnessCorrelation: 1, FaithfulnessEstimate: 1, SensitivityN: 1, Infidelity: 0}


def linear(kit, heatmap, weights, **others):
    return kit.case(kit.Weighed(np.asarray(weights)[None]), [heatmap], np.ones((1, 1, *np.shape(weights))), **others)


@pytest.mark.parametrize("metric", ADDITIVE)
@pytest.mark.parametrize("scale", [1, 0.01])
def test_the_weights_of_a_linear_network_explain_it_perfectly(kit, metric, scale):
    weights = np.random.default_rng(0).random((8, 8))
    case = linear(kit, weights * scale, weights)
    np.testing.assert_allclose(metric(infill="black").score(case), [BEST[metric]], atol=1e-5)


@pytest.mark.parametrize("metric", ADDITIVE[:3])
def test_the_opposite_of_the_weights_has_the_worst_correlation(kit, metric):
    weights = np.random.default_rng(0).random((8, 8))
    # Every set of one size gives 1 - w for each of its pieces, so relevance falls as loss rises.
    np.testing.assert_allclose(metric(infill="black").score(linear(kit, 1 - weights, weights)), [-1], atol=1e-5)


def test_faithfulness_estimate_by_hand(kit):
    # Relevance 1, 2, 4 of 4; losses 8, 4, 0: deviations -4/3, -1/3, 5/3 and 4, 0, -4.
    case = linear(kit, [[0.25, 0.5, 1.0]], [[8, 4, 0]])
    expected = (-4 / 3 * 4 - 5 / 3 * 4) / np.sqrt((16 + 1 + 25) / 9 * 32)
    np.testing.assert_allclose(FaithfulnessEstimate(cells=3, infill="black").score(case), [expected], atol=1e-6)
    assert case.classifier.counters.forward == 3


@pytest.mark.parametrize(("share", "pieces"), [(0.19, 2), (0.14, 1), (0.01, 1), (0.95, 9)])
def test_sets_are_of_the_nearest_number_of_patches_and_of_one_at_least(share, pieces):
    sets = FaithfulnessCorrelation(runs=4, share=share, cells=3).sets((6, 6), 0)
    assert sets.chosen.sum(axis=1).tolist() == [pieces] * 4


def test_infidelity_by_hand():
    relevance, loss = np.array([1.0, 2.0]), np.array([1.0, 0.0])
    # The best factor is 1/5: errors 1/5 - 1 and 2/5, squares .64 + .16 = .8, of a mean squared loss of 1/2.
    assert Infidelity()._one(relevance, loss) == pytest.approx(0.8)
    assert Infidelity(relative=False)._one(relevance, loss) == pytest.approx(0.4)


def test_infidelity_of_a_map_that_is_upside_down_is_that_of_no_map():
    relevance, loss = np.array([1.0, 2.0]), np.array([-1.0, -2.0])
    assert Infidelity()._one(relevance, -relevance) == 1
    assert Infidelity()._one(relevance, -loss) == pytest.approx(0)
    assert Infidelity()._one(np.zeros(2), loss) == 1


def test_infidelity_is_that_of_captum_where_the_factor_is_positive(kit):
    metrics = pytest.importorskip("captum.metrics")
    network, maps, images = kit.Placed((12, 8)), kit.maps(1, 1), kit.images(2, 1)
    case = kit.case(network, maps, images, seeds=[5])
    chosen = torch.from_numpy(squares((12, 8), 64, 5).chosen.reshape(64, 1, 12, 8)).float()

    def hide(inputs):
        return chosen, inputs * (1 - chosen)

    # What the map should forecast is chosen so that relevance and loss rise together.
    losses = [(network(torch.from_numpy(images)) - network(torch.from_numpy(images) * (1 - one)))[0] for one in chosen]
    target = int(np.argmax([np.dot(chosen[:, 0].numpy().reshape(64, -1) @ maps[0].ravel(), some) for some in
                            torch.stack(losses).T.numpy()]))  # fmt: skip
    case = kit.case(network, maps, images, targets=target, seeds=[5])
    theirs = metrics.infidelity(
        network, hide, torch.from_numpy(images), torch.from_numpy(maps)[:, None], target=target,
        n_perturb_samples=64, normalize=True,
    )  # fmt: skip
    np.testing.assert_allclose(Infidelity(infill="black", relative=False).score(case), theirs.numpy(), rtol=1e-5)
    # Theirs is the same for a map turned upside down, which says that what helps the class harms it.
    turned = metrics.infidelity(
        network, hide, torch.from_numpy(images), -torch.from_numpy(maps)[:, None], target=target,
        n_perturb_samples=64, normalize=True,
    )  # fmt: skip
    torch.testing.assert_close(turned, theirs)


@pytest.mark.parametrize("metric", ADDITIVE)
def test_a_network_that_does_not_answer_leaves_the_value_undefined(kit, metric):
    case = linear(kit, np.random.default_rng(0).random((8, 8)), np.zeros((8, 8)))
    assert np.isnan(metric().score(case)).all()


@pytest.mark.parametrize("metric", ADDITIVE)
def test_maps_of_one_pixel_and_flat_maps_raise_nothing(kit, metric):
    one = kit.case(kit.Weighed([[[1]]]), [[[1.0]]], np.ones((1, 1, 1, 1)))
    flat = linear(kit, np.ones((6, 6)), np.random.default_rng(0).random((6, 6)))
    for case in (one, flat):
        (value,) = metric(infill="black").score(case)
        assert np.isnan(value) or 0 <= value <= 1


@pytest.mark.parametrize("metric", ADDITIVE)
def test_all_explainers_of_an_image_share_its_passes(kit, metric):
    first, second = (kit.case(kit.Placed((12, 8)), kit.maps(seed), kit.images(9)) for seed in (0, 1))
    second = type(second)(**{**vars(second), "classifier": first.classifier})
    one = metric().score(first)
    passes = first.classifier.counters.forward
    assert passes > 0
    other = metric().score(second)
    assert first.classifier.counters.forward == passes
    assert not np.allclose(one, other)


def test_correlation_by_hand():
    assert correlation(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.5, 3.0])) == pytest.approx(1)
    assert correlation(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])) == pytest.approx(1 / 2)
    assert np.isnan(correlation(np.ones(3), np.arange(3.0)))
    assert np.isnan(correlation(np.arange(3.0), np.full(3, 7.0)))


def test_random_sets_have_their_sizes_and_hit_every_piece_alike():
    sets = random_sets((8, 6), 0, [5] * 4000, 3)
    assert (sets.chosen.sum(axis=1) == 5).all()
    share = sets.chosen.mean(axis=0)
    assert np.abs(share - 5 / 48).max() < 5 * np.sqrt(5 / 48 * 43 / 48 / 4000)
    again, other = random_sets((8, 6), 0, [5] * 4000, 3), random_sets((8, 6), 0, [5] * 4000, 4)
    assert np.array_equal(sets.chosen, again.chosen)
    assert not np.array_equal(sets.chosen, other.chosen)


def test_squares_are_squares_inside_the_image():
    for one in squares((32, 48), 50, 0).chosen.reshape(50, 32, 48):
        rows, columns = np.nonzero(one)
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert height == width
        assert 2 <= height <= 8
        assert one.sum() == height * width


# ------------------------------------------------------------------------------------------------------------- twins


def slow_losses(network, image, target, sets, fill):
    lost = []
    for chosen in sets.chosen:
        seen = image.copy()
        for place in np.ndindex(image.shape[1:]):
            if chosen[sets.labels[place]]:
                seen[:, place[0], place[1]] = fill[:, place[0], place[1]]
        logits = [network(torch.from_numpy(some).unsqueeze(0))[0, target].double() for some in (image, seen)]
        lost.append(float(logits[0] - logits[1]))
    return np.array(lost)


def slow_relevance(heatmap, sets):
    return np.array([sum(heatmap[sets.labels == piece].sum() for piece in np.nonzero(one)[0]) for one in sets.chosen])


@pytest.mark.parametrize("metric", ADDITIVE)
def test_they_agree_with_their_slow_twins(kit, metric):
    network, made = kit.Placed((12, 8), channels=3), metric()
    maps, images, targets = kit.maps(3, 2), kit.images(4, 2, channels=3), [0, 2]
    case = kit.case(network, maps, images, targets, seeds=[7, 8])
    twin = []
    for heatmap, image, target, seed in zip(maps, images, targets, case.seeds, strict=True):
        sets = squares((12, 8), 64, seed) if metric is Infidelity else made.sets((12, 8), seed)
        fill = infill("mean", torch.from_numpy(image), seed).numpy()
        lost, relevance = slow_losses(network, image, target, sets, fill), slow_relevance(heatmap, sets)
        if metric is Infidelity:
            factors = np.linspace(0, 10, 200001)[:, None]
            twin.append((((factors * relevance - lost) ** 2).sum(axis=1) / (lost**2).sum()).min())
        else:
            size = made.runs if metric is SensitivityN else len(lost)
            parts = [slice(start, start + size) for start in range(0, len(lost), size)]
            twin.append(np.mean([np.corrcoef(relevance[part], lost[part])[0, 1] for part in parts]))
    np.testing.assert_allclose(made.score(case), twin, atol=1e-5)


def test_faithfulness_estimate_of_single_pixels_is_that_of_quantus(kit):
    quantus = pytest.importorskip("quantus")
    network = torch.nn.Sequential(kit.Placed((6, 6)))
    maps, images = kit.maps(5, 3, (6, 6)), kit.images(6, 3, (6, 6))
    case = kit.case(network, maps, images)
    theirs = quantus.FaithfulnessEstimate(
        features_in_step=1, perturb_baseline=0.0, abs=False, normalise=False, disable_warnings=True,
        similarity_func=quantus.similarity_func.correlation_pearson,
    )(network, images, case.targets, a_batch=maps[:, None], softmax=False, device="cpu")  # fmt: skip
    np.testing.assert_allclose(FaithfulnessEstimate(cells=6, infill="black").score(case), theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("metric", "params", "message"),
    [
        (FaithfulnessCorrelation, {"share": 0}, "share is 0"),
        (FaithfulnessCorrelation, {"runs": 0}, "runs is 0"),
        (FaithfulnessCorrelation, {"cells": -1}, "cells is -1"),
        (SensitivityN, {"sizes": 0}, "sizes is 0"),
        (Infidelity, {"output": "loss"}, "output is 'loss'"),
    ],
)
def test_what_cannot_be_is_refused(metric, params, message):
    with pytest.raises(UsageError, match=message):
        metric(**params)


def test_squares_of_every_size_between_the_bounds_are_drawn():
    sides = {int(one.sum() ** 0.5) for one in squares((32, 48), 200, 0).chosen}
    assert sides == set(range(32 // 16, 32 // 4 + 1))


def test_losses_that_differ_by_rounding_are_no_losses():
    assert np.isnan(correlation(np.arange(3.0), np.array([1.0, 1.0 + 2e-7, 1.0 + 4e-7])))
    assert correlation(np.arange(3.0), np.array([1.0, 1.0 + 2e-5, 1.0 + 4e-5])) == pytest.approx(1)


def test_sets_are_the_share_of_the_patches_that_was_asked_for():
    assert set(FaithfulnessCorrelation().sets((32, 32), 0).chosen.sum(axis=1)) == {51}  # a fifth of 16 x 16
    assert set(FaithfulnessCorrelation(share=0.5, cells=4).sets((32, 32), 0).chosen.sum(axis=1)) == {8}


def test_outputs_of_three_classes_by_hand():
    logits = np.log([[1.0, 2.0, 5.0]])
    assert read(logits, 2, "probability") == pytest.approx([5 / 8])
    assert read(logits, 2, "log-odds") == pytest.approx([np.log(5 / 3)])
    assert read(logits, 2, "logit") == pytest.approx([np.log(5)])
    assert read(np.array([[1.0, 1.0, 0.0]]), 1, "accuracy") == pytest.approx([1 / 2])
