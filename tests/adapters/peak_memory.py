"""Peak memory that an explainer adds to a network's own, in MiB. A program: the peak of a process never falls."""

import re
import sys
from pathlib import Path

import torch
from torch import nn

from xaibench.allocator import keep_memory
from xaibench.classifier import TorchClassifier
from xaibench.contracts import Batch
from xaibench.registry import create


class Patches(nn.Module):
    """As many channels and as coarse a grid as a ResNet-50 ends with, for a fraction of the time."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Conv2d(3, 16, 8, stride=8), nn.ReLU(), nn.Conv2d(16, channels, 4, stride=4))
        self.head = nn.Linear(channels, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(images).mean(dim=(2, 3)))


def peak() -> int:
    """The largest resident size so far, MiB."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) // 1024


if __name__ == "__main__":
    explainer, channels = sys.argv[1], int(sys.argv[2])
    keep_memory()
    torch.manual_seed(0)
    classifier = TorchClassifier(Patches(channels), ("a", "b", "c"), "layer")
    images = torch.rand(1, 3, 224, 224)
    batch = Batch(images, torch.tensor([0]), ("a",), (0,))
    create("explainers", "lime(samples=10)").plugin.explain(classifier, batch)  # imports are nobody's memory
    with torch.inference_mode():
        classifier.logits(images.expand(16, -1, -1, -1).contiguous())
    before = peak()
    create("explainers", explainer).plugin.explain(classifier, batch)
    print(peak() - before, classifier.counters.forward)
