import numpy as np
import pytest
import torch
from torch import nn

from xaibench.classifier import TorchClassifier
from xaibench.contracts import Case, Curved
from xaibench.metrics import responses


class Weighed(nn.Module):
    """Two classes: nothing, and the weighed sum of all pixels and channels."""

    def __init__(self, weights):
        super().__init__()
        self.weights = torch.as_tensor(weights, dtype=torch.float32)

    def forward(self, images):
        total = (images * self.weights).sum(dim=(1, 2, 3))
        return torch.stack([torch.zeros_like(total), total], dim=1)


class CountsWhite(nn.Module):
    """The logit of the second class is the number of white pixels."""

    def forward(self, images):
        white = (images > 0.99).all(dim=1).sum(dim=(1, 2)).float()
        return torch.stack([torch.zeros_like(white), white], dim=1)


class Saturated(nn.Module):
    """Full output as soon as one pixel in a thousand is white; the same for each place."""

    def forward(self, images):
        seen = torch.tanh(1000 * images.mean(dim=(1, 2, 3)))
        return torch.stack([-seen, seen], dim=1)


class Toned(nn.Module):
    """Not linear, three classes, and blind to where a pixel lies: a flipped image has the same logits."""

    def __init__(self, channels=1):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.tones = torch.randn(8, channels, generator=generator) * 3
        self.head = torch.randn(3, 8, generator=generator) * 4

    def forward(self, images):
        seen = torch.relu(torch.einsum("bchw,tc->bthw", images, self.tones) - 0.5).mean(dim=(2, 3))
        return seen @ self.head.T


class Placed(nn.Module):
    """Not linear, and it matters where a pixel lies."""

    def __init__(self, shape, channels=1):
        super().__init__()
        weights = torch.randn(6, channels, *shape, generator=torch.Generator().manual_seed(1))
        self.weights = weights / weights[0].numel() ** 0.5

    def forward(self, images):
        seen = torch.einsum("bchw,tchw->bt", images, self.weights).tanh()
        return torch.stack([seen[:, 0] * seen[:, 1], seen[:, 2] + seen[:, 3] ** 2, seen[:, 4] - seen[:, 5]], dim=1)


def case_of(network, maps, images, targets=1, seeds=None):
    """A case of maps [B, H, W] in [0, 1] for images [B, C, H, W], with the network's clean logits."""
    maps, images = (np.ascontiguousarray(some, dtype=np.float32) for some in (maps, images))
    count = len(maps)
    classifier = TorchClassifier(network, ("a", "b", "c")[: network(torch.zeros(1, *images.shape[1:])).shape[1]], None)
    logits = classifier.logits(torch.from_numpy(images)).numpy()
    nothing = np.zeros(maps.shape, dtype=bool)
    classifier.counters.forward = 0
    return Case(
        maps=maps,
        raw=maps,
        images=images,
        masks=nothing,
        lesions=((),) * count,
        regions={},
        labels=np.full(count, targets),
        targets=np.broadcast_to(np.asarray(targets, dtype=np.int64), count).copy(),
        predictions=logits.argmax(axis=1),
        logits=logits,
        seeds=tuple(range(count)) if seeds is None else tuple(seeds),
        seconds=np.ones(count),
        forward=np.ones(count),
        backward=np.ones(count),
        classifier=classifier,
    )


def random_maps(seed, count=4, size=(12, 8)):
    """Maps in which no two pixels of an image are the same."""
    rng = np.random.default_rng(seed)
    ranks = np.stack([rng.permutation(size[0] * size[1]) for _ in range(count)])
    return (ranks / ranks.max()).reshape(count, *size).astype(np.float32)


def random_images(seed, count=4, size=(12, 8), channels=1):
    return np.random.default_rng(seed).random((count, channels, *size), dtype=np.float32)


def values(metric, case):
    answer = metric.score(case)
    return np.asarray(answer.values if isinstance(answer, Curved) else answer)


class Kit:
    """What the tests of this folder share."""

    Weighed, CountsWhite, Saturated, Toned, Placed = Weighed, CountsWhite, Saturated, Toned, Placed
    case = staticmethod(case_of)
    maps = staticmethod(random_maps)
    images = staticmethod(random_images)
    values = staticmethod(values)


@pytest.fixture
def kit():
    return Kit


@pytest.fixture(autouse=True)
def _fresh():
    responses.forget()
