import pytest
import torch
from torch import nn

from xaibench.classifier import TorchClassifier
from xaibench.contracts import Batch
from xaibench.errors import UsageError
from xaibench_adapters.extremal import ExtremalPerturbation, shown


class Spot(nn.Module):
    """Sees nothing but the mean of one square of the image."""

    def forward(self, images):
        seen = images[:, 0, 8:16, 16:24].mean(dim=(1, 2))
        return torch.stack([seen, 1 - seen], dim=1)


def explain(explainer, image, target=0):
    batch = Batch(image[None], torch.tensor([target]), ("a",), (0,))
    classifier = TorchClassifier(Spot(), ("a", "b"), None)
    return explainer.explain(classifier, batch)[0], classifier


BRIGHT = torch.zeros(1, 32, 32)
BRIGHT[:, 8:16, 16:24] = 1


@pytest.mark.parametrize("areas", [0.05, 0.3, 0.9])
def test_a_mask_shows_exactly_the_given_share_and_its_gradient_keeps_it(areas):
    heights = torch.randn(2, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    share = torch.full((2, 1, 1), areas, dtype=torch.float64)
    masks = shown(heights, share)
    torch.testing.assert_close(masks.mean(dim=(1, 2)), share.flatten(), rtol=0, atol=1e-9)
    assert torch.autograd.gradcheck(lambda h: shown(h, share), heights)
    (total,) = torch.autograd.grad(masks.sum(), heights)
    assert total.abs().max() < 1e-6  # no change of heights changes the share


def test_the_only_square_that_matters_is_found():
    found, _ = explain(ExtremalPerturbation(areas="0.06+0.12", steps=40, cells=8, infill="black"), BRIGHT)
    assert found[10:14, 18:22].min() > 0.8
    assert found[20:, :12].max() < 0.1


def test_passes_are_steps_times_areas():
    _, classifier = explain(ExtremalPerturbation(areas="0.1+0.2+0.3", steps=5), BRIGHT)
    assert (classifier.counters.forward, classifier.counters.backward) == (2 + 15, 15)


def test_where_covering_the_image_changes_nothing_the_map_is_flat():
    found, classifier = explain(ExtremalPerturbation(), torch.full((1, 32, 32), 0.5))
    assert found.min() == found.max()
    assert classifier.counters.backward == 0


@pytest.mark.parametrize("areas", ["0", "1.5", "wide", ""])
def test_areas_that_cannot_be_are_refused(areas):
    with pytest.raises(UsageError, match="areas is"):
        ExtremalPerturbation(areas=areas)
