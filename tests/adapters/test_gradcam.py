import copy

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from torch import nn
from torch.nn import functional as F

from xaibench.classifier import TorchClassifier
from xaibench.contracts import Batch
from xaibench.errors import UsageError
from xaibench_adapters.gradcam import GradCAM, HiResCAM, LayerCAM

FAMILY = [GradCAM, HiResCAM, LayerCAM]


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


def batch_of(images, targets):
    count = len(images)
    return Batch(images, torch.tensor(targets), tuple(map(str, range(count))), tuple(range(count)))


# Class 0 adds A with weight 1 and B with weight -1 at every place; class 1 the other way round.
EVEN = [[[[1.0, 1.0], [1.0, 1.0]], [[-1.0, -1.0], [-1.0, -1.0]]], [[[-1.0, -1.0]] * 2, [[1.0, 1.0]] * 2]]
# Class 0 weighs A by place and ignores B.
UNEVEN = [[[[4.0, 0.0], [-2.0, 2.0]], [[0.0, 0.0], [0.0, 0.0]]], [[[0.0, 0.0]] * 2, [[0.0, 0.0]] * 2]]
IMAGE = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])


def maps_of(explainer, weights, target):
    classifier = TorchClassifier(HandNet(weights), ("a", "b"), "layer")
    return explainer.explain(classifier, batch_of(IMAGE, [target])).tolist()


def test_gradcam_by_hand():
    # Mean gradients are 1 and -1: A - B = 2x - 5 = [[-3, -1], [1, 3]], cut at 0. For class 1: 5 - 2x.
    assert maps_of(GradCAM(), EVEN, 0) == [[[0, 0], [1, 3]]]
    assert maps_of(GradCAM(), EVEN, 1) == [[[3, 1], [0, 0]]]


def test_the_family_differs_where_gradients_differ_by_place():
    # Gradients of A are [[4, 0], [-2, 2]], 1 in the mean; A = [[1, 2], [3, 4]].
    assert maps_of(GradCAM(), UNEVEN, 0) == [[[1, 2], [3, 4]]]
    assert maps_of(HiResCAM(), UNEVEN, 0) == [[[4, 0], [0, 8]]]  # 3 * -2 = -6 is cut at the end
    assert maps_of(LayerCAM(), UNEVEN, 0) == [[[4, 0], [0, 8]]]


def test_layercam_cuts_gradients_and_hirescam_only_the_sum():
    # Place (0, 0): A = 1 with gradient 2, B = 4 with gradient -1. Their sum is -2; without the negative gradient 2.
    weights = [[[[2.0, 0.0], [0.0, 0.0]], [[-1.0, 0.0], [0.0, 0.0]]]]
    assert maps_of(HiResCAM(), weights, 0) == [[[0, 0], [0, 0]]]
    assert maps_of(LayerCAM(), weights, 0) == [[[2, 0], [0, 0]]]


def test_each_image_is_explained_for_its_own_class():
    classifier = TorchClassifier(HandNet(EVEN), ("a", "b"), "layer")
    maps = GradCAM().explain(classifier, batch_of(IMAGE.repeat(2, 1, 1, 1), [0, 1]))
    assert maps.tolist() == [[[0, 0], [1, 3]], [[3, 1], [0, 0]]]


def test_cells_are_enlarged_bilinearly_between_their_centres():
    class Pooled(HandNet):
        def __init__(self):
            super().__init__([[[[1.0, 1.0]], [[0.0, 0.0]]]])
            self.layer = nn.Sequential(nn.AvgPool2d((1, 2)), self.layer)

    # Two cells, 0 and 8, over four columns: the centres of the cells lie at columns 0.5 and 2.5.
    classifier = TorchClassifier(Pooled(), ("a",), "layer")
    maps = GradCAM().explain(classifier, batch_of(torch.tensor([[[[0.0, 0.0, 8.0, 8.0]]]]), [0]))
    assert maps.tolist() == [[[0, 2, 6, 8]]]


def slow_gradcam(network, images, targets, step=1e-6):
    """From the definition, in double precision: each weight is a mean of derivatives, each derivative a difference."""
    network = copy.deepcopy(network).double()
    maps = []
    for image, target in zip(images.double(), targets.tolist(), strict=True):
        activations = network.stem(image.unsqueeze(0))
        activations = network.features(activations)

        def logit(shifted, target=target):
            return network.head(F.relu(shifted).mean(dim=(2, 3)))[0, target].item()

        cam = torch.zeros(activations.shape[2:], dtype=torch.float64)
        for channel in range(activations.shape[1]):
            derivatives = []
            for row, column in np.ndindex(*activations.shape[2:]):
                shift = torch.zeros_like(activations)
                shift[0, channel, row, column] = step
                derivatives.append((logit(activations + shift) - logit(activations - shift)) / (2 * step))
            cam += np.mean(derivatives) * activations[0, channel]
        maps.append(F.interpolate(cam.clamp(min=0)[None, None], image.shape[1:], mode="bilinear")[0, 0])
    return torch.stack(maps).float()


def test_gradcam_agrees_with_its_slow_twin(classifier, network, make_batch, channels):
    batch = make_batch(4, channels)
    with torch.no_grad():
        twin = slow_gradcam(network, batch.images, batch.targets)
    assert twin.amax(dim=(1, 2)).min() > 0.001
    torch.testing.assert_close(GradCAM().explain(classifier, batch), twin, rtol=1e-4, atol=1e-6)


def test_gradcam_agrees_with_captum(classifier, network, make_batch, channels):
    class OutOfPlace(type(network)):
        """Captum reads the layer's output after the network is done, so nothing may be changed in place."""

        def forward(self, images):
            return self.head(F.relu(self.features(self.stem(images))).mean(dim=(2, 3)))

    batch = make_batch(8, channels)
    other = OutOfPlace(channels)
    theirs = LayerGradCam(other, other.features).attribute(
        batch.images.clone().requires_grad_(), target=batch.targets, relu_attributions=True
    )
    theirs = F.interpolate(theirs.detach(), batch.images.shape[2:], mode="bilinear").squeeze(1)
    torch.testing.assert_close(GradCAM().explain(classifier, batch), theirs)


@pytest.mark.parametrize("explainer", FAMILY)
def test_one_pass_forward_and_one_backward(classifier, make_batch, channels, explainer):
    explainer().explain(classifier, make_batch(5, channels))
    assert (classifier.counters.forward, classifier.counters.backward) == (5, 5)


def test_gradients_are_taken_even_where_they_are_switched_off(classifier, make_batch, channels):
    batch = make_batch(2, channels)
    expected = GradCAM().explain(classifier, batch)
    with torch.no_grad():
        assert torch.equal(GradCAM().explain(classifier, batch), expected)


def test_the_hook_goes_even_if_the_network_fails(classifier, make_batch):
    with pytest.raises(RuntimeError):
        GradCAM().explain(classifier, make_batch(2, channels=2))
    assert not classifier.cam_layer._forward_hooks


@pytest.mark.parametrize(
    ("layer", "said"),
    [(None, "no spatial layer"), ("unused", "was not used"), ("head", r"put out \(2, 3\)")],
)
def test_a_layer_that_cannot_be_used_is_a_usage_error(network, make_batch, channels, layer, said):
    network.unused = nn.Identity()
    classifier = TorchClassifier(network, ("a", "b", "c"), layer)
    with pytest.raises(UsageError, match=said):
        GradCAM().explain(classifier, make_batch(2, channels))
    assert not any(module._forward_hooks for module in network.modules())
