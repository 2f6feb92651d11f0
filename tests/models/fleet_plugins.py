"""A network and a task for trainings that several processes share; imported by each of them, it logs what they write.

Without dropout, augmentation and batch statistics, so that two shares of a batch make the same step as the whole.
"""

import os
import sys
from pathlib import Path

import numpy as np
from torch import nn

from xaibench.contracts import Entry, ModelCard, Sample, TaskCard
from xaibench.seeds import derive
from xaibench_models.trained import TrainedModel


def log_of_writes(folder):
    """Every rename and every file opened to be written, with the path, one log per process."""
    log = (Path(folder) / f"rank{os.environ.get('LOCAL_RANK', '0')}.log").open("a", buffering=1)

    def write(event, given):
        if event == "os.rename" or (event == "open" and isinstance(given[0], str) and given[2] & os.O_ACCMODE):
            log.write(f"{event} {given[1] if event == 'os.rename' else given[0]}\n")

    sys.addaudithook(write)


if "FLEET_LOGS" in os.environ:
    log_of_writes(os.environ["FLEET_LOGS"])


class Tiny(TrainedModel):
    card = ModelCard(name="tiny", summary="one convolution")
    head = ("5.",)

    def network(self, task):
        layers = [nn.Conv2d(1, 8, 5), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.AdaptiveMaxPool2d(2), nn.Flatten()]
        return nn.Sequential(*layers, nn.Linear(32, len(task.classes)))

    def cam_layer(self, task):
        return "2"


class Stripes:
    """Where the bright stripe is tells the class. 11 held-out images: the last share of one process is empty."""

    card = TaskCard(name="stripes", summary="a bright row, column or nothing")
    classes, folds, shape = ("none", "row", "column"), 1, (1, 16, 16)
    counts = {"train": 50, "val": 11, "test": 6}  # noqa: RUF012

    def fingerprint(self):
        return f"stripes {self.counts}"

    def entries(self, split, fold):
        return [Entry(f"{split}-{i}", f"{split}-{i}", i % 3) for i in range(self.counts[split])]

    def load(self, entry):
        rng = np.random.default_rng(derive("stripes", entry.id))
        image = 0.3 * rng.random(self.shape, dtype=np.float32)
        place = rng.integers(2, 14)
        if entry.label:
            image[(slice(None), slice(place, place + 2)) if entry.label == 1 else (..., slice(place, place + 2))] += 0.5
        return Sample(entry, image)
