"""Networks that are games: each pixel of an image of ones is one player, on at 1 and off at 0."""

import itertools
import math

import numpy as np
import torch
from torch import nn

from xaibench.classifier import TorchClassifier
from xaibench.contracts import Batch


class Game(nn.Module):
    """Sum over coefficients of products of players; the other class gets nothing."""

    def __init__(self, terms, classes=2):
        super().__init__()
        self.terms, self.classes = terms, classes

    def forward(self, images):
        players = images.mean(dim=1).flatten(1).double()
        value = torch.zeros(len(players), dtype=torch.float64)
        for members, worth in self.terms:
            value = value + worth * players[:, list(members)].prod(dim=1)
        return torch.nn.functional.pad(value[:, None], (0, self.classes - 1)).float()


class Bent(nn.Module):
    """Two layers that bend: interactions of every order."""

    def __init__(self, players, seed=0, hidden=16):
        super().__init__()
        rng = np.random.default_rng(seed)
        self.first = torch.tensor(rng.normal(size=(players, hidden)) * 2 / players**0.5)
        self.bias = torch.tensor(rng.normal(size=hidden) / 2)
        self.second = torch.tensor(rng.normal(size=(hidden, 2)))

    def forward(self, images):
        players = images.mean(dim=1).flatten(1).double()
        return (torch.tanh(players @ self.first + self.bias) @ self.second).float()


def additive(players, seed=0):
    """A worth for each player."""
    worths = np.random.default_rng(seed).normal(size=players)
    return [((i,), float(worth)) for i, worth in enumerate(worths)]


def interactions(players, size, count, seed=1):
    """Groups that are worth something only together."""
    rng = np.random.default_rng(seed)
    groups = [tuple(rng.choice(players, size, replace=False).tolist()) for _ in range(count)]
    return [(group, float(worth)) for group, worth in zip(groups, rng.normal(size=count) / 2, strict=True)]


def planted_values(terms, players):
    """Shapley values by the axioms: a product's worth is shared evenly among its members."""
    values = np.zeros(players)
    for members, worth in terms:
        values[list(members)] += worth / len(members)
    return values


def enumerated_values(network, rows, columns):
    """Shapley values by their definition: the mean over all coalitions of what a player adds."""
    players = rows * columns
    every = np.array(list(itertools.product([0.0, 1.0], repeat=players)), dtype=np.float32)
    with torch.no_grad():
        worths = network(torch.from_numpy(every).reshape(-1, 1, rows, columns))[:, 0].double().numpy()
    sizes = every.sum(axis=1).astype(int)
    values = np.zeros(players)
    for player in range(players):
        without = np.flatnonzero(every[:, player] == 0)
        share = np.array([1 / (players * math.comb(players - 1, size)) for size in sizes[without]])
        values[player] = share @ (worths[without + 2 ** (players - 1 - player)] - worths[without])
    return values


def played(network, rows, columns, count=1, seed=0):
    """A classifier for the game, and a batch of images of ones with targets 0."""
    classifier = TorchClassifier(network, ("a", "b"), None, batch_size=64)
    images = torch.ones(count, 1, rows, columns)
    seeds = tuple(range(seed, seed + count))
    return classifier, Batch(images, torch.zeros(count, dtype=torch.long), tuple(map(str, seeds)), seeds)


PIXELS = {"segmentation": "grid", "infill": "black"}  # a grid of as many cells as pixels


class Seer(nn.Module):
    """A convolutional network that is far from additive: its last layer bends what the whole image adds up to."""

    def __init__(self, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.layers = nn.Sequential(
            nn.Conv2d(1, 12, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(12, 24, 5, stride=2, padding=2), nn.ReLU()
        )
        self.hidden, self.head = nn.Linear(24 * 16, 32), nn.Linear(32, 2)
        with torch.no_grad():
            for tensor in self.parameters():
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * (2 / tensor[0].numel()) ** 0.5)

    def forward(self, images):
        maps = nn.functional.adaptive_avg_pool2d(self.layers(images), 4).flatten(1)
        return self.head(torch.tanh(8 * self.hidden(maps)))


def film(seed=0, side=64):
    """Smooth shapes and a little noise."""
    generator = torch.Generator().manual_seed(seed)
    shapes = nn.functional.interpolate(torch.rand(1, 1, 8, 8, generator=generator), (side, side), mode="bicubic")
    return (shapes + 0.05 * torch.rand(1, 1, side, side, generator=generator)).clamp(0, 1)
