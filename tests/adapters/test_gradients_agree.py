"""Gradient methods against captum's, which is fed the same noise and the same blank images."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from captum import attr
from scipy import ndimage
from torch import nn
from torch.nn import functional as F

from xaibench.classifier import TorchClassifier
from xaibench_adapters.deeplift import DeepLift, DeepLiftShap
from xaibench_adapters.drawing import baseline, generator, noisy
from xaibench_adapters.ensembles import MeanOf, Smooth
from xaibench_adapters.guided_path import GuidedIG
from xaibench_adapters.noisy_gradients import SmoothGrad, VarGrad
from xaibench_adapters.path_gradients import BlurIG, Focus, GradientShap, IntegratedGradients
from xaibench_adapters.pixel_gradients import InputXGradient, Saliency
from xaibench_adapters.relu_rules import Deconvolution, GuidedBackprop, GuidedGradCAM

CLASSES = ("a", "b", "c")


class Modules(nn.Module):
    """Every ReLU a module of its own and none in place, as captum needs it."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.Conv2d(6, 8, 3, stride=2), nn.ReLU(), nn.AvgPool2d(2),
            nn.Conv2d(8, 8, 2), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(8, 3)
        generator = torch.Generator().manual_seed(2)
        with torch.no_grad():
            for tensor in self.parameters():
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.4)
        self.eval().requires_grad_(False)

    def forward(self, images):
        return self.head(self.body(images).sum(dim=(2, 3)))


@pytest.fixture(scope="module")
def batch(make_batch):
    return make_batch(3, 3, (24, 20))


@pytest.fixture
def ours():
    return TorchClassifier(Modules(), CLASSES, "body.2")


def leaf(batch):
    return batch.images.clone().requires_grad_()


def assert_close(maps, expected):
    scale = expected.abs().amax(dim=(1, 2), keepdim=True)
    assert scale.min() > 1e-3
    torch.testing.assert_close(maps / scale, expected.detach() / scale, rtol=0, atol=1e-5)


@pytest.fixture(autouse=True)
def captum_may_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize(
    ("explainer", "theirs"),
    [(Saliency, attr.Saliency), (GuidedBackprop, attr.GuidedBackprop), (Deconvolution, attr.Deconvolution)],
)
def test_what_arrives_at_the_pixels_is_captums(ours, batch, explainer, theirs):
    expected = theirs(Modules()).attribute(leaf(batch), target=batch.targets).abs().amax(dim=1)
    assert_close(explainer().explain(ours, batch), expected)


@pytest.mark.parametrize(
    ("explainer", "theirs"),
    [
        (InputXGradient(), lambda network: attr.InputXGradient(network)),
        (DeepLift(), lambda network: attr.DeepLift(network)),
    ],
)
def test_contributions_are_captums(ours, batch, explainer, theirs):
    expected = theirs(Modules()).attribute(leaf(batch), target=batch.targets).sum(dim=1)
    assert_close(explainer.explain(ours, batch), expected)


@pytest.mark.parametrize("shade", [0.0, 0.3])
def test_deeplift_from_a_shade_is_captums(ours, batch, shade):
    expected = attr.DeepLift(Modules()).attribute(leaf(batch), shade, target=batch.targets).sum(dim=1)
    assert_close(DeepLift(shade=shade).explain(ours, batch), expected)


@pytest.mark.parametrize("shade", [0.0, 0.3])
@pytest.mark.parametrize("steps", [1, 7, 20])
def test_integrated_gradients_are_captums(ours, batch, steps, shade):
    expected = attr.IntegratedGradients(Modules()).attribute(
        leaf(batch), shade, target=batch.targets, n_steps=steps, method="gausslegendre"
    )
    assert_close(IntegratedGradients(steps=steps, shade=shade).explain(ours, batch), expected.sum(dim=1))


def test_guided_gradcam_is_captums_with_bilinear_enlargement(ours, batch):
    network = Modules()
    expected = attr.GuidedGradCam(network, network.body[2]).attribute(
        leaf(batch), target=batch.targets, interpolate_mode="bilinear"
    )
    assert_close(GuidedGradCAM().explain(ours, batch), expected.abs().amax(dim=1))


@pytest.mark.parametrize(("explainer", "kind"), [(SmoothGrad, "smoothgrad"), (VarGrad, "vargrad")])
def test_averages_over_noise_are_captums_of_the_same_noise(ours, batch, explainer, kind, monkeypatch):
    def same_noise(_mean, spread):
        """Captum asks for the noise of all samples of all images at once, sample by sample within each image."""
        number = len(spread) // len(batch.images)
        draws = [noisy(batch, "noisy-gradients", i, s, 0.2) - batch.images[i] for i in range(3) for s in range(number)]
        return torch.stack(draws)

    tunnel = attr.NoiseTunnel(attr.Saliency(Modules()))
    with monkeypatch.context() as patched:
        patched.setattr(torch, "normal", same_noise)
        expected = tunnel.attribute(
            leaf(batch), target=batch.targets, nt_type=kind, nt_samples=6, stdevs=0.2, abs=False
        )
    expected = expected.abs().amax(dim=1) if kind == "smoothgrad" else expected.sum(dim=1)
    assert_close(explainer(samples=6, noise=0.2).explain(ours, batch), expected)


