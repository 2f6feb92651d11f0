import numpy as np
import pytest
import torch
from torch import nn

from xaibench.classifier import TorchClassifier
from xaibench.contracts import Batch
from xaibench.errors import UsageError
from xaibench_adapters.occlusion import Occlusion, SlidingWindow, Windows


class Linear(nn.Module):
    """Its first logit is the sum of the pixels times these weights, its second the negative of that."""

    def __init__(self, weights):
        super().__init__()
        self.weights = weights

    def forward(self, images):
        total = (images * self.weights).sum(dim=(1, 2, 3))
        return torch.stack([total, -total], dim=1)


def explain(explainer, network, images, target=0):
    count = len(images)
    batch = Batch(images, torch.full((count,), target), tuple(map(str, range(count))), tuple(range(count)))
    return explainer.explain(TorchClassifier(network, ("a", "b"), None), batch)


def test_occlusion_of_a_linear_model_by_hand():
    # One row of six pixels, windows of 4 in steps of 2 at 0 and 2; black infill, so a fall is what the window held.
    image = torch.tensor([1.0, 2, 3, 4, 5, 6]).view(1, 1, 1, 6)
    weights = torch.tensor([1.0, 1, 1, 1, 1, 10])
    windows = Windows.over((1, 6), 4, 2, torch.device("cpu"))
    assert windows.columns.int().tolist() == [[1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1]]
    falls = torch.tensor([1.0 + 2 + 3 + 4, 3 + 4 + 5 + 60])  # 10 and 72
    assert windows.spread(falls).tolist() == [[10, 10, 41, 41, 72, 72]]
    maps = explain(Occlusion(window=1, stride=1, infill="black"), Linear(weights), image)
    assert maps[0].tolist() == [[1, 2, 3, 4, 5, 60]]  # windows of one pixel: the closed form, weight times value
    assert explain(Occlusion(window=1, stride=1, infill="black"), Linear(weights), image, 1)[0, 0, 5] == -60


def test_the_mean_covers_the_window_unless_told_otherwise():
    # Covered by the mean, a pixel at the mean loses nothing, and the others what they differ from it.
    image = torch.tensor([[1.0, 2], [3, 2]])[None, None]
    maps = explain(Occlusion(window=1, stride=1), Linear(torch.ones(2, 2)), image)
    assert maps[0].tolist() == [[-1, 0], [1, 0]]


@pytest.mark.parametrize(("window", "stride"), [(8, 4), (7, 3), (5, 5), (40, 4), (3, 7)])
def test_occlusion_agrees_with_captum(window, stride, network, make_batch):
    captum = pytest.importorskip("captum.attr")
    if stride > window:
        with pytest.raises(UsageError, match="stride"):
            Occlusion(window=window, stride=stride)
        return
    batch = make_batch(3, network.stem[0].in_channels)
    channels, window = batch.images.shape[1], min(window, 32)
    theirs = captum.Occlusion(network).attribute(
        batch.images, (channels, window, window), (channels, stride, stride), 0.0, target=batch.targets
    )[:, 0]
    classifier = TorchClassifier(network, ("a", "b", "c"), None)
    ours = Occlusion(window=window, stride=stride, infill="black").explain(classifier, batch)
    assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max()


def test_occlusion_against_a_slow_twin(network, make_batch):
    """Window by window and pixel by pixel, on probabilities."""
    batch = make_batch(1, network.stem[0].in_channels)
    image = batch.images[0]
    infill = image.mean(dim=(1, 2), keepdim=True).expand_as(image)
    probability = lambda one: network(one[None]).softmax(1)[0, batch.targets[0]].item()  # noqa: E731
    sums, covers = np.zeros((40, 32)), np.zeros((40, 32))
    for top in range(0, 40 - 10 + 5, 5):
        for left in range(0, 32 - 10 + 5, 5):
            covered = image.clone()
            covered[:, top : top + 10, left : left + 10] = infill[:, top : top + 10, left : left + 10]
            sums[top : top + 10, left : left + 10] += probability(image) - probability(covered)
            covers[top : top + 10, left : left + 10] += 1
    classifier = TorchClassifier(network, ("a", "b", "c"), None)
    (ours,) = Occlusion(window=10, stride=5, output="probability").explain(classifier, batch)
    np.testing.assert_allclose(ours, sums / covers, atol=1e-6)


