"""Guided integrated gradients: two pixels by hand, the procedure of the paper written out, and what must add up."""

import numpy as np
import pytest
import torch
from torch import nn

from xaibench.classifier import TorchClassifier
from xaibench.contracts import Batch
from xaibench.errors import UsageError
from xaibench_adapters.guided_path import GuidedIG
from xaibench_adapters.path_gradients import IntegratedGradients


class Product(nn.Module):
    """a (1 + b) of an image with the pixels a and b; its gradient is (1 + b, a)."""

    def forward(self, images):
        a, b = images[:, 0, 0, 0], images[:, 0, 0, 1]
        return (a * (1 + b))[:, None]


def both_white():
    return Batch(torch.ones(1, 1, 1, 2), torch.tensor([0]), ("x",), (0,))


@pytest.mark.parametrize(
    ("stray", "expected"),
    [
        # At black the gradient is (1, 0): b is shown first and brings nothing; then a, whose gradient is 2.
        (1.0, (2.0, 0.0)),
        # a may not be more than .25 behind. Step 1 from black, gradient (1, 0): a to .25, b to .75.
        # Step 2 from there, gradient (1.75, .25): a by .75, b by .25. So .25 + .75 * 1.75 and .25 * .25.
        (0.25, (1.5625, 0.0625)),
    ],
)
def test_pixels_of_least_gradient_come_first_by_hand(stray, expected):
    explainer = GuidedIG(steps=2, share=0.5, stray=stray)
    maps = explainer.explain(TorchClassifier(Product(), ("a",), None), both_white())
    np.testing.assert_allclose(maps[0, 0], expected, rtol=1e-6)


class Curved(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.body = nn.Sequential(nn.Conv2d(2, 6, 3), nn.Tanh(), nn.Conv2d(6, 4, 3), nn.Tanh(), nn.Flatten())
        self.head = nn.Linear(4 * 16, 2)
        self.head.weight.data *= 10
        self.eval().requires_grad_(False)

    def forward(self, images):
        return self.head(self.body(images))


@pytest.fixture
def batch():
    images = torch.rand((3, 2, 8, 8), generator=torch.Generator().manual_seed(4))
    images[:, :, :2] = 0  # black, as most of a film is
    return Batch(images, torch.tensor([0, 1, 0]), ("a", "b", "c"), (0, 1, 2))


def written_out(network, image, target, steps, share, stray):
    """The procedure of the paper, one image, in numpy, in pixels rather than shares."""

    def gradient(at):
        leaf = torch.tensor(at, dtype=torch.float32)[None].requires_grad_()
        network(leaf)[0, target].backward()
        return leaf.grad[0].double().numpy()

    end = image.double().numpy()
    at, found, total = np.zeros_like(end), np.zeros_like(end), np.abs(end).sum()
    for step in range(1, steps + 1):
        slope, before = gradient(at), at.copy()
        nearest, farthest = max(step / steps - stray, 0) * end, min(step / steps + stray, 1) * end
        at = np.where(np.abs(at) < np.abs(nearest), nearest, at)
        while True:
            to_go = np.abs(end - at).sum() - total * (1 - step / steps)
            if to_go <= 1e-9 * total:
                break
            finished = np.isclose(at, farthest, rtol=0, atol=1e-12)
            cost = np.where(finished, np.inf, np.abs(slope))
            moving = (cost <= np.sort(cost, axis=None)[round(share * cost.size) - 1]) & ~finished
            room = np.abs(farthest - at)[moving].sum()
            at[moving] += (farthest - at)[moving] * min(1, to_go / room)
        found += (at - before) * slope
    return found.sum(axis=0)


@pytest.mark.parametrize(("steps", "share", "stray"), [(7, 0.25, 0.02), (10, 0.1, 0.3), (4, 1.0, 1.0)])
def test_maps_are_those_of_the_procedure_written_out(batch, steps, share, stray):
    network = Curved()
    maps = GuidedIG(steps, share, stray).explain(TorchClassifier(network, ("a", "b"), None), batch)
    for row in range(3):
        expected = written_out(network, batch.images[row], int(batch.targets[row]), steps, share, stray)
        np.testing.assert_allclose(maps[row], expected, rtol=1e-4, atol=1e-5)


def test_contributions_add_up_to_the_change_of_the_logit(batch):
    classifier = TorchClassifier(Curved(), ("a", "b"), None)
    gain = classifier.logits(batch.images) - classifier.logits(torch.zeros_like(batch.images))
    expected = gain.gather(1, batch.targets[:, None]).squeeze(1)
    assert expected.abs().min() > 0.02
    torch.testing.assert_close(
        GuidedIG(steps=400).explain(classifier, batch).sum(dim=(1, 2)), expected, rtol=0.02, atol=1e-3
    )


def test_the_way_differs_from_the_straight_one(batch):
    classifier = TorchClassifier(Curved(), ("a", "b"), None)
    guided, straight = (way.explain(classifier, batch) for way in (GuidedIG(50, stray=0.5), IntegratedGradients(50)))
    assert (guided - straight).abs().max() > 0.05 * straight.abs().max()


def test_one_pass_for_every_step_and_image(batch):
    classifier = TorchClassifier(Curved(), ("a", "b"), None)
    GuidedIG(steps=6).explain(classifier, batch)
    assert (classifier.counters.forward, classifier.counters.backward) == (18, 18)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"share": 0}, {"share": 1.5}, {"stray": -1.0}])
def test_parameters_that_lead_nowhere_are_refused(wrong):
    with pytest.raises(UsageError, match=f"guided-ig: {next(iter(wrong))} is"):
        GuidedIG(**wrong)
