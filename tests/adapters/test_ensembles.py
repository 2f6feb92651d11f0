"""Explainers made of other explainers."""

import numpy as np
import pytest
import torch

from xaibench.classifier import TorchClassifier
from xaibench.errors import UsageError
from xaibench.normalise import normalise
from xaibench.registry import create
from xaibench_adapters.ensembles import MeanOf, Smooth, parts_of
from xaibench_adapters.gradcam import GradCAM
from xaibench_adapters.noisy_gradients import SmoothGrad
from xaibench_adapters.pixel_gradients import InputXGradient, Saliency


@pytest.fixture
def classifier(small_net):
    return TorchClassifier(small_net(1), ("a", "b", "c"), "features")


@pytest.fixture
def batch(make_batch):
    return make_batch(3)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("gradcam", ["gradcam"]),
        ("gradcam+rise", ["gradcam", "rise"]),
        ("gradcam++", ["gradcam++"]),
        ("gradcam+++rise", ["gradcam++", "rise"]),
        ("rise+gradcam++", ["rise", "gradcam++"]),
        ("gradcam(layer=layer3+layer4)+saliency", ["gradcam(layer=layer3+layer4)", "saliency"]),
        ("gradcam++(layer=a+b) + rise(samples=500)", ["gradcam++(layer=a+b)", "rise(samples=500)"]),
    ],
)
def test_names_are_told_apart_at_plus_signs(text, parts):
    assert parts_of(text) == parts


@pytest.mark.parametrize("text", ["", "gradcam+", "+gradcam", "gradcam++rise", "gradcam(layer=a", "a++++b"])
def test_what_is_no_list_of_names_is_refused(text):
    with pytest.raises(UsageError, match="is no list of explainers; join their names"):
        parts_of(text)


def test_the_mean_is_that_of_the_maps_as_scored(classifier, batch):
    maps = MeanOf("gradcam+input-x-gradient").explain(classifier, batch)
    parts = [normalise(one().explain(classifier, batch).numpy()) for one in (GradCAM, InputXGradient)]
    np.testing.assert_allclose(maps, (parts[0] + parts[1]) / 2, atol=1e-6)


def test_a_failed_map_of_a_part_fails_the_mean_of_that_image_alone(classifier, batch):
    batch.images[1, 0, 0, 0] = torch.nan
    maps = MeanOf("gradcam+saliency").explain(classifier, batch)
    assert [bool(np.isfinite(one).all()) for one in maps] == [True, False, True]


def test_where_a_part_shows_nothing_the_mean_shows_nothing_of_that_image_alone(classifier, batch):
    """Else the map of the others would pass for that of all."""
    batch.images[1] = 0  # nothing times any gradient
    maps = MeanOf("input-x-gradient+saliency").explain(classifier, batch)
    assert [bool(one.any()) for one in maps] == [True, False, True]


def test_the_card_follows_from_the_parts():
    card = MeanOf("gradcam+saliency").card
    assert (card.needs, card.stochastic, card.class_sensitive) == ({"gradients", "cam_layer"}, False, True)
    card = MeanOf("smoothgrad(samples=3)+attention-rollout").card
    assert (card.needs, card.stochastic, card.class_sensitive) == ({"gradients", "attention"}, True, True)
    assert not MeanOf("eigencam").card.class_sensitive
    assert Smooth("eigencam").card.stochastic
    assert (Smooth("input-x-gradient").card.sign, Smooth("saliency").card.sign) == ("signed", "positive")


def test_a_new_version_of_a_part_is_a_new_version_of_the_whole():
    assert create("explainers", "integrated-gradients").card["version"] == 2
    assert MeanOf("gradcam+integrated-gradients").card.version == MeanOf("gradcam+saliency").card.version + 1


def test_a_profile_reaches_the_parts():
    made = create("explainers", "mean-of(explainers='smoothgrad+gradcam')", "quick").plugin
    assert made.explainers()[0].samples == 16
    made = create("explainers", "mean-of(explainers='smoothgrad(samples=3)')", "quick").plugin
    assert made.explainers()[0].samples == 3


@pytest.mark.parametrize("part", ["roi", "random"])
def test_floors_and_ceilings_are_no_parts(part):
    with pytest.raises(UsageError, match=f"{part} is a floor or a ceiling"):
        MeanOf(f"gradcam+{part}")
    with pytest.raises(UsageError, match=f"{part} is a floor or a ceiling"):
        Smooth(part)


def test_a_part_that_does_not_exist_is_named():
    with pytest.raises(UsageError, match="there is no explainer 'gradcan'; did you mean gradcam"):
        MeanOf("gradcan+saliency")


def test_smooth_is_the_mean_over_noisy_versions(classifier, batch):
    explainer = Smooth("saliency", samples=4, sd=0.2)
    versions = [explainer.version(batch, number) for number in range(4)]
    expected = np.mean([Saliency().explain(classifier, version).numpy() for version in versions], axis=0)
    np.testing.assert_allclose(explainer.explain(classifier, batch), expected, rtol=1e-5)
    differences = [(version.images - batch.images) for version in versions]
    ranges = batch.images.amax(dim=(1, 2, 3)) - batch.images.amin(dim=(1, 2, 3))
    spreads = torch.stack(differences).std(dim=(0, 2, 3, 4))
    torch.testing.assert_close(spreads, 0.2 * ranges, rtol=0.05, atol=0)  # 5120 draws: a standard error of 1 %


def test_smooth_without_noise_is_the_explainer_itself(classifier, batch):
    maps = Smooth("saliency", samples=3, sd=0).explain(classifier, batch)
    np.testing.assert_allclose(maps, Saliency().explain(classifier, batch), rtol=1e-6)


def test_a_stochastic_part_draws_anew_for_every_version(classifier, batch):
    explainer = Smooth("smoothgrad(samples=1)", samples=2, sd=0)
    seeds = [explainer.version(batch, number).seeds for number in range(2)]
    assert len({*seeds[0], *seeds[1], *batch.seeds}) == 9
    single = SmoothGrad(samples=1).explain(classifier, batch)
    assert not np.allclose(explainer.explain(classifier, batch), single)


@pytest.mark.parametrize(("name", "options"), [("samples", {"samples": 0}), ("sd", {"sd": -1.0})])
def test_parameters_that_cannot_be_are_refused(name, options):
    with pytest.raises(UsageError, match=f"smooth: {name} is"):
        Smooth(**options)
