import pytest
import torch
from torch import nn
from torch.nn import functional as F

from xaibench.classifier import TorchClassifier
from xaibench.contracts import Batch
from xaibench_adapters.ablationcam import AblationCAM

CLASSES = ("a", "b", "c")


class Deep(nn.Module):
    """Something before the CAM layer, and something that is not linear after it."""

    def __init__(self, channels=8):
        super().__init__()
        self.before = nn.Conv2d(1, 3, 3, padding=1)
        self.layer = nn.Sequential(nn.Conv2d(3, channels, 3, stride=4, padding=1), nn.ReLU())
        self.after = nn.Sequential(nn.Conv2d(channels, 6, 3, padding=1), nn.ReLU(inplace=True))
        self.head = nn.Linear(6, len(CLASSES))
        self.sizes = []
        generator = torch.Generator().manual_seed(2)
        with torch.no_grad():
            for tensor in self.parameters():
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.7)
            self.head.bias += 20  # logits above 0

    def forward(self, images):
        maps = self.before(images)
        self.sizes.append(len(maps))
        return self.head(self.after(self.layer(maps)).mean(dim=(2, 3)))


def batch_of(count=2, size=(32, 24)):
    images = torch.rand(count, 1, *size, generator=torch.Generator().manual_seed(0))
    return Batch(images, torch.arange(count) % 3, tuple(map(str, range(count))), tuple(range(count)))


def explain(explainer, network, batch):
    classifier = TorchClassifier(network, CLASSES, "layer")
    return explainer.explain(classifier, batch), classifier


def unit(maps):
    flat = maps.flatten(1)
    low, high = flat.min(dim=1).values[:, None, None], flat.max(dim=1).values[:, None, None]
    return (maps - low) / (high - low)


def test_the_map_against_a_slow_twin():
    network, batch = Deep(), batch_of()
    found, _ = explain(AblationCAM(), network, batch)
    rest = lambda maps: network.head(network.after(maps).mean(dim=(2, 3)))  # noqa: E731
    for image, target, ours in zip(batch.images, batch.targets, found, strict=True):
        activations = network.layer(network.before(image[None]))
        cam = torch.zeros_like(activations[0, 0])
        for channel in range(8):
            without = activations.clone()
            without[0, channel] = 0
            cam += (rest(activations) - rest(without))[0, target] * activations[0, channel]
        expected = F.interpolate(F.relu(cam)[None, None], image.shape[1:], mode="bilinear")[0, 0]
        assert (ours - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_the_closed_form_where_the_rest_is_linear():
    """The fall is then the channel's mean times its weight: by hand for two channels, A = x and B = 5 - x."""

    class Hand(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(1, 2, 1)
            with torch.no_grad():
                self.layer.weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
                self.layer.bias.copy_(torch.tensor([0.0, 5.0]))

        def forward(self, images):
            means = self.layer(images).mean(dim=(2, 3))
            return torch.stack([4 * means[:, 0] - 2 * means[:, 1], means[:, 0], means[:, 1]], dim=1)

    image = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    batch = Batch(image, torch.tensor([0]), ("a",), (0,))
    # Both means are 2.5: falls 10 and -5. 10 x - 5 (5 - x) = 15 x - 25 at 1, 2, 3, 4; cut at 0.
    assert explain(AblationCAM(), Hand(), batch)[0].tolist() == [[[0, 5], [20, 35]]]


def test_agrees_with_pytorch_grad_cam():
    """Where a channel's smallest value is 0, the library too sets it to 0; it divides by the logit, here above 0."""
    library = pytest.importorskip("pytorch_grad_cam")
    targets = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
    network, batch = Deep().eval(), batch_of(2)
    assert (network(batch.images).gather(1, batch.targets[:, None]) > 0).all()
    cam = library.AblationCAM(model=network, target_layers=[network.layer])
    with torch.no_grad():
        activations = network.layer(network.before(batch.images))
        wanted = [targets.ClassifierOutputTarget(int(target)) for target in batch.targets]
        weights = cam.get_cam_weights(batch.images, network.layer, wanted, activations.numpy(), None)
        theirs = F.relu((torch.from_numpy(weights)[:, :, None, None] * activations).sum(dim=1, keepdim=True))
    assert activations.amin(dim=(1, 2, 3)).tolist() == [0, 0]
    expected = unit(F.interpolate(theirs, (32, 24), mode="bilinear")[:, 0])
    found, _ = explain(AblationCAM(), network, batch)
    assert (unit(found) - expected).abs().max() <= 1e-4


def test_what_lies_before_the_layer_is_computed_once_per_batch_and_all_passes_are_counted():
    network = Deep(channels=40)
    _, classifier = explain(AblationCAM(), network, batch_of(1))
    assert network.sizes == [1, 1]  # a look, and one batch of all ablations
    assert classifier.counters.forward == 1 + 1 + 40  # the look, the whole, and one without each channel


def test_the_largest_channels_alone_give_nearly_the_same_map():
    network, batch = Deep(channels=40), batch_of()
    few, classifier = explain(AblationCAM(channels=20), network, batch)
    assert classifier.counters.forward == 2 * (1 + 1 + 20)
    whole, _ = explain(AblationCAM(), network, batch)
    correlations = [
        torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1] for a, b in zip(few, whole, strict=True)
    ]
    print("correlation with all channels:", correlations)
    assert min(correlations) > 0.95


def test_nan_logits_give_nan_maps():
    network = Deep()
    with torch.no_grad():
        network.head.bias.fill_(torch.nan)
    assert explain(AblationCAM(), network, batch_of())[0].isnan().all()
