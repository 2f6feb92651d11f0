"""What is wrong with the libraries as they are, each beside the explainer in which it is right."""

import numpy as np
import pytest
import torch
from captum import attr
from lime import lime_image
from lime.wrappers.scikit_image import SegmentationAlgorithm

from xaibench.isolation import isolated_randomness
from xaibench.segmentation import segment
from xaibench_adapters.captum_surrogates import CaptumKernelShap, CaptumLime, CaptumShapleySampling
from xaibench_adapters.lime_package import LimePackage
from xaibench_adapters.shap_package import KernelShapPackage, PartitionShap, _shap

SIDE = 12


def picture(seed=0):
    return np.random.default_rng(seed).random((SIDE, SIDE, 3))


def brightness(pictures):
    """Three classes; the last is the least probable on any picture."""
    mean = np.asarray(pictures).mean(axis=(1, 2, 3))
    return np.stack([mean, 1 - mean, np.zeros_like(mean)], axis=1)


def grid(_picture):
    return np.arange(SIDE)[:, None] // 4 * 3 + np.arange(SIDE) // 4


def library_lime(explainer, **given):
    given = {"num_samples": 30, "segmentation_fn": grid, **given}
    return explainer.explain_instance(picture(), brightness, **given)


def moves_generators(action):
    """From a state of its own, which is put back afterwards."""
    with isolated_randomness(7):
        before = np.random.get_state()[1].copy(), np.random.get_state()[2], torch.get_rng_state()
        action()
        after = np.random.get_state()[1], np.random.get_state()[2], torch.get_rng_state()
        return not (np.array_equal(before[0], after[0]) and before[1] == after[1] and torch.equal(before[2], after[2]))


def quick(factory, **given):
    return factory(**{**factory.card.profiles["quick"], "samples": 8, **given})


def test_lime_draws_from_the_global_generator_and_is_another_every_time(classifier, make_batch, channels):
    bare = lime_image.LimeImageExplainer()
    assert moves_generators(lambda: library_lime(bare))
    assert dict(library_lime(bare).local_exp[1]) != dict(library_lime(bare).local_exp[1])
    assert not moves_generators(lambda: quick(LimePackage).explain(classifier, make_batch(1, channels)))


def test_lime_drops_the_seed_of_its_segmentation():
    """Today's quickshift names it otherwise."""
    assert SegmentationAlgorithm("quickshift", kernel_size=4, random_seed=3).target_params == {"kernel_size": 4}
    plain = np.zeros((3, 80, 80), dtype=np.float32)  # nothing but ties, which are broken at random
    assert not np.array_equal(segment(plain, "quickshift", seed=1), segment(plain, "quickshift", seed=2))


def test_lime_shows_a_progress_bar_that_nobody_asked_for(classifier, make_batch, channels, capsys):
    bar = lime_image.tqdm
    library_lime(lime_image.LimeImageExplainer(random_state=0))
    assert "30/30" in capsys.readouterr().err
    quick(LimePackage).explain(classifier, make_batch(1, channels))
    assert capsys.readouterr().err == ""
    assert lime_image.tqdm is bar


def test_lime_takes_no_notice_of_the_label_it_is_asked_for(classifier, make_batch, channels):
    explained = library_lime(lime_image.LimeImageExplainer(random_state=0), labels=(2,), top_labels=1)
    assert 2 not in explained.local_exp
    batch = make_batch(1, channels)
    unlikely = classifier.logits(batch.images).argmin(dim=1)
    object.__setattr__(batch, "targets", unlikely)
    assert np.ptp(quick(LimePackage).explain(classifier, batch).numpy()) > 0


@pytest.mark.parametrize("channels", [1, 2])
def test_lime_takes_three_channels_only(channels, make_batch, classifier):
    bare = lime_image.LimeImageExplainer(random_state=0)
    with pytest.raises((ValueError, IndexError)):
        bare.explain_instance(picture()[..., :channels], brightness, segmentation_fn=grid, num_samples=4)
    if channels == 1:
        assert np.ptp(quick(LimePackage).explain(classifier, make_batch(1)).numpy()) > 0


def library_kernel_shap(players=16, samples=60, **given):
    worths = np.arange(1.0, players + 1)
    explainer = _shap().KernelExplainer(lambda rows: np.sin(rows @ worths), np.zeros((1, players)))
    return explainer.shap_values(np.ones((1, players)), nsamples=samples, silent=True, **given)[0]


