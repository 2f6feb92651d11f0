import importlib.util
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import nn

from xaibench.classifier import TorchClassifier
from xaibench.errors import UsageError
from xaibench.normalise import invalid
from xaibench.registry import create
from xaibench_adapters import kernel_shap
from xaibench_adapters.captum_surrogates import CaptumKernelShap, CaptumLime, CaptumShapleySampling
from xaibench_adapters.coalitions import balanced, coin_flips, opposite_pairs
from xaibench_adapters.kernel_shap import KernelShap
from xaibench_adapters.lime_package import LimePackage
from xaibench_adapters.lime_surrogate import Lime, ridge
from xaibench_adapters.probing import Probe
from xaibench_adapters.shap_package import KernelShapPackage, PartitionShap
from xaibench_adapters.shapley_fit import _curve, _values_of_curve
from xaibench_adapters.superpixels import segment_means

_spec = importlib.util.spec_from_file_location("games", Path(__file__).with_name("games.py"))
games = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(games)

OVER_SEGMENTS = (Lime, KernelShap, LimePackage, KernelShapPackage, CaptumLime, CaptumKernelShap, CaptumShapleySampling)
SURROGATES = (*OVER_SEGMENTS, PartitionShap)


def quick(factory, **given):
    return factory(**{**factory.card.profiles["quick"], **given})


def values(explainer, network, rows, columns, seed=0):
    return explainer.explain(*games.played(network, rows, columns, seed=seed))[0].numpy().ravel()


# ------------------------------------------------------------------------------------------------------ coalitions


def test_balanced_coalitions_hold_each_segment_as_often_and_any_two_as_often_together_as_not():
    """A whole block for 10 segments: the whole image, and 16 opposite pairs."""
    rows = balanced(33, 10, np.random.default_rng(0))
    assert rows[0].all()
    np.testing.assert_array_equal(rows[1::2], ~rows[2::2])
    signs = np.where(rows[1:], 1, -1)
    np.testing.assert_array_equal(signs.sum(axis=0), 0)
    np.testing.assert_array_equal(signs.T @ signs, 32 * np.eye(10))


@pytest.mark.parametrize("draw", [balanced, coin_flips])
@pytest.mark.parametrize("count", [2, 7, 500])
@pytest.mark.parametrize("segments", [1, 2, 64])
def test_samplers_give_as_many_coalitions_as_asked_the_whole_image_first(draw, count, segments):
    rows = draw(count, segments, np.random.default_rng(0))
    assert rows.shape == (count, segments)
    assert rows[0].all()


@pytest.mark.parametrize("spread", ["leverage", "shapley"])
@pytest.mark.parametrize(("count", "segments"), [(1, 2), (3, 3), (7, 4), (40, 8), (63, 64), (400, 13), (300, 100)])
def test_pairs_are_distinct_and_neither_whole_nor_empty(spread, count, segments):
    rows = opposite_pairs(count, segments, np.random.default_rng(1), spread).rows
    assert len(rows) == min(count, 2 ** (segments - 1) - 1)
    assert len({row.tobytes() for row in rows} | {(~row).tobytes() for row in rows}) == 2 * len(rows)
    assert not (rows.all(axis=1) | ~rows.any(axis=1)).any()


def test_the_segments_are_in_about_as_many_coalitions_of_a_size():
    """70 pairs of 100 segments, shared evenly among 50 sizes: of sizes to 25, one or two whole orders of segments."""
    rows = opposite_pairs(70, 100, np.random.default_rng(2), "leverage").rows
    rows = np.where(rows.sum(axis=1, keepdims=True) > 50, ~rows, rows)
    small = rows[rows.sum(axis=1) <= 25]
    assert len(small) > 25
    for size in set(small.sum(axis=1)):
        assert small[small.sum(axis=1) == size].sum(axis=0).max() == 1


def test_all_pairs_of_four_segments_are_weighted_as_shapleys_kernel_says():
    """Seven pairs: four of size 1 (or 3), weight 3/(4*1*3) = 1/4; three of size 2, weight 3/(6*2*2) = 1/8."""
    pairs = opposite_pairs(1000, 4, np.random.default_rng(0), "leverage")
    assert pairs.complete
    np.testing.assert_allclose(np.sort(pairs.weights), [1 / 8] * 3 + [1 / 4] * 4)


