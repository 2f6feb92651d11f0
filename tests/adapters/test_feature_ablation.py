import numpy as np
import pytest
import torch

from xaibench.classifier import TorchClassifier
from xaibench.contracts import Batch
from xaibench.errors import UsageError
from xaibench.segmentation import segment
from xaibench_adapters.feature_ablation import FeatureAblation


def test_agrees_with_captum(network, classifier, make_batch):
    captum = pytest.importorskip("captum.attr")
    batch = make_batch(3, network.stem[0].in_channels)
    labels = [segment(image, "grid", 12) for image in batch.images.numpy()]
    method, theirs = captum.FeatureAblation(network), []
    for image, target, places in zip(batch.images, batch.targets, labels, strict=True):
        features = torch.from_numpy(places)[None, None].long()
        theirs.append(method.attribute(image[None], 0.0, int(target), feature_mask=features)[0, 0])
    ours = FeatureAblation(segmentation="grid", segments=12, infill="black").explain(classifier, batch)
    assert (ours - torch.stack(theirs)).abs().max() <= 1e-4 * torch.stack(theirs).abs().max()


def test_a_linear_model_by_hand():
    """Of weights times pixels, black in place of a segment takes away what the segment adds."""

    class Sum(torch.nn.Module):
        def forward(self, images):
            total = (images * weights).sum(dim=(1, 2, 3))
            return torch.stack([total, -total], dim=1)

    weights = torch.tensor([[1.0, 1, 2, 2], [1, 1, 2, 2], [0, 0, -3, -3], [0, 0, -3, -3]])
    batch = Batch(torch.full((1, 1, 4, 4), 0.5), torch.tensor([0]), ("a",), (0,))
    explainer = FeatureAblation(segmentation="grid", segments=4, infill="black")
    (found,) = explainer.explain(TorchClassifier(Sum(), ("a", "b"), None), batch)
    assert found.tolist() == [[2, 2, 4, 4], [2, 2, 4, 4], [0, 0, -6, -6], [0, 0, -6, -6]]


def test_one_pass_per_segment_and_one_for_the_whole(network, classifier, make_batch):
    batch = make_batch(2, network.stem[0].in_channels)
    FeatureAblation(segmentation="grid", segments=20).explain(classifier, batch)
    segments = [np.unique(segment(image, "grid", 20)).size for image in batch.images.numpy()]
    assert classifier.counters.forward == 2 + sum(segments)


def test_parameters_that_cannot_be_are_refused():
    with pytest.raises(UsageError, match="hexagons"):
        FeatureAblation(segmentation="hexagons")


def test_quickshift_breaks_ties_at_random_and_the_card_says_so():
    assert FeatureAblation(segmentation="quickshift").card.stochastic
    assert not FeatureAblation().card.stochastic


def test_noise_is_drawn_and_the_card_says_so():
    assert FeatureAblation(infill="noise").card.stochastic


def test_compactness_reaches_the_segmentation(classifier, make_batch, channels):
    batch = make_batch(1, channels)
    loose, square = (FeatureAblation(compactness=c, segments=20).explain(classifier, batch) for c in (0.01, 100.0))
    assert not torch.equal(loose, square)