def test_kernel_explainer_draws_from_the_global_generator_and_is_another_every_time(classifier, make_batch, channels):
    assert moves_generators(library_kernel_shap)
    assert not np.array_equal(library_kernel_shap(l1_reg=False), library_kernel_shap(l1_reg=False))
    ours = quick(KernelShapPackage, samples=120)
    assert not moves_generators(lambda: ours.explain(classifier, make_batch(1, channels)))


def test_kernel_explainer_gives_a_value_to_ten_segments_only(classifier, make_batch, channels):
    assert np.count_nonzero(library_kernel_shap()) <= 10
    found = quick(KernelShapPackage, samples=120).explain(classifier, make_batch(1, channels)).numpy()
    assert len(np.unique(found)) > 20


def test_the_inpainting_masker_turns_pixels_below_1_black():
    """So of an image in [0, 1] a half-hidden version keeps nothing of what is shown."""
    image = np.full((8, 8, 3), 0.9, dtype=np.float32)
    shown = np.ones(image.shape, dtype=bool)
    shown[:, 4:] = False
    (masked,) = _shap().maskers.Image("inpaint_telea", image.shape)(shown.ravel(), image)
    assert masked.max() == 0


@pytest.mark.parametrize("infill", ["inpaint", "blur"])
def test_partition_shap_shows_the_network_the_image_itself_where_it_is_not_hidden(
    infill, classifier, make_batch, channels
):
    batch, seen = make_batch(1, channels), []
    classifier.network.inner.register_forward_pre_hook(lambda _module, given: seen.extend(given[0].clone()))
    quick(PartitionShap, samples=20, infill=infill).explain(classifier, batch)
    kept = [float((one - batch.images[0]).abs().lt(1e-2).float().mean()) for one in seen]
    assert max(kept) == 1
    assert sum(share >= 0.4 for share in kept) > len(kept) / 3


def test_the_blur_of_one_image_is_taken_for_that_of_another_at_the_same_address():
    """The library knows an image by its address; an image changed in place keeps it."""
    image = np.zeros((8, 8, 3), dtype=np.float32).ravel()
    masker = _shap().maskers.Image("blur(3,3)", (8, 8, 3))
    hidden = np.zeros(image.shape, dtype=bool)
    masker(hidden, image)
    image[:] = 1
    (masked,) = masker(hidden, image)
    assert masked.max() == 0


def test_partition_explainer_draws_from_the_global_generator(classifier, make_batch, channels):
    shap, image = _shap(), picture().astype(np.float32)

    def bare():
        masker = shap.maskers.Image("blur(3,3)", image.shape)
        shap.PartitionExplainer(lambda some: brightness(some)[:, 0], masker)(image[None], max_evals=20, silent=True)

    assert moves_generators(bare)
    assert not moves_generators(lambda: quick(PartitionShap).explain(classifier, make_batch(1, channels)))


@pytest.mark.parametrize(
    ("method", "factory"),
    [
        (attr.Lime, CaptumLime),
        (attr.KernelShap, CaptumKernelShap),
        (attr.ShapleyValueSampling, CaptumShapleySampling),
    ],
    ids=["lime", "kernel-shap", "shapley-sampling"],
)
def test_captum_draws_from_the_global_generator_and_has_no_seed(method, factory, classifier, make_batch, channels):
    mask = torch.from_numpy(grid(None))[None, None]

    def bare():
        method(lambda images: torch.sin(9 * images.mean(dim=(1, 2, 3)))).attribute(
            torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)), feature_mask=mask, n_samples=5
        )

    assert moves_generators(bare)
    assert not moves_generators(lambda: quick(factory, samples=2).explain(classifier, make_batch(1, channels)))


def test_captums_kernel_shap_fails_on_a_single_segment(classifier, make_batch, channels):
    one = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.long)
    with pytest.raises((ValueError, RuntimeError)):
        attr.KernelShap(lambda images: images.mean(dim=(1, 2, 3))).attribute(
            torch.ones(1, 3, SIDE, SIDE), feature_mask=one, n_samples=5
        )
    whole = quick(CaptumKernelShap, segmentation="grid", segments=1)
    assert np.ptp(whole.explain(classifier, make_batch(1, channels)).numpy()) == 0
