import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from xaibench.classifier import TorchClassifier
from xaibench.contracts import Batch

CLASSES = ("normal", "benign", "malignant")
SIZE = (40, 32)


class SmallNet(nn.Module):
    """Two convolutions with normalisation between them; it goes on in place after its CAM layer, as DenseNet does."""

    def __init__(self, channels=1):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, 6, 3, padding=1, stride=2), nn.BatchNorm2d(6), nn.ReLU(inplace=True)
        )
        self.features = nn.Conv2d(6, 8, 3, padding=1, stride=2)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(8, len(CLASSES))
        generator = torch.Generator().manual_seed(24)  # of which no class activation map is empty
        with torch.no_grad():
            for tensor in (*self.parameters(), self.stem[1].running_mean):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.4)
        self.eval()

    def forward(self, images):
        maps = F.relu(self.features(self.stem(images)), inplace=True)
        return self.head(self.pool(maps))


def make_batch(count=8, channels=1, size=SIZE, seed=0, masks=True, prior=True):
    """Images with one or two square lesions, the last without; evidence only where it is asked for."""
    generator = np.random.default_rng(seed)
    images = generator.random((count, channels, *size), dtype=np.float32)
    truth = np.zeros((count, *size), dtype=bool)
    for one in truth[:-1]:
        for _ in range(generator.integers(1, 3)):
            row, column = generator.integers(0, size[0] - 6), generator.integers(0, size[1] - 6)
            one[row : row + 6, column : column + 6] = True
    return Batch(
        images=torch.from_numpy(images),
        targets=torch.from_numpy(generator.integers(0, len(CLASSES), count)),
        ids=tuple(f"image-{i}" for i in range(count)),
        seeds=tuple(range(100, 100 + count)),
        masks=truth if masks else None,
        prior=generator.random(size, dtype=np.float32) if prior else None,
    )


def part(batch, indices):
    """Some images of a batch, in the given order."""
    return Batch(
        images=batch.images[indices],
        targets=batch.targets[indices],
        ids=tuple(batch.ids[i] for i in indices),
        seeds=tuple(batch.seeds[i] for i in indices),
        masks=None if batch.masks is None else batch.masks[indices],
        prior=batch.prior,
    )


@pytest.fixture(params=[1, 3], ids=["grey", "colour"])
def channels(request):
    return request.param


@pytest.fixture
def network(channels):
    return SmallNet(channels)


@pytest.fixture
def classifier(network):
    return TorchClassifier(network, CLASSES, "features", batch_size=8)


@pytest.fixture(name="small_net", scope="session")
def _small_net():
    return SmallNet


@pytest.fixture(name="make_batch", scope="session")
def _make_batch():
    return make_batch


@pytest.fixture(name="part", scope="session")
def _part():
    return part