def test_deeplift_shap_is_captums_for_the_same_blank_images(ours, batch):
    maps = DeepLiftShap(samples=5, baselines="noise").explain(ours, batch)
    for image in range(3):
        blanks = torch.stack([baseline(batch, "deeplift-shap", "noise", image, s, 5) for s in range(5)])
        expected = attr.DeepLiftShap(Modules()).attribute(
            leaf(batch)[image : image + 1].detach(), blanks, target=int(batch.targets[image])
        )
        assert_close(maps[image : image + 1], expected.sum(dim=1))


def test_gradient_shap_is_its_definition(ours, batch):
    """Captum draws which blank image, how far and which noise from numpy and torch: here from the same three draws."""
    maps = GradientShap(samples=4, baselines="noise", noise=0.1).explain(ours, batch)
    network, expected = Modules(), []
    for i in range(3):
        total = 0
        for s in range(4):
            start = baseline(batch, "gradient-shap", "noise", i, s, 4)
            end = noisy(batch, "gradient-shap-noise", i, s, 0.1)
            place = torch.rand((), generator=generator(batch, "gradient-shap-place", i, s))
            point = (start + place * (end - start))[None].requires_grad_()
            total = total + attr.Saliency(network).attribute(point, int(batch.targets[i]), abs=False) * (end - start)
        expected.append((total / 4).sum(dim=1))
    assert_close(maps, torch.cat(expected))


def test_gradient_shap_of_one_blank_image_without_noise_approaches_integrated_gradients(ours, batch):
    maps = GradientShap(samples=400, baselines="black", noise=0).explain(ours, batch)
    expected = IntegratedGradients(steps=50).explain(ours, batch)
    scale = expected.abs().amax(dim=(1, 2), keepdim=True)
    assert ((maps - expected).abs() / scale).max() < 0.15  # of 400 draws at random


def test_shades_cover_dark_to_bright(batch):
    shades = [baseline(batch, "any", "shades", 0, s, 4) for s in range(4)]
    assert all(shade.min() == shade.max() for shade in shades)
    assert [int(shade.max() * 4) for shade in shades] == [0, 1, 2, 3]


# ------------------------------------------------------------------------------------------------------ completeness


def change(classifier, batch, blank):
    difference = classifier.logits(batch.images) - classifier.logits(blank)
    return difference.gather(1, batch.targets[:, None]).squeeze(1)


@pytest.mark.parametrize(("explainer", "tolerance"), [(IntegratedGradients(300), 0.01), (DeepLift(), 1e-4)])
def test_contributions_add_up_to_the_change_of_the_logit_from_black(ours, batch, explainer, tolerance):
    expected = change(ours, batch, torch.zeros_like(batch.images))
    assert expected.abs().min() > 0.05
    sums = explainer.explain(ours, batch).sum(dim=(1, 2))
    torch.testing.assert_close(sums, expected, rtol=tolerance, atol=1e-4)


def test_blur_ig_adds_up_to_the_change_of_the_logit_from_the_blurred_image(ours, batch):
    explainer = BlurIG(steps=200, sigma=0.2)
    focus = Focus(batch.images, 200, 0.2)
    blurred = torch.stack([focus.frame(image, 0) for image in range(3)])
    expected = change(ours, batch, blurred)
    assert expected.abs().min() > 0.05
    torch.testing.assert_close(explainer.explain(ours, batch).sum(dim=(1, 2)), expected, rtol=0.02, atol=1e-3)


def test_images_come_into_focus_as_scipy_blurs_them(batch):
    focus = Focus(batch.images, 5, 0.2)
    for step in range(6):
        width = 0.2 * 20 * (1 - step / 5) ** 2
        expected = ndimage.gaussian_filter(batch.images[1].numpy(), (0, width, width), mode="constant", truncate=6)
        np.testing.assert_allclose(focus.frame(1, step), expected, atol=1e-5)
    assert torch.equal(focus.frame(1, 5), batch.images[1])


# --------------------------------------------------------------------------------------------- linear, in closed form

WEIGHTS = torch.tensor([[[[1.0, -2.0], [3.0, 0.0]], [[-4.0, 1.0], [2.0, 0.5]]]])  # [1 class, C, H, W]
PIXELS = torch.tensor([[[[0.5, 1.0], [0.25, 1.0]], [[0.5, 0.0], [1.0, 1.0]]]])


class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(WEIGHTS.clone())

    def forward(self, images):
        return torch.einsum("bchw,kchw->bk", images, self.weights) + 7


