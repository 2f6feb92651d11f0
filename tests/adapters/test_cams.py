"""The CAM family: against pytorch-grad-cam, against slow twins, by hand; layers of every kind."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import VisionTransformer

from xaibench.classifier import TorchClassifier
from xaibench.contracts import Batch
from xaibench.errors import UsageError
from xaibench.normalise import normalise
from xaibench_adapters.dt_gradcam import DTGradCAM
from xaibench_adapters.eigencam import EigenCAM
from xaibench_adapters.gradcam import GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, XGradCAM
from xaibench_adapters.tokens import token_grid


class TwoStages(nn.Module):
    """Two convolutional stages and a sum over places, so that gradients are far above the 1e-6 that peers add."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(6, 8, 3, stride=2), nn.ReLU())
        self.third = nn.Sequential(nn.Conv2d(8, 8, 3), nn.ReLU())
        self.head = nn.Linear(8, 3)
        generator = torch.Generator().manual_seed(4)
        with torch.no_grad():
            for tensor in self.parameters():
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
        self.eval()

    def forward(self, images):
        return self.head(self.third(self.second(self.first(images))).sum(dim=(2, 3)))


def batch_of(images, targets):
    count = len(images)
    return Batch(images, torch.tensor(targets), tuple(map(str, range(count))), tuple(range(count)))


@pytest.fixture(scope="module")
def images():
    return torch.rand((3, 3, 33, 41), generator=torch.Generator().manual_seed(7))


def pytorch_grad_cam(method, network, layers, images, targets, reshape=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pytorch_grad_cam as peer
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        cam = getattr(peer, method)(network, layers, reshape_transform=reshape)
        maps = cam(images.clone().requires_grad_(), [ClassifierOutputTarget(target) for target in targets])
        cam.activations_and_grads.release()
    return maps


PEERS = [
    (GradCAM, "GradCAM"),
    (GradCAMPlusPlus, "GradCAMPlusPlus"),
    (XGradCAM, "XGradCAM"),
    (HiResCAM, "HiResCAM"),
    (LayerCAM, "LayerCAM"),
]


@pytest.mark.parametrize(("ours", "theirs"), PEERS)
@pytest.mark.parametrize("layer", ["second", "first+second"])
def test_the_family_agrees_with_pytorch_grad_cam(images, ours, theirs, layer):
    network, targets = TwoStages(), [0, 1, 2]
    layers = [getattr(network, name) for name in layer.split("+")]
    expected = pytorch_grad_cam(theirs, network, layers, images, targets)
    maps = ours(layer=layer).explain(TorchClassifier(TwoStages(), ("a", "b", "c"), None), batch_of(images, targets))
    assert (np.ptp(expected, axis=(1, 2)) > 0.9).sum() >= 2  # an empty map agrees with everything
    np.testing.assert_allclose(normalise(maps.numpy()), expected, atol=1e-4)


def test_eigencam_is_that_of_pytorch_grad_cam_whichever_sign_that_drew(images):
    network = TwoStages()
    theirs = pytorch_grad_cam("EigenCAM", network, [network.second], images, [0, 1, 2])
    classifier = TorchClassifier(TwoStages(), ("a", "b", "c"), "second")
    ours = EigenCAM().explain(classifier, batch_of(images, [0, 1, 2])).numpy()
    with torch.no_grad():
        places = network.first(images)
        places = network.second(places).flatten(2).transpose(1, 2)
    for heatmap, peer, features in zip(ours, theirs, places, strict=True):
        centred = features - features.mean(dim=0)
        strength, first = np.linalg.eigh((centred.T @ centred).numpy())
        assert strength[-1] > 1.5 * strength[-2]  # or there would be no first component to speak of
        projected = centred @ torch.from_numpy(first[:, -1])
        signs = [
            normalise(F.interpolate(F.relu(sign * projected).reshape(1, 1, 7, 9), (33, 41), mode="bilinear")[0].numpy())
            for sign in (1, -1)
        ]
        assert min(np.abs(peer - sign[0]).max() for sign in signs) < 1e-4
        assert min(np.abs(normalise(heatmap[None])[0] - sign[0]).max() for sign in signs) < 1e-4
        bright = features.mean(dim=1)
        small = F.interpolate(torch.from_numpy(heatmap)[None, None], (7, 9), mode="bilinear").flatten()
        assert np.corrcoef(small, bright)[0, 1] > 0


def test_eigencam_asks_for_no_gradients_and_passes_none(images):
    classifier = TorchClassifier(TwoStages(), ("a", "b", "c"), "second")
    EigenCAM().explain(classifier, batch_of(images, [0, 1, 2]))
    assert (classifier.counters.forward, classifier.counters.backward) == (3, 0)


class Exponential(nn.Module):
    """The part of the network after its layer, in double precision."""

    def __init__(self, network, target):
        super().__init__()
        self.network, self.target = network, target

    def forward(self, activations):
        return torch.exp(self.network.head(self.network.third(activations).sum(dim=(2, 3)))[0, self.target])


def test_gradcam_plus_plus_agrees_with_derivatives_of_the_exponential(images):
    """Three derivatives of exp(logit), each by autograd: where the network is piecewise linear they obey the paper."""
    network = TwoStages().double()
    classifier = TorchClassifier(TwoStages(), ("a", "b", "c"), "second")
    maps = GradCAMPlusPlus().explain(classifier, batch_of(images, [2, 0, 1])).numpy()
    for image, target, heatmap in zip(images.double(), [2, 0, 1], maps, strict=True):
        places = network.second(network.first(image[None])).detach().requires_grad_()
        derivative, powers = Exponential(network, target)(places), []
        for _ in range(3):  # the diagonal of each derivative: no cross terms enter the closed form
            (slope,) = torch.autograd.grad(derivative.sum(), places, create_graph=True)
            powers.append(slope)
            derivative = slope
        first = powers[0]
        value = Exponential(network, target)(places)
        second, third = first**2 / value, first**3 / value**2
        alphas = second / (2 * second + places.sum(dim=(2, 3), keepdim=True) * third)
        alphas = torch.where(first == 0, 0, alphas)
        weights = (alphas * F.relu(first)).sum(dim=(2, 3), keepdim=True)
        twin = F.interpolate(F.relu((weights * places).sum(dim=1, keepdim=True)), image.shape[1:], mode="bilinear")
        expected = normalise(twin[0].detach().numpy().astype(np.float32))[0]
        np.testing.assert_allclose(normalise(heatmap[None])[0], expected, atol=1e-4)


class HandNet(nn.Module):
    """Two channels, A = x and B = 5 - x; each logit is their sum over all places with weights [K, C, h, w]."""

    def __init__(self, weights):
        super().__init__()
        self.layer = nn.Conv2d(1, 2, 1)
        self.weights = nn.Parameter(torch.tensor(weights))
        with torch.no_grad():
            self.layer.weight.copy_(torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1))
            self.layer.bias.copy_(torch.tensor([0.0, 5.0]))

    def forward(self, images):
        return torch.einsum("bchw,kchw->bk", self.layer(images), self.weights)


