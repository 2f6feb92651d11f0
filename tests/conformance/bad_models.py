"""Models that break one promise each; every other promise is kept."""

import os
import random

import numpy as np
import torch
from torch import nn

from xaibench.contracts import ModelCard


def card(name, **more):
    return ModelCard(name=name, **{"summary": name, **more})


class Net(nn.Module):
    def __init__(self, task):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(task.shape[0], 4, 5, stride=4), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Linear(4, len(task.classes))

    def forward(self, images):
        return self.head(self.features(images).mean(dim=(2, 3)))


class Sound:
    card = card("sound")

    def build(self, task):
        return Net(task)

    def prepare(self, network, task, fold, workshop):
        return {}

    def cam_layer(self, task):
        return "features"


class SoundVeiled(Sound):
    """Sees the lesions alone."""

    card = card("veiled", trained=False, needs=frozenset({"masks"}), sees="lesions")

    def build(self, task):
        return Veiled(task)


class Veiled(Net):
    """Through a gate."""

    gate = None

    def set_gate(self, masks):
        self.gate = masks

    def forward(self, images):
        return super().forward(images * self.gate[:, None])


class OddCard(Sound):
    card = card("odd", provides=frozenset({"cam-layer"}))


class OddDefault(Sound):
    def __init__(self, widths=(8, 16)):
        self.widths = widths


class BuildsAFunction(Sound):
    def build(self, task):
        return lambda images: images.mean(dim=(2, 3))


class OneLogit(Sound):
    def build(self, task):
        return Squeezed(task)


class Squeezed(Net):
    def forward(self, images):
        return super().forward(images)[:, 0]


class IsNoisyInEval(Sound):
    def build(self, task):
        return Noisy(task)


class Noisy(Net):
    def __init__(self, task):
        super().__init__(task)
        self.generator = torch.Generator()

    def forward(self, images):
        return super().forward(images) + torch.randn(len(images), 1, generator=self.generator)


class DrawsItsOwnWeights(Sound):
    def build(self, task):
        network = Net(task)
        with torch.no_grad():
            network.head.bias.copy_(torch.from_numpy(np.random.default_rng().random(len(task.classes))))
        return network


class ForgetsABuffer(Sound):
    def build(self, task):
        return Shifted(task)


class Shifted(Net):
    def __init__(self, task):
        super().__init__(task)
        self.shift = torch.randn(len(task.classes))

    def forward(self, images):
        return super().forward(images) + self.shift


class NormalisesByTheBatch(Sound):
    def build(self, task):
        return BatchNormed(task)


class BatchNormed(Net):
    def forward(self, images):
        return super().forward(images - images.mean())


class KnowsThreeClasses(Sound):
    def build(self, task):
        network = Net(task)
        network.head = nn.Linear(4, 3)
        return network


class KnowsOneSize(Sound):
    def build(self, task):
        return nn.Sequential(nn.Conv2d(task.shape[0], 4, 8, stride=8), nn.Flatten(), nn.Linear(4 * 64, 3))

    def cam_layer(self, task):
        return "0"


class NamesNoModule(Sound):
    def cam_layer(self, task):
        return "layer4"


class NamesTheHead(Sound):
    def cam_layer(self, task):
        return "head"


class HidesItsLayer(Sound):
    card = card("hides", provides=frozenset({"gradients"}))


class CutsTheGradient(Sound):
    def build(self, task):
        return Cut(task)


class Cut(Net):
    def forward(self, images):
        return super().forward((images * 255).round() / 255)


class NormalisesInPlace(Sound):
    def build(self, task):
        return InPlace(task)


class InPlace(Net):
    def forward(self, images):
        return super().forward(images if images.requires_grad else images.clamp_(0.1, 0.9))


class CountsCalls(Sound):
    def build(self, task):
        return Counting(task)


class Counting(Net):
    def __init__(self, task):
        super().__init__(task)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, images):
        self.calls += 1
        return super().forward(images)


class PeeksBehindTheVeil(SoundVeiled):
    def build(self, task):
        return Peeking(task)


class Peeking(Veiled):
    def forward(self, images):
        return super().forward(images) + images.mean()


class IsBlind(SoundVeiled):
    def build(self, task):
        return Blind(task)


class Blind(Veiled):
    """A gradient in the first logit, of a pixel that is always veiled."""

    def forward(self, images):
        return self.head.bias + (images * self.gate[:, None] - images).square().sum(dim=(1, 2, 3))[:, None].clamp(max=0)


class Prints(Sound):
    def build(self, task):
        print("building")
        return Net(task)


class DrawsWhileItRuns(Sound):
    def build(self, task):
        return Drawing(task)


class Drawing(Net):
    def forward(self, images):
        random.random()  # noqa: S311  # this is the fault
        return super().forward(images)


class ChangesTheErrors(Sound):
    def build(self, task):
        np.seterr(all="raise")
        return Net(task)


class DependsOnTheProcess(Sound):
    def build(self, task):
        network = Net(task)
        with torch.no_grad():
            network.head.bias += os.getpid()
        return network


SOUND = [Sound, SoundVeiled]
BAD = [
    (OddCard, "card"),
    (OddDefault, "parameters"),
    (BuildsAFunction, "works"),
    (OneLogit, "logits"),
    (IsNoisyInEval, "steady"),
    (DrawsItsOwnWeights, "same-again"),
    (ForgetsABuffer, "state-dict"),
    (NormalisesByTheBatch, "neighbours"),
    (KnowsThreeClasses, "other-tasks"),
    (KnowsOneSize, "other-tasks"),
    (NamesNoModule, "cam-layer"),
    (NamesTheHead, "cam-layer"),
    (HidesItsLayer, "cam-layer"),
    (CutsTheGradient, "gradient"),
    (NormalisesInPlace, "untouched-images"),
    (CountsCalls, "untouched-network"),
    (PeeksBehindTheVeil, "sees"),
    (Prints, "quiet"),
    (DrawsWhileItRuns, "generators"),
    (ChangesTheErrors, "settings"),
    (DependsOnTheProcess, "elsewhere"),
]
