import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from xaibench.classifier import TorchClassifier
from xaibench.contracts import Batch
from xaibench.errors import UsageError
from xaibench.normalise import invalid
from xaibench_adapters.scorecam import ScoreCAM, grouped

CLASSES = ("a", "b", "c")


class Rectified(nn.Module):
    """A small network whose CAM layer ends in a rectifier, as most do."""

    def __init__(self, channels=8, dead=()):
        super().__init__()
        self.layer = nn.Sequential(nn.Conv2d(1, channels, 3, stride=4, padding=1), nn.ReLU())
        self.head = nn.Linear(channels, len(CLASSES))
        generator = torch.Generator().manual_seed(11)
        with torch.no_grad():
            for tensor in self.parameters():
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
            self.layer[0].bias[list(dead)] = -1e3
            self.head.bias += 5  # logits above 0

    def forward(self, images):
        return self.head(self.layer(images).mean(dim=(2, 3)))


def batch_of(images, targets=None):
    count = len(images)
    targets = torch.zeros(count, dtype=torch.long) if targets is None else targets
    return Batch(images, targets, tuple(map(str, range(count))), tuple(range(count)))


def drawn(count=2, size=(32, 24), seed=0):
    return torch.rand(count, 1, *size, generator=torch.Generator().manual_seed(seed))


def explain(explainer, network, batch):
    classifier = TorchClassifier(network, CLASSES, "layer")
    return explainer.explain(classifier, batch), classifier


def unit(maps):
    """Each map from 0 to 1."""
    flat = maps.flatten(1)
    low, high = flat.min(dim=1).values[:, None, None], flat.max(dim=1).values[:, None, None]
    return (maps - low) / (high - low)


def twin(network, image, target, variant):
    """One map straight from the equations, channel by channel."""
    activations = network.layer(image[None])[0]
    scores, one = [], lambda m: (m - m.min()) / (m.max() - m.min())
    for channel in activations:
        if channel.max() == channel.min():
            mask = torch.zeros(image.shape[1:])
        elif variant == "raw":
            mask = F.interpolate(one(channel)[None, None], image.shape[1:], mode="bilinear")[0, 0]
        else:
            mask = one(F.interpolate(channel[None, None], image.shape[1:], mode="bilinear")[0, 0])
        logits = network((image * mask)[None])[0]
        scores.append(logits.softmax(0)[target] if variant == "probability" else logits[target])
    weights = torch.stack(scores)
    weights = weights.softmax(0) if variant == "softmax" else weights
    cam = F.relu((weights[:, None, None] * activations).sum(0))
    return F.interpolate(cam[None, None], image.shape[1:], mode="bilinear")[0, 0]


@pytest.mark.parametrize("variant", ["softmax", "raw", "probability"])
@pytest.mark.parametrize("dead", [(), (2, 5)])
def test_the_map_against_a_slow_twin(variant, dead):
    network, batch = Rectified(dead=dead), batch_of(drawn(), torch.tensor([2, 0]))
    found, _ = explain(ScoreCAM(variant=variant), network, batch)
    with torch.no_grad():
        expected = torch.stack(
            [twin(network, *pair, variant) for pair in zip(batch.images, batch.targets, strict=True)]
        )
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_agrees_with_pytorch_grad_cam():
    library = pytest.importorskip("pytorch_grad_cam")
    targets = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
    network, batch = Rectified().eval(), batch_of(drawn(3), torch.tensor([2, 0, 1]))
    cam = library.ScoreCAM(model=network, target_layers=[network.layer])
    with torch.no_grad():
        cam.activations_and_grads(batch.images)
        activations = network.layer(batch.images)
        wanted = [targets.ClassifierOutputTarget(int(target)) for target in batch.targets]
        weights = cam.get_cam_weights(batch.images, network.layer, wanted, activations.numpy(), None)
        theirs = F.relu((torch.from_numpy(weights)[:, :, None, None] * activations).sum(dim=1, keepdim=True))
    # The library enlarges the finished map with OpenCV; what is compared is the map of the layer's own size.
    expected = unit(F.interpolate(theirs, (32, 24), mode="bilinear")[:, 0])
    found, _ = explain(ScoreCAM(corners=True), network, batch)
    assert (unit(found) - expected).abs().max() <= 1e-4


