"""Networks and explainers whose answers are known without running them; named as files, as a user's own would be."""

import numpy as np
import torch
from torch import nn

from xaibench.contracts import Entry, ExplainerCard, ModelCard, Sample, TaskCard
from xaibench_tasks.reading import read_film
from xaibench_tasks.steps import Grey, Resize


class Sides(nn.Module):
    """The logit of a class is the mean brightness of its part of the image; the parts stand side by side."""

    def __init__(self, classes=2):
        super().__init__()
        self.classes = classes
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images):
        grey = self.scale * images.mean(dim=1)
        return torch.stack([part.mean(dim=(1, 2)) for part in grey.chunk(self.classes, dim=2)], dim=1)


class Halves:
    card = ModelCard(
        name="halves", summary="brightness of the halves", trained=False, provides=frozenset({"gradients"})
    )

    def build(self, task):
        return Sides(len(task.classes))

    def prepare(self, network, task, fold, workshop):
        return {}

    def cam_layer(self, task):
        return None


class Learns(Halves):
    card = ModelCard(name="learns", summary="the same, to be trained", provides=frozenset({"gradients"}))

    def prepare(self, network, task, fold, workshop):
        with torch.no_grad():
            network.scale.fill_(3.0)
        return {}


class TwoOnly(Halves):
    """Whatever the task says."""

    def build(self, task):
        return Sides(2)


class Louder(Halves):
    card = ModelCard(name="louder", summary="other weights", trained=False, provides=frozenset({"gradients"}))

    def build(self, task):
        network = Sides()
        network.scale.data.fill_(2.0)
        return network


class _Explainer:
    def explain(self, classifier, batch):
        return batch.images.mean(dim=1)


class Brightness(_Explainer):
    card = ExplainerCard(name="brightness", summary="the image itself", family="reference")


class Gradient:
    card = ExplainerCard(
        name="gradient", summary="plain", family="gradient", needs=frozenset({"gradients"}), sign="signed"
    )

    def explain(self, classifier, batch):
        images = batch.images.clone().requires_grad_()
        score = classifier.logits(images).gather(1, batch.targets[:, None]).sum()
        return torch.autograd.grad(score, images)[0].sum(dim=1)


class Chance:
    card = ExplainerCard(name="chance", summary="noise of its seed", family="reference", stochastic=True)

    def explain(self, classifier, batch):
        rows, columns = batch.images.shape[2:]
        return np.stack([np.random.default_rng(seed).random((rows, columns), np.float32) for seed in batch.seeds])


class Flat(_Explainer):
    card = ExplainerCard(name="flat", summary="one value", family="reference")

    def explain(self, classifier, batch):
        return torch.ones(len(batch.images), *batch.images.shape[2:])


class Crashes(_Explainer):
    card = ExplainerCard(name="crashes", summary="raises", family="reference")

    def explain(self, classifier, batch):
        raise ZeroDivisionError("a heatmap of nothing")


class Spoils(_Explainer):
    card = ExplainerCard(name="spoils", summary="writes into the network", family="reference")

    def explain(self, classifier, batch):
        with torch.no_grad():
            for parameter in classifier.network.parameters():
                parameter.fill_(-7.0)
        return super().explain(classifier, batch)


class Films:
    """Drawn images, on which a network can be tested; the label is the brighter half, save for every fourth image."""

    card = TaskCard(name="films", summary="bright halves")
    classes = ("left", "right")
    shape = (1, 32, 32)
    folds = 1

    def fingerprint(self):
        return "films"

    def entries(self, split, fold):
        return [Entry(f"{split}-{number}", f"{split}-{number}", number % 2) for number in range(8)]

    def load(self, entry):
        number = int(entry.id.rpartition("-")[2])
        image = np.full(self.shape, 0.2, np.float32)
        bright = entry.label if number % 4 else 1 - entry.label
        image[:, :, 16 * bright : 16 * bright + 16] = 0.5 + 0.05 * number
        return Sample(entry, image)

    def read(self, film, mask=None):
        return read_film(film, mask, (Grey(), Resize(32, 32)), self.shape)


class Unread(Films):
    """A task that says nothing of films from outside."""

    read = None


def built(num_classes):
    """A plain network, as most people have one: a function that returns a torch module."""
    torch.manual_seed(0)
    pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes)]
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), *pooled)