IMAGE = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
# The class weighs A by place and ignores B.
UNEVEN = [[[[4.0, 0.0], [-2.0, 2.0]], [[0.0, 0.0], [0.0, 0.0]]]]


def hand_map(explainer):
    classifier = TorchClassifier(HandNet(UNEVEN), ("a",), "layer")
    return explainer.explain(classifier, batch_of(IMAGE, [0]))[0].tolist()


def test_xgradcam_by_hand():
    # A = [[1, 2], [3, 4]] sums to 10; sum of g A = 4 - 6 + 8 = 6; the weight is .6.
    assert hand_map(XGradCAM()) == [[pytest.approx(0.6), pytest.approx(1.2)], [pytest.approx(1.8), pytest.approx(2.4)]]


def test_gradcam_plus_plus_by_hand():
    # S = 10. Weights of places: 4 / (2 + 40) + 2 / (2 + 20); the negative gradient does not count.
    weight = 4 / 42 + 2 / 22
    assert np.array(hand_map(GradCAMPlusPlus())) == pytest.approx(weight * np.array([[1, 2], [3, 4]]))


def test_eigencam_by_hand():
    # A = x and B = 5 - x vary along (1, -1) / sqrt 2; centred x is [-1.5, -.5, .5, 1.5]. A + B = 5 everywhere, so no
    # sign agrees with the mean, and the largest value is turned up; with two of them the first.
    root = 2**0.5
    assert np.array(hand_map(EigenCAM())) == pytest.approx(np.array([[1.5, 0.5], [0, 0]]) * root)


def test_dt_gradcam_by_hand():
    # Grad-CAM is x with weight 1, stretched to [0, 1/3, 2/3, 1]: mean 1/2, standard deviation sqrt(5) / 6 = .373.
    mean = {"threshold": "mean+sd", "k": 0.0}
    assert np.array(hand_map(DTGradCAM(**mean))) == pytest.approx(np.array([[0, 0], [2 / 3, 1]]))
    assert np.array(hand_map(DTGradCAM(**mean, keep="excess"))) == pytest.approx(np.array([[0, 0], [1 / 6, 1 / 2]]))
    assert hand_map(DTGradCAM(**mean, keep="region")) == [[0, 0], [1, 1]]
    assert hand_map(DTGradCAM(threshold="mean+sd", k=1.0, keep="region")) == [[0, 0], [0, 1]]  # above .873


def test_dt_gradcam_with_otsu_parts_a_map_of_two_levels_between_them():
    image = torch.tensor([[[[1.0, 1.1, 1.2, 4.0], [1.0, 1.2, 4.1, 4.2]]]])
    classifier = TorchClassifier(HandNet([[[[1.0] * 4] * 2, [[0.0] * 4] * 2]]), ("a",), "layer")
    kept = DTGradCAM(keep="region").explain(classifier, batch_of(image, [0]))
    assert kept.tolist() == [[[0, 0, 0, 1], [0, 0, 1, 1]]]


