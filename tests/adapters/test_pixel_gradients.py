import pytest
import torch
from torch import nn

from xaibench.classifier import TorchClassifier
from xaibench.contracts import Batch
from xaibench.errors import UsageError
from xaibench_adapters.deeplift import DeepLift
from xaibench_adapters.path_gradients import IntegratedGradients
from xaibench_adapters.pixel_gradients import InputXGradient, Saliency

WEIGHTS = torch.tensor(
    [
        [[[1.0, -2.0], [3.0, 0.0]], [[-4.0, 1.0], [2.0, 0.5]]],
        [[[0.0, 0.0], [-1.0, 5.0]], [[2.0, -3.0], [0.0, -6.0]]],
    ]
)  # [K, C, H, W]


class LinearNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(WEIGHTS.clone())

    def forward(self, images):
        return torch.einsum("bchw,kchw->bk", images, self.weights) + 7


IMAGES = torch.tensor([[[[0.5, 1.0], [0.25, 1.0]], [[0.5, 0.0], [1.0, 1.0]]]]).repeat(2, 1, 1, 1)
BATCH = Batch(IMAGES, torch.tensor([0, 1]), ("a", "b"), (1, 2))


@pytest.fixture
def linear():
    return TorchClassifier(LinearNet(), ("a", "b"), None)


def test_saliency_of_a_linear_model_is_the_largest_absolute_weight_of_the_channels(linear):
    expected = [[[4, 2], [3, 0.5]], [[2, 3], [1, 6]]]
    assert Saliency().explain(linear, BATCH).tolist() == expected


# Class 0: 1 * .5 - 4 * .5, -2 * 1 + 1 * 0, 3 * .25 + 2 * 1, 0 * 1 + .5 * 1; class 1 likewise.
CONTRIBUTIONS = [[[-1.5, -2.0], [2.75, 0.5]], [[1.0, 0.0], [-0.25, -1.0]]]


def test_input_x_gradient_of_a_linear_model_is_what_each_pixel_adds(linear):
    assert InputXGradient().explain(linear, BATCH).tolist() == CONTRIBUTIONS


@pytest.mark.parametrize("steps", [1, 7, 50])
def test_integrated_gradients_of_a_linear_model_are_the_same_at_any_number_of_steps(linear, steps):
    maps = IntegratedGradients(steps=steps).explain(linear, BATCH)
    torch.testing.assert_close(maps, torch.tensor(CONTRIBUTIONS), rtol=1e-5, atol=1e-6)


def test_integrated_gradients_add_up_to_the_change_of_the_logit(classifier, make_batch, channels):
    batch = make_batch(3, channels)
    maps = IntegratedGradients(steps=400).explain(classifier, batch)
    change = classifier.logits(batch.images) - classifier.logits(torch.zeros_like(batch.images))
    expected = change.gather(1, batch.targets[:, None]).squeeze(1)
    assert expected.abs().min() > 0.01
    torch.testing.assert_close(maps.sum(dim=(1, 2)), expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize(("explainer", "passes"), [(Saliency(), 1), (InputXGradient(), 1), (IntegratedGradients(9), 9)])
def test_passes_are_as_many_as_the_method_needs(classifier, make_batch, channels, explainer, passes):
    explainer.explain(classifier, make_batch(5, channels))
    assert (classifier.counters.forward, classifier.counters.backward) == (5 * passes, 5 * passes)


def test_integrated_gradients_fill_their_passes_across_steps_and_images(classifier, network, make_batch, channels):
    sizes = []
    network.register_forward_pre_hook(lambda _module, inputs: sizes.append(len(inputs[0])))
    IntegratedGradients(steps=9).explain(classifier, make_batch(5, channels))
    assert sizes == [16, 16, 13]


def test_saliency_agrees_with_finite_differences(classifier, network, make_batch, channels):
    batch = make_batch(2, channels)
    maps = Saliency().explain(classifier, batch)
    exact, step = network.double(), 1e-5
    for image, target, heatmap in zip(batch.images.double(), batch.targets, maps, strict=True):
        for row, column in [(0, 0), (7, 20), (39, 31)]:
            slopes = []
            for channel in range(channels):
                shift = torch.zeros_like(image)
                shift[channel, row, column] = step
                both = exact(torch.stack([image + shift, image - shift]))[:, target]
                slopes.append(abs((both[0] - both[1]).item()) / (2 * step))
            assert heatmap[row, column].item() == pytest.approx(max(slopes), rel=1e-3, abs=1e-6)


def test_no_steps_are_refused():
    with pytest.raises(UsageError, match="steps is 0"):
        IntegratedGradients(steps=0)


class Rows(nn.Module):
    """Takes feature maps apart with `view`, which needs channels first in memory."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.features = nn.Conv2d(2, 3, 3, padding=1)

    def forward(self, images):
        return self.features(images).tanh().view(len(images), -1).unflatten(1, (3, -1)).sum(dim=2)


def test_a_network_that_wants_channels_first_gets_them():
    network = Rows()
    images = torch.rand((2, 2, 8, 8), generator=torch.Generator().manual_seed(2))
    with pytest.raises(RuntimeError, match="view size"):
        network(images.contiguous(memory_format=torch.channels_last))
    leaf = images.clone().requires_grad_()
    network(leaf)[[0, 1], [0, 1]].sum().backward()
    classifier = TorchClassifier(network, ("a", "b", "c"), None)
    batch = Batch(images, torch.tensor([0, 1]), ("a", "b"), (1, 2))
    for _ in range(2):
        torch.testing.assert_close(Saliency().explain(classifier, batch), leaf.grad.abs().amax(dim=1))
    assert classifier.counters.forward == 6  # one attempt more, once


def test_what_starts_from_another_image_does_not_promise_the_gain_over_black():
    for explainer in (IntegratedGradients, DeepLift):
        assert explainer().card.additive
        assert not explainer(shade=0.5).card.additive