@pytest.fixture
def linear_batch(batch, part):
    one = part(batch, [0])
    object.__setattr__(one, "images", PIXELS)
    object.__setattr__(one, "targets", torch.tensor([0]))
    return one


CONTRIBUTIONS = (WEIGHTS * PIXELS).sum(dim=1)
LARGEST = WEIGHTS.abs().amax(dim=1)


@pytest.mark.parametrize(
    ("explainer", "expected"),
    [
        (Saliency(), LARGEST),
        (SmoothGrad(samples=5), LARGEST),
        (VarGrad(samples=5), torch.zeros(1, 2, 2)),
        (InputXGradient(), CONTRIBUTIONS),
        (IntegratedGradients(steps=9), CONTRIBUTIONS),
        (IntegratedGradients(steps=9, shade=0.5), (WEIGHTS * (PIXELS - 0.5)).sum(dim=1)),
        (GradientShap(samples=9, baselines="black", noise=0), CONTRIBUTIONS),
        (DeepLift(), CONTRIBUTIONS),
        (DeepLiftShap(samples=3, baselines="black"), CONTRIBUTIONS),
        (GuidedIG(steps=9), CONTRIBUTIONS),  # on whatever way
        (Smooth("saliency", samples=5), LARGEST),
        (MeanOf("saliency"), (LARGEST - LARGEST.min()) / (LARGEST.max() - LARGEST.min())),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_linear_model_is_explained_by_its_weights(linear_batch, explainer, expected):
    maps = explainer.explain(TorchClassifier(Linear(), ("a",), None), linear_batch)
    torch.testing.assert_close(torch.as_tensor(maps), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("explainer", [GradientShap(8, "shades", 0), DeepLiftShap(8, "shades")])
def test_over_shades_a_linear_model_is_explained_from_their_mean(linear_batch, explainer):
    name = explainer.card.name
    shade = torch.stack([baseline(linear_batch, name, "shades", 0, s, 8) for s in range(8)]).mean()
    maps = explainer.explain(TorchClassifier(Linear(), ("a",), None), linear_batch)
    torch.testing.assert_close(maps, (WEIGHTS * (PIXELS - shade)).sum(dim=1), rtol=1e-4, atol=1e-5)


def test_blur_ig_of_a_linear_model_is_the_change_of_each_pixel_times_its_weight(linear_batch):
    explainer = BlurIG(steps=4)
    blurred = Focus(PIXELS, 4, 0.2).frame(0, 0)
    maps = explainer.explain(TorchClassifier(Linear(), ("a",), None), linear_batch)
    torch.testing.assert_close(maps, (WEIGHTS * (PIXELS - blurred)).sum(dim=1), rtol=1e-5, atol=1e-6)


class OneRelu(nn.Module):
    """Two units, relu(a - b) and -relu(a), of an image with the pixels a and b."""

    def forward(self, images):
        a, b = images[:, 0, 0, 0], images[:, 0, 0, 1]
        return torch.stack([F.relu(a - b) - 2 * F.relu(a), a], dim=1)


@pytest.mark.parametrize(
    ("explainer", "pixels", "expected"),
    [
        # Plain: d/da = 1 - 2 = -1 and d/db = -1 where both are active; only the second where b > a.
        (Saliency(), (0.9, 0.2), [[1, 1]]),
        (Saliency(), (0.2, 0.9), [[2, 0]]),
        # Guided: the gradient that reaches the second ReLU is -2 and goes no further.
        (GuidedBackprop(), (0.9, 0.2), [[1, 1]]),
        (GuidedBackprop(), (0.2, 0.9), [[0, 0]]),
        # Deconvolution: the first ReLU hands back 1 even where it is not active.
        (Deconvolution(), (0.2, 0.9), [[1, 1]]),
        # Rescale from black: relu(.7) / .7 = 1 for the first, 1 for the second: a (1 - 2) and -b.
        (DeepLift(), (0.9, 0.2), [[-0.9, -0.2]]),
        (DeepLift(), (0.2, 0.9), [[-0.4, 0]]),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "card") else str(value),
)
def test_rules_for_relus_by_hand(batch, part, explainer, pixels, expected):
    one = part(batch, [0])
    object.__setattr__(one, "images", torch.tensor([[[list(pixels)]]]))
    object.__setattr__(one, "targets", torch.tensor([0]))
    maps = explainer.explain(TorchClassifier(OneRelu(), ("a", "b"), None), one)
    np.testing.assert_allclose(maps[0], expected, atol=1e-6)


def test_noise_is_a_share_of_the_images_own_range(batch):
    def spread(images):
        drawn = noisy(replace(batch, images=images), "x", 0, 0, 0.1)
        return drawn - images[0]

    torch.testing.assert_close(spread(batch.images / 2 + 0.25), spread(batch.images) / 2, rtol=1e-3, atol=1e-6)