@pytest.mark.parametrize("parameters", [{"threshold": "mean"}, {"keep": "all"}])
def test_an_option_of_dt_gradcam_that_does_not_exist_is_refused(parameters):
    with pytest.raises(UsageError, match=f"dt-gradcam: {next(iter(parameters))} is"):
        DTGradCAM(**parameters)


# ------------------------------------------------------------------------------------------------------------- layers


@pytest.mark.parametrize("explainer", [GradCAM, EigenCAM, DTGradCAM])
def test_a_named_layer_needs_no_layer_of_the_model(images, explainer):
    assert "cam_layer" in explainer().card.needs
    named = explainer(layer="second")
    assert "cam_layer" not in named.card.needs
    batch = batch_of(images, [0, 1, 2])
    expected = explainer().explain(TorchClassifier(TwoStages(), ("a", "b", "c"), "second"), batch)
    assert torch.equal(named.explain(TorchClassifier(TwoStages(), ("a", "b", "c"), None), batch), expected)


def test_a_layer_inside_another_can_be_named(images):
    classifier = TorchClassifier(TwoStages(), ("a", "b", "c"), None)
    assert GradCAM(layer="second.0").explain(classifier, batch_of(images, [0, 1, 2])).shape == (3, 33, 41)


@pytest.mark.parametrize("layer", ["layer4", "first+layer4", "inner", "first+"])
def test_a_wrong_layer_is_refused_with_those_there_are(images, layer):
    classifier = TorchClassifier(TwoStages(), ("a", "b", "c"), None)
    with pytest.raises(UsageError, match=r"there is no layer '.*'; the outermost are first, second, third, head"):
        GradCAM(layer=layer).explain(classifier, batch_of(images, [0, 1, 2]))


def test_several_layers_cost_one_pass(images):
    classifier = TorchClassifier(TwoStages(), ("a", "b", "c"), None)
    GradCAM(layer="first+second").explain(classifier, batch_of(images, [0, 1, 2]))
    assert (classifier.counters.forward, classifier.counters.backward) == (3, 3)


# --------------------------------------------------------------------------------------------------------------- ViT


@pytest.fixture(scope="module")
def transformer():
    torch.manual_seed(0)
    network = VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=3)
    nn.init.normal_(network.heads.head.weight, std=50)  # pytorch-grad-cam adds 1e-6 to squares of gradients
    return network.eval()


@pytest.mark.parametrize(("ours", "theirs"), PEERS)
def test_cams_of_a_transformer_agree_with_pytorch_grad_cam(transformer, ours, theirs):
    def reshape(tokens):
        return tokens[:, 1:].transpose(1, 2).reshape(len(tokens), -1, 4, 4)

    images = torch.rand((2, 3, 32, 32), generator=torch.Generator().manual_seed(1))
    layer = transformer.encoder.layers[1].ln_1
    expected = pytorch_grad_cam(theirs, transformer, [layer], images, [0, 2], reshape)
    classifier = TorchClassifier(transformer, ("a", "b", "c"), "encoder.layers.encoder_layer_1.ln_1")
    maps = ours().explain(classifier, batch_of(images, [0, 2]))
    np.testing.assert_allclose(normalise(maps.numpy()), expected, atol=1e-4)


def test_where_only_the_class_token_goes_on_cams_of_patches_are_flat(transformer):
    """After the last block nothing of the patches reaches the logits: there is nothing to show."""
    classifier = TorchClassifier(transformer, ("a", "b", "c"), "encoder.layers.encoder_layer_1")
    maps = GradCAM().explain(classifier, batch_of(torch.rand(2, 3, 32, 32), [0, 1]))
    assert not maps.any()


@pytest.mark.parametrize(
    ("tokens", "size", "expected"),
    [(17, (32, 32), (1, 4, 4)), (16, (32, 32), (0, 4, 4)), (33, (32, 64), (1, 4, 8)), (32, (64, 32), (0, 8, 4))],
)
def test_tokens_are_laid_out_in_the_proportions_of_the_image(tokens, size, expected):
    assert token_grid("layer", tokens, size) == expected


def test_tokens_that_fill_no_grid_are_refused():
    with pytest.raises(UsageError, match="layer put out 19 tokens, which fill no grid"):
        token_grid("layer", 19, (32, 32))


def test_xgradcam_divides_by_a_sum_in_which_activations_below_zero_count_as_such():
    activations, gradients = torch.tensor([[[[3.0, -1.0]]]]), torch.tensor([[[[1.0, 2.0]]]])
    # (3 - 2) / (3 - 1) = 1/2.
    assert XGradCAM().weigh(activations, gradients).tolist() == [[[[1.5, -0.5]]]]