def test_channels_without_contrast_share_one_pass():
    dead = Rectified(dead=(1, 2, 5))
    _, classifier = explain(ScoreCAM(), dead, batch_of(drawn(1)))
    assert classifier.counters.forward == 1 + 1 + 5  # a look at the layer, the empty mask, the five others


def test_no_more_passes_than_channels_are_asked_for():
    network = Rectified(channels=32)
    _, classifier = explain(ScoreCAM(channels=6), network, batch_of(drawn(1)))
    assert classifier.counters.forward <= 1 + 1 + 6


def test_as_many_groups_as_channels_change_nothing():
    network, batch = Rectified(), batch_of(drawn())
    assert torch.equal(explain(ScoreCAM(channels=8), network, batch)[0], explain(ScoreCAM(), network, batch)[0])


def test_channels_of_the_same_shape_are_grouped_without_loss():
    """Twelve channels of three shapes that differ in scale alone: three groups give the whole map."""
    network = Rectified(channels=12)
    with torch.no_grad():
        for index in range(3, 12):
            network.layer[0].weight[index] = network.layer[0].weight[index % 3] * (1 + index)
            network.layer[0].bias[index] = network.layer[0].bias[index % 3] * (1 + index)
    batch = batch_of(drawn())
    few, classifier = explain(ScoreCAM(channels=3), network, batch)
    whole, _ = explain(ScoreCAM(), network, batch)
    assert classifier.counters.forward == 2 * (1 + 1 + 3)
    assert (unit(few) - unit(whole)).abs().max() < 1e-4


def test_a_quarter_of_the_passes_gives_nearly_the_same_map():
    network, batch = Rectified(channels=128), batch_of(drawn(4, (64, 64)))
    few, whole = (unit(explain(ScoreCAM(channels=count), network, batch)[0]) for count in (32, 0))
    correlations = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(few.numpy(), whole.numpy(), strict=True)]
    print("correlation with all channels:", np.round(correlations, 4))
    assert min(correlations) > 0.98


def test_groups_hold_what_is_alike():
    near, far = torch.zeros(5, 3) + torch.arange(5)[:, None] * 0.01, torch.ones(4, 3)
    groups = grouped(torch.cat([near, far]), 2)
    assert groups[:5].unique().numel() == groups[5:].unique().numel() == 1
    assert groups[0] != groups[-1]


def test_several_layers_are_averaged_after_stretching():
    network, batch = Rectified(), batch_of(drawn())
    one, other = (unit(explain(ScoreCAM(layer), network, batch)[0]) for layer in ("layer.0", "layer.1"))
    both, _ = explain(ScoreCAM("layer.0+layer.1"), network, batch)
    torch.testing.assert_close(both, (one + other) / 2)


def test_a_grid_of_one_place_gives_a_flat_map_which_the_harness_refuses():
    network = Rectified()
    network.layer.append(nn.AdaptiveAvgPool2d(1))
    maps, _ = explain(ScoreCAM(), network, batch_of(drawn()))
    assert all(invalid(maps.numpy(), "positive"))


def test_nan_logits_give_nan_maps_which_the_harness_refuses():
    network = Rectified()
    with torch.no_grad():
        network.head.bias.fill_(torch.nan)
    for variant in ("softmax", "raw", "probability"):
        maps, _ = explain(ScoreCAM(variant=variant), network, batch_of(drawn()))
        assert maps.isnan().all()


def test_parameters_that_cannot_be_are_refused():
    with pytest.raises(UsageError, match="variant is 'fast'; give one of: softmax, raw, probability"):
        ScoreCAM(variant="fast")
    with pytest.raises(UsageError, match="channels is -1"):
        ScoreCAM(channels=-1)