@pytest.mark.parametrize("spread", ["leverage", "shapley"])
def test_weights_make_up_for_how_pairs_were_drawn(spread):
    """The expected sum of weight times size is that over all 127 pairs of 8 segments."""

    def total(pairs):
        return pairs.weights @ np.minimum(pairs.rows.sum(axis=1), 8 - pairs.rows.sum(axis=1))

    exact = total(opposite_pairs(127, 8, np.random.default_rng(0), spread))
    drawn = [total(opposite_pairs(20, 8, np.random.default_rng(seed), spread)) for seed in range(400)]
    assert np.mean(drawn) == pytest.approx(exact, abs=4 * np.std(drawn) / 20)


# ------------------------------------------------------------------------------------------------------ Kernel SHAP


@pytest.mark.parametrize("bend", [0.0, 0.3, 3.0])
def test_shapley_values_of_the_smooth_curve_are_those_of_the_definition(bend):
    row = np.array([1.0, -1, -1, 1, 1])
    worth = {s: _curve(np.where(s, 1.0, -1.0) @ row / 5, bend) for s in itertools.product([False, True], repeat=5)}
    for player, value in enumerate(_values_of_curve(row[None], bend)[0]):
        without = [s for s in worth if not s[player]]
        added = [
            (worth[(*s[:player], True, *s[player + 1 :])] - worth[s]) / (5 * math.comb(4, sum(s))) for s in without
        ]
        assert value == pytest.approx(sum(added))


@pytest.mark.parametrize("fit", ["smooth", "linear"])
@pytest.mark.parametrize("spread", ["leverage", "shapley"])
def test_kernel_shap_recovers_an_additive_model(fit, spread):
    terms = games.additive(64)
    found = values(
        KernelShap(samples=200, segments=64, fit=fit, spread=spread, **games.PIXELS), games.Game(terms), 8, 8
    )
    np.testing.assert_allclose(found, games.planted_values(terms, 64), atol=1e-4)


@pytest.mark.parametrize(("samples", "spread"), [(64, "shapley"), (128, "leverage")])
def test_few_pairs_of_coalitions_are_shared_as_the_kernel_weighs_and_many_evenly(samples, spread):
    """31 pairs are fewer than three for each of 12 segments, 63 are more."""
    asked, told = (KernelShap(samples=samples, segments=12, spread=one).pairs(12, seed=5) for one in ("auto", spread))
    np.testing.assert_array_equal(asked.rows, told.rows)
    np.testing.assert_array_equal(asked.weights, told.weights)


@pytest.mark.parametrize("fit", ["smooth", "linear"])
def test_opposite_pairs_cancel_interactions_of_two(fit):
    """Half of each interaction goes to each of the two: exactly, though only 98 of 2^63 pairs were seen."""
    terms = games.additive(64) + games.interactions(64, 2, 100)
    found = values(KernelShap(samples=200, segments=64, fit=fit, **games.PIXELS), games.Game(terms), 8, 8)
    np.testing.assert_allclose(found, games.planted_values(terms, 64), atol=1e-4)


@pytest.mark.parametrize("fit", ["smooth", "linear"])
def test_with_a_pass_for_every_coalition_the_values_are_exact(fit):
    network = games.Bent(12)
    found = values(KernelShap(samples=4096, segments=12, fit=fit, **games.PIXELS), network, 3, 4)
    np.testing.assert_allclose(found, games.enumerated_values(network, 3, 4), atol=1e-5)


@pytest.mark.parametrize("fit", ["smooth", "linear"])
@pytest.mark.parametrize("samples", [4, 20, 130, 601])
def test_values_add_up_to_what_the_whole_image_gains_over_the_empty_one(fit, samples):
    network = games.Bent(64)
    found = values(KernelShap(samples=samples, segments=64, fit=fit, **games.PIXELS), network, 8, 8)
    with torch.no_grad():
        whole, empty = network(torch.stack([torch.ones(1, 8, 8), torch.zeros(1, 8, 8)]))[:, 0].tolist()
    assert found.sum() == pytest.approx(whole - empty, abs=1e-4)