def test_sizes_below_1_are_shares_of_the_shorter_side(network, make_batch, classifier):
    batch = make_batch(2, network.stem[0].in_channels)
    shares, pixels = Occlusion(window=0.25, stride=0.125), Occlusion(window=8, stride=4)  # of 32
    assert torch.equal(shares.explain(classifier, batch), pixels.explain(classifier, batch))


def test_sliding_windows_share_each_fall_among_their_pixels():
    # Row of four: sides 2 (at 0, 1, 2) and 4 (one window). Values 0 0 8 0 with weight 1 and black infill.
    # Side 2: falls 0, 8, 8 -> per pixel of the window 0, 4, 4 (a row is one pixel high) -> means 0, 2, 4, 4.
    # Side 4: fall 8 over 4 pixels -> 2 everywhere. The mean of both.
    image = torch.tensor([0.0, 0, 8, 0]).view(1, 1, 1, 4)
    windows = [Windows.over((1, 4), side, side // 2, torch.device("cpu")) for side in (2, 4)]
    from xaibench_adapters.occlusion import _mean_over

    falls = torch.tensor([0.0, 8, 8, 8])
    assert _mean_over(windows, falls).tolist() == [[1, 2, 3, 3]]
    square = image.expand(1, 1, 4, 4)
    maps = explain(SlidingWindow(windows="2+4", infill="black"), Linear(torch.ones(4, 4)), square)
    # Inside a square every window of side 2 holds 0 or 8 per row: the fall per pixel is the same as above.
    assert maps[0].tolist() == [[1, 2, 3, 3]] * 4


@pytest.mark.parametrize("explainer", [Occlusion, SlidingWindow])
@pytest.mark.parametrize("profile", ["quick", "standard", "paper"])
def test_every_profile_can_be_made_and_the_quick_one_needs_at_most_128_passes(explainer, profile, network, make_batch):
    made = explainer(**explainer.card.profiles[profile])
    if profile == "quick":
        classifier = TorchClassifier(network, ("a", "b", "c"), None)
        batch = make_batch(1, network.stem[0].in_channels, size=(224, 224))
        made.explain(classifier, batch)
        assert 64 <= classifier.counters.forward <= 128


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"window": 0}, "window is 0"),
        ({"stride": -1}, "stride is -1"),
        ({"infill": "noisy-linear"}, "infill is 'noisy-linear'; give one of: black, mean, blur, noise"),
        ({"output": "loss"}, "output is 'loss'; give one of: logit, probability"),
    ],
)
def test_parameters_that_cannot_be_are_refused(parameters, message):
    with pytest.raises(UsageError, match=message):
        Occlusion(**parameters)


def test_sizes_that_are_none_are_refused():
    with pytest.raises(UsageError, match="windows is 'wide'"):
        SlidingWindow(windows="wide")


def test_with_noise_the_card_says_stochastic():
    assert Occlusion(infill="noise").card.stochastic
    assert not Occlusion().card.stochastic


def test_a_window_that_is_cut_at_the_border_counts_by_what_is_left_of_it():
    # Windows of 2 at 0, 1, ... and of 4 at 0, 2, 4 on a side of five: the last reaches over. All pixels weigh the same.
    maps = explain(SlidingWindow(windows="4", infill="black"), Linear(torch.ones(5, 5)), torch.ones(1, 1, 5, 5))
    torch.testing.assert_close(maps, torch.ones(1, 5, 5))


def test_no_pixel_is_left_out_where_the_window_is_in_pixels_and_the_stride_a_share():
    weights = torch.arange(256.0).reshape(16, 16)
    maps = explain(Occlusion(window=4, stride=0.5, infill="black"), Linear(weights), torch.ones(1, 1, 16, 16))
    tiles = weights.reshape(4, 4, 4, 4).sum(dim=(1, 3))
    torch.testing.assert_close(maps[0], tiles.repeat_interleave(4, 0).repeat_interleave(4, 1))
