"""A task and a network that train in a second; run as a program, a training that can be killed."""

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from xaibench.contracts import Entry, Sample, TaskCard, Workshop
from xaibench.seeds import derive
from xaibench_models.checkpoints import KeepLast
from xaibench_models.recipes import Augmentation, find
from xaibench_models.trainer import train

RECIPE = replace(
    find("quick"), name="tiny", epochs=4, batch_size=8, learning_rate=0.02, augmentation=Augmentation(mirror=True)
)


class Stripes:
    """Where the bright stripe is tells the class."""

    card = TaskCard(name="stripes", summary="a bright row, column or nothing")
    classes = ("none", "row", "column")
    folds = 1

    def __init__(self, channels=1, size=16, train=48, val=12):
        self.shape = (channels, size, size)
        self.counts = {"train": train, "val": val, "test": 12}

    def fingerprint(self):
        return f"stripes {self.shape} {self.counts}"

    def entries(self, split, fold):
        return [Entry(f"{split}-{i}", f"{split}-patient-{i}", i % 3) for i in range(self.counts[split])]

    def load(self, entry):
        rng = np.random.default_rng(derive("stripes", entry.id))
        image = 0.3 * rng.random(self.shape, dtype=np.float32)
        place = rng.integers(2, self.shape[1] - 2)
        if entry.label == 1:
            image[:, place : place + 2, :] += 0.5
        if entry.label == 2:
            image[:, :, place : place + 2] += 0.5
        return Sample(entry, image)


def tiny_network(classes=3):
    """With batch norm and dropout: both have state that a resumed training must get right."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 8, 5), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.1), nn.AdaptiveMaxPool2d(2), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(32, classes))


def weights_hash(network):
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def quiet(what, done, total):
    pass


def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def tell(what, done, total):
    say(f"step {done}")


def main(folder, seconds_between_checkpoints=KeepLast.seconds):
    torch.set_num_threads(1)
    KeepLast.seconds = float(seconds_between_checkpoints)
    network = tiny_network()
    report = train(network, Stripes(), 0, Workshop(Path(folder), "cpu", 7, tell), RECIPE, "tiny")
    say(json.dumps({"hash": weights_hash(network), "report": report}, allow_nan=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