def test_the_smooth_fit_learns_interactions_of_three_that_the_linear_one_takes_for_noise():
    terms = games.additive(12) + games.interactions(12, 3, 30)
    truth = games.planted_values(terms, 12)
    errors = {
        fit: np.mean(
            [
                np.abs(
                    values(KernelShap(samples=512, segments=12, fit=fit, **games.PIXELS), games.Game(terms), 3, 4, s)
                    - truth
                )
                for s in range(4)
            ]
        )
        for fit in ("smooth", "linear")
    }
    assert errors["smooth"] < errors["linear"] / 2


@pytest.mark.parametrize("name", ["kernel-shap", "kernel-shap-package", "captum-kernel-shap"])
def test_the_paper_profile_has_the_segments_of_the_paper_in_every_implementation(name):
    """100 of SLIC, hardly bound to their places."""
    made = create("explainers", name, "paper").plugin
    assert (made.segmentation, made.segments, made.compactness) == ("slic", 100, 1.0)


def test_very_many_pairs_are_fitted_linearly(monkeypatch):
    """What the smooth fit needs grows with the square of their number."""
    asked = {fit: KernelShap(samples=300, segments=64, fit=fit, **games.PIXELS) for fit in ("smooth", "linear")}
    smooth, linear = (values(one, games.Bent(64), 8, 8) for one in asked.values())
    assert not np.allclose(smooth, linear)
    monkeypatch.setattr(kernel_shap, "MOST", 148)  # pairs; there are 149
    np.testing.assert_array_equal(values(asked["smooth"], games.Bent(64), 8, 8), linear)
    monkeypatch.setattr(kernel_shap, "MOST", 149)
    np.testing.assert_array_equal(values(asked["smooth"], games.Bent(64), 8, 8), smooth)


def test_kernel_shap_passes_no_more_than_it_was_given():
    for samples in (4, 33, 200):
        classifier, batch = games.played(games.Bent(12), 3, 4)
        KernelShap(samples=samples, segments=12, **games.PIXELS).explain(classifier, batch)
        assert classifier.counters.forward <= samples


# -------------------------------------------------------------------------------------------------------------- LIME


@pytest.mark.parametrize("sampler", ["balanced", "lime"])
def test_lime_recovers_an_additive_model(sampler):
    terms = games.additive(64)
    explainer = Lime(samples=300, segments=64, sampler=sampler, alpha=1e-6, **games.PIXELS)
    np.testing.assert_allclose(values(explainer, games.Game(terms), 8, 8), games.planted_values(terms, 64), atol=1e-4)


def test_the_ridge_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    rows, outputs, weights = rng.random((50, 8)) < 0.5, rng.normal(size=50), rng.random(50)
    twin = Ridge(alpha=1.0).fit(rows.astype(float), outputs, sample_weight=weights)
    np.testing.assert_allclose(ridge(rows, outputs, weights, 1.0), twin.coef_)


@pytest.mark.parametrize(("distance", "expected"), [("cosine", np.exp(-2.0)), ("hamming", np.exp(-4.5))])
def test_weights_fall_with_the_distance_from_the_whole_image(distance, expected):
    """One of four on: the cosine with the whole image is 1/2, the share off 3/4: 2 and 3 times the width of 1/4."""
    weights = Lime(distance=distance).weights(np.array([[True] * 4, [True, False, False, False]]))
    np.testing.assert_allclose(weights, [1, expected])


def test_the_library_makes_of_its_own_samples_what_we_make_of_them(monkeypatch):
    from lime.lime_image import LimeImageExplainer

    seen = {}
    drawn = LimeImageExplainer.data_labels

    def spy(self, *given, **more):
        seen["rows"], seen["outputs"] = drawn(self, *given, **more)
        return seen["rows"], seen["outputs"]

    monkeypatch.setattr(LimeImageExplainer, "data_labels", spy)
    explainer = LimePackage(samples=200, segments=16, output="logit", **games.PIXELS)
    theirs = values(explainer, games.Bent(16), 4, 4)
    rows = seen["rows"].astype(bool)
    ours = ridge(rows, seen["outputs"][:, 0], Lime().weights(rows), 1.0)
    np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-6)


# ----------------------------------------------------------------------------------------------------- other libraries


