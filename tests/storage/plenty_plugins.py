"""A task of any number of images, a network and explainers that cost next to nothing: what is left is the harness."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
from torch import nn

from xaibench.contracts import Entry, ExplainerCard, MetricCard, ModelCard, Sample, TaskCard

SIDE = 64


class Plenty:
    """Images of one grey each, with a lesion in a corner."""

    card = TaskCard(name="plenty", summary="as many images as are asked for")
    classes = ("dark", "bright")
    folds = 1
    shape = (1, SIDE, SIDE)

    def __init__(self, count: int = 100):
        self.count = count

    def fingerprint(self):
        return f"{self.count}"

    def entries(self, split, fold):
        count = self.count if split == "test" else 4
        return [Entry(f"{split}-{number:06d}", f"{split}-p{number // 4}", number % 2) for number in range(count)]

    def load(self, entry):
        grey = (int(entry.id[-6:]) % 97) / 97
        mask = np.zeros((SIDE, SIDE), dtype=bool)
        mask[:8, :8] = True
        return Sample(entry, np.full((1, SIDE, SIDE), grey, dtype=np.float32), (mask,))


class Grey:
    card = ModelCard(name="grey", summary="looks at the mean", trained=False)

    def build(self, task):
        network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2))
        nn.init.constant_(network[2].weight, 0.5)
        return network

    def cam_layer(self, task):
        return None

    def prepare(self, network, task, fold, workshop):
        return {}


class Ramp:
    """The same slope for every image, from one side or another."""

    card = ExplainerCard(name="ramp", summary="a slope", family="cam", class_sensitive=False)

    def __init__(self, axis: int = 0):
        slope = np.linspace(0, 1, SIDE, dtype=np.float32)
        self.map = np.ascontiguousarray(np.broadcast_to(slope[:, None] if axis == 0 else slope[None], (SIDE, SIDE)))

    def explain(self, classifier, batch):
        return np.stack([self.map] * len(batch.ids))


class Saboteur(Ramp):
    """Does something to the results folder in the middle of its work."""

    def __init__(self, folder: str, act: str):
        super().__init__()
        self.folder, self.act, self.calls = Path(folder), act, 0

    def explain(self, classifier, batch):
        self.calls += 1
        if self.calls == 6 and self.act == "vanish":
            shutil.rmtree(self.folder)
        if self.calls == 6 and self.act == "read-only":
            subprocess.run(["mount", "-o", "remount,ro", str(self.folder)], check=True)
        return super().explain(classifier, batch)


class Killed(Ramp):
    """Ends the process, as the system does, when a second shard has begun; once."""

    def __init__(self, trap: str):
        super().__init__()
        self.trap, self.calls = Path(trap), 0

    def explain(self, classifier, batch):
        self.calls += 1
        if self.calls == 6 and self.trap.exists():
            self.trap.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().explain(classifier, batch)


class MeanInside:
    card = MetricCard(name="mean-inside", summary="mean in the lesion", family="localisation", higher_is_better=True)

    def score(self, case):
        return [float(one[mask].mean()) for one, mask in zip(case.maps, case.masks, strict=True)]
