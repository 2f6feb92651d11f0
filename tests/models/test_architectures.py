"""What every registered network must do; a new one is tested by being registered."""

import functools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from xaibench.isolation import isolated_randomness
from xaibench.registry import Loaded, create, select

# Networks that are named by what they are given are tried with a small one of their kind.
EXAMPLES = ["torchvision:mobilenet_v3_small", "timm:resnet10t"]


@functools.cache
def trained():
    """References of every network that learns."""
    rows = [row for row in select("models", "all") if isinstance(row, Loaded) and row.card["trained"]]
    return [row.reference for row in rows] + EXAMPLES


class Task:
    classes = ("normal", "benign", "malignant")
    folds = 1

    def __init__(self, side=32, channels=1):
        self.shape = (channels, side, side)


def images(count, side=32, channels=1):
    """Stripes of three widths: classes that a handful of steps can tell apart."""
    noise = torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(1))
    rows = torch.arange(side)
    waves = torch.stack([torch.sin(rows * math.pi / 2 ** (1 + at % 3)) for at in range(count)])
    return (0.5 + 0.35 * waves[:, None, :, None] + 0.3 * (noise - 0.5)).clamp(0, 1)


def build(reference, task):
    with isolated_randomness(0):
        return create("models", reference).plugin.build(task)


@pytest.fixture(params=trained())
def reference(request):
    return request.param


def test_it_learns_a_handful_of_images_by_heart(reference):
    network, batch = build(reference, Task()).train(), images(6)
    labels = torch.arange(6) % 3
    for module in network.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d | nn.BatchNorm2d):
            module.eval()  # no dropout; and no statistics of six images
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-4, fused=True)
    losses = []
    with isolated_randomness(0):
        for _ in range(100):
            loss = F.cross_entropy(network(batch), labels)
            losses.append(loss.item())
            if losses[-1] < 0.1 * losses[0]:
                break
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    print(reference, len(losses), losses[0], losses[-1])
    assert losses[-1] < 0.1 * losses[0]