@pytest.mark.parametrize(
    "explainer",
    [
        KernelShapPackage(samples=300, segments=16, **games.PIXELS),
        CaptumKernelShap(samples=300, segments=16, **games.PIXELS),
        CaptumShapleySampling(samples=2, segments=16, **games.PIXELS),
        CaptumLime(samples=300, segments=16, alpha=1e-7, **games.PIXELS),
    ],
    ids=lambda explainer: explainer.card.name,
)
def test_the_libraries_recover_an_additive_model(explainer):
    terms = games.additive(16)
    found = values(explainer, games.Game(terms), 4, 4)
    np.testing.assert_allclose(found, games.planted_values(terms, 16), atol=2e-3)


def test_partition_shap_of_an_additive_model_is_what_each_pixel_gains_over_its_blurred_self():
    import cv2

    terms = games.additive(64)
    classifier, batch = games.played(games.Game(terms), 8, 8)
    image = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    object.__setattr__(batch, "images", image)
    found = PartitionShap(samples=20000).explain(classifier, batch)[0].numpy()
    gained = image[0, 0].numpy() - cv2.blur(image[0, 0].numpy(), (2, 2))
    np.testing.assert_allclose(found, games.planted_values(terms, 64).reshape(8, 8) * gained, atol=1e-4)


def test_partition_shap_adds_up_to_what_the_image_gains_over_its_blurred_self():
    network = games.Bent(64)
    classifier, batch = games.played(network, 8, 8)
    object.__setattr__(batch, "images", torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    found = PartitionShap(samples=300).explain(classifier, batch)
    import cv2

    blurred = torch.from_numpy(cv2.blur(batch.images[0, 0].numpy(), (2, 2)))[None, None]
    with torch.no_grad():
        gain = network(batch.images)[0, 0] - network(blurred)[0, 0]
    assert found.sum() == pytest.approx(float(gain), abs=1e-4)


# ----------------------------------------------------------------------------------------------------------- the edges


class Sick(nn.Module):
    """NaN on any image whose first pixel is bright."""

    def forward(self, images):
        value = images.mean(dim=(1, 2, 3))[:, None]
        return torch.where(images[:, :1, 0, 0] > 0.5, torch.nan, torch.cat([value, -value], dim=1))


@pytest.mark.parametrize("factory", SURROGATES, ids=lambda factory: factory.card.name)
def test_nan_from_the_network_spoils_the_map_of_its_image_alone(factory, make_batch):
    batch = make_batch(2)
    batch.images[0, :, 0, 0], batch.images[1, :, :8, :8] = 1.0, 0.0
    batch.targets[:] = 0
    maps = quick(factory).explain(TorchClassifier(Sick(), ("a", "b"), None, batch_size=8), batch).numpy()
    assert ["NaN" in reason for reason in invalid(maps)] == [True, False]


@pytest.mark.parametrize("factory", SURROGATES, ids=lambda factory: factory.card.name)
def test_a_constant_image_has_a_flat_map_or_none(factory, classifier, make_batch, channels):
    """Its segments look like what replaces them: nothing was hidden, so nothing may be shown."""
    batch = make_batch(1, channels)
    batch.images[:] = 0.3
    (reason,) = invalid(quick(factory).explain(classifier, batch).numpy())
    assert reason.startswith("flat")


@pytest.mark.parametrize("factory", OVER_SEGMENTS, ids=lambda factory: factory.card.name)
def test_a_single_segment_has_a_flat_map(factory, classifier, make_batch, channels):
    explainer = quick(factory, segmentation="grid", segments=1, infill="black")
    (reason,) = invalid(explainer.explain(classifier, make_batch(1, channels)).numpy())
    assert reason.startswith("flat")


class OneClass(nn.Module):
    def forward(self, images):
        return (images * torch.linspace(0, 1, images.shape[3])).sum(dim=(1, 2, 3))[:, None]


@pytest.mark.parametrize("factory", SURROGATES, ids=lambda factory: factory.card.name)
def test_the_probability_of_an_only_class_is_refused_and_its_logit_explained(factory, make_batch):
    classifier, batch = TorchClassifier(OneClass(), ("a",), None, batch_size=8), make_batch(1)
    batch.targets[:] = 0
    assert invalid(quick(factory, output="logit").explain(classifier, batch).numpy()) == [""]
    with pytest.raises(UsageError, match="only class is always 1"):
        quick(factory, output="probability").explain(classifier, batch)


@pytest.mark.parametrize("factory", [Lime, KernelShap], ids=lambda factory: factory.card.name)
@pytest.mark.parametrize("size", [(512, 512), (3, 5)])
def test_large_and_tiny_images_have_maps(factory, size, classifier, make_batch, channels):
    batch = make_batch(1, channels, (6, 6))
    object.__setattr__(batch, "images", nn.functional.interpolate(batch.images, size, mode="bilinear"))
    maps = quick(factory, samples=16, infill="black").explain(classifier, batch).numpy()
    assert maps.shape == (1, *size)
    assert invalid(maps) == [""]


@pytest.mark.parametrize("infill", ["black", "mean", "blur", "noise", "noisy-linear"])
@pytest.mark.parametrize("factory", [Lime, KernelShap], ids=lambda factory: factory.card.name)
def test_every_infill_of_the_core_will_do(factory, infill, classifier, make_batch, channels):
    maps = quick(factory, samples=16, infill=infill).explain(classifier, make_batch(2, channels)).numpy()
    assert invalid(maps) == ["", ""]


def test_a_segment_is_hidden_behind_its_mean():
    image = torch.tensor([[[1.0, 3.0], [5.0, 9.0]], [[0.0, 0.0], [2.0, 8.0]]])
    means = segment_means(image, np.array([[0, 0], [1, 1]], dtype=np.int32))
    np.testing.assert_array_equal(means, [[[2, 2], [7, 7]], [[0, 0], [5, 5]]])


@pytest.mark.parametrize(
    ("factory", "given", "message"),
    [
        (Lime, {"sampler": "sobol"}, "sampler is 'sobol'"),
        (Lime, {"samples": 1}, "samples is 1"),
        (Lime, {"kernel_width": 0.0}, "kernel_width 0.0"),
        (Lime, {"alpha": float("nan")}, "alpha nan"),
        (Lime, {"infill": "white"}, "infill is 'white'"),
        (Lime, {"segments": 0}, "count is 0"),
        (Lime, {"output": "loss"}, "output is 'loss'"),
        (KernelShap, {"fit": "cubic"}, "fit is 'cubic'"),
        (KernelShap, {"spread": "even"}, "spread 'even'"),
        (KernelShap, {"samples": 3}, "samples is 3"),
        (KernelShapPackage, {"selected": -1}, "selected -1"),
        (LimePackage, {"infill": "noisy-linear"}, "depends on what is hidden"),
        (LimePackage, {"samples": 0}, "samples is 0"),
        (PartitionShap, {"infill": "black"}, "infill is 'black'"),
        (PartitionShap, {"samples": 2}, "samples is 2"),
        (CaptumLime, {"alpha": 0.0}, "alpha is 0.0"),
        (CaptumKernelShap, {"infill": "noisy-linear"}, "depends on what is hidden"),
        (CaptumShapleySampling, {"samples": 0}, "samples is 0"),
    ],
)
def test_parameters_that_cannot_be_are_refused(factory, given, message):
    with pytest.raises(UsageError, match=message):
        factory(**given)


@pytest.mark.parametrize("factory", [LimePackage, CaptumLime, CaptumKernelShap, CaptumShapleySampling, PartitionShap])
def test_what_a_library_asks_for_is_cut_into_batches_that_memory_has_room_for(factory, small_net, make_batch, channels):
    """Three images at once fit; the libraries hand over as many as pay."""
    network, sizes = small_net(channels), []

    def full(_module, given):
        sizes.append(len(given[0]))
        if len(given[0]) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")

    network.register_forward_pre_hook(full)
    batch, classes = make_batch(1, channels), ("a", "b", "c")
    found = quick(factory).explain(TorchClassifier(network, classes, None), batch)
    assert max(sizes) > 3
    expected = quick(factory).explain(TorchClassifier(small_net(channels), classes, None, batch_size=3), batch)
    np.testing.assert_allclose(found, expected, atol=1e-3 * float(expected.abs().max()))


def test_an_answer_that_was_none_is_not_forgotten_for_later_ones(classifier):
    probe = Probe(classifier, 0, "logit")
    for answer in (torch.tensor([[1.0, torch.nan, 0.0]]), torch.tensor([[2.0, 1.0, 0.0]])):
        probe.note(answer)
    assert np.isnan(probe.judged(np.ones((2, 2), dtype=np.float32))).all()
