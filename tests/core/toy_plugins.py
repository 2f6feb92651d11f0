"""Small plugins for tests that run real processes: named as `toy_plugins.py:Name`, as a user's own file would be."""

import os
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from xaibench.contracts import Curved, Entry, ExplainerCard, MetricCard, ModelCard, Sample, TaskCard


class Blobs:
    """Noise with a bright square: the class is its side."""

    card = TaskCard(name="blobs", summary="squares on noise")
    classes = ("left", "right")
    folds = 1

    def __init__(self, size: int = 16, count: int = 80, version: int = 1):
        self.shape, self.count, self.version = (1, size, size), count, version

    def fingerprint(self):
        return f"{self.shape} {self.version}"

    def entries(self, split, fold):
        count = self.count if split == "test" else 32
        return [Entry(f"{split}-{number:04d}", f"{split}-p{number // 2}", number % 2) for number in range(count)]

    def load(self, entry):
        rng = np.random.default_rng(int.from_bytes(entry.id.encode()))
        size = self.shape[1]
        image = rng.random((1, size, size), dtype=np.float32) / 2
        row, column = rng.integers(0, size - 4), rng.integers(0, size // 2 - 4) + entry.label * size // 2
        mask = np.zeros((size, size), dtype=bool)
        mask[row : row + 4, column : column + 4] = True
        image[0][mask] += 0.5
        lesions = (mask,) if entry.id.endswith(("0", "1", "2", "3", "4", "5", "6")) else ()
        return Sample(entry, image, lesions)


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16 * 16, 2)
        )


class Trained:
    """Learns for `seconds`; leaves a trace of every training that began."""

    card = ModelCard(name="toy", summary="a tiny net")

    def __init__(self, seconds: float = 0.0, trace: str = "", weight: float = 0.0):
        self.seconds, self.trace, self.weight = seconds, trace, weight

    def build(self, task):
        return Net()

    def cam_layer(self, task):
        return "2"

    def prepare(self, network, task, fold, workshop):
        if self.trace:
            with Path(self.trace).open("a") as file:
                file.write("training\n")
        samples = [task.load(entry) for entry in task.entries("train", fold)]
        images = torch.from_numpy(np.stack([sample.image for sample in samples]))
        labels = torch.tensor([sample.entry.label for sample in samples])
        network.train()
        optimiser = torch.optim.SGD(network.parameters(), lr=0.05)
        for step in range(10):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(images), labels).backward()
            optimiser.step()
            workshop.progress(f"training toy: step {step}", step, 10)
            time.sleep(self.seconds / 10)
        with torch.no_grad():
            network[4].bias[0] += self.weight
        return {"steps": 10}


class Gradient:
    """The absolute gradient; slow on request, and it counts the images it has explained."""

    card = ExplainerCard(
        name="gradient", summary="absolute gradient", family="gradient", needs=frozenset({"gradients"})
    )

    def __init__(self, seconds: float = 0.0, trace: str = "", power: float = 1.0):
        self.seconds, self.trace, self.power = seconds, trace, power

    def explain(self, classifier, batch):
        time.sleep(self.seconds)
        images = batch.images.clone().requires_grad_()
        logits = classifier.logits(images).gather(1, batch.targets[:, None]).sum()
        (gradient,) = torch.autograd.grad(logits, images)
        if self.trace:
            with Path(self.trace).open("a") as file:
                file.write("".join(f"{name}\n" for name in batch.ids))
        return gradient.abs().sum(1) ** self.power


class Noise:
    """Noise from the sample's seed, or, in a bad plugin, from the global generator."""

    card = ExplainerCard(name="noise", summary="noise", family="reference", stochastic=True)

    def __init__(self, globally: bool = False):
        self.globally = globally

    def explain(self, classifier, batch):
        if self.globally:
            return torch.rand(len(batch.ids), *batch.images.shape[2:])
        generators = [torch.Generator().manual_seed(seed) for seed in batch.seeds]
        return torch.stack([torch.rand(batch.images.shape[2:], generator=one) for one in generators])


class Misbehaving:
    """Does what explainers must not do."""

    card = ExplainerCard(name="misbehaving", summary="does what it is told", family="gradient")

    def __init__(self, how: str = "raise"):
        self.how = how

    def explain(self, classifier, batch):
        if self.how == "raise":
            raise ValueError("no idea")
        if self.how == "exit":
            raise SystemExit(3)
        if self.how == "oom":
            raise MemoryError
        if self.how == "train":
            classifier.network.train()
            classifier.logits(batch.images)
        if self.how == "weights":
            next(classifier.network.parameters()).data.add_(1)
        if self.how == "hook":
            classifier.cam_layer.register_forward_hook(lambda *_: None)
        if self.how == "shape":
            return torch.zeros(len(batch.ids), 3, 3)
        if self.how == "die":
            os._exit(9)
        maps = torch.rand(len(batch.ids), *batch.images.shape[2:])
        if self.how == "nan":
            maps[0, 0, 0] = float("nan")
        if self.how == "small-batches" and len(batch.ids) > 2:
            raise RuntimeError("CUDA out of memory. Tried to allocate 9 GiB")
        return maps


class Spread:
    """How different two maps of the same image are that were made with different seeds."""

    card = MetricCard(
        name="spread", summary="mean difference over seeds", family="stability", higher_is_better=False,
        variants=("seed:1",), claims_quality=False, worst=1.0,
    )  # fmt: skip

    def score(self, case):
        return np.abs(case.maps - case.variants["seed:1"]).mean(axis=(1, 2))


class Confidence:
    """The probability of the explained class: needs the model."""

    card = MetricCard(
        name="confidence", summary="probability of the class", family="faithfulness", higher_is_better=True,
        needs=frozenset({"model"}), claims_quality=False,
    )  # fmt: skip

    def score(self, case):
        with torch.inference_mode():
            probabilities = case.classifier.logits(torch.from_numpy(case.images)).softmax(1).numpy()
        return probabilities[np.arange(len(case.targets)), case.targets]


class Plain(Blobs):
    """Images without any lesion."""

    def load(self, entry):
        sample = super().load(entry)
        return Sample(sample.entry, sample.image)


class TwinA(Gradient):
    """The brightness, under the card of another."""

    def explain(self, classifier, batch):
        return batch.images[:, 0]


class TwinB(TwinA):
    """The same class card, another map."""

    def explain(self, classifier, batch):
        return 1 - batch.images[:, 0]


class ReusesItsBuffer:
    card = ExplainerCard(name="buffer", summary="brightness in a buffer of its own", family="gradient")
    buffer = torch.zeros(8, 16, 16)

    def explain(self, classifier, batch):
        return torch.mul(batch.images[:, 0], 1, out=self.buffer[: len(batch.ids)])


class Vandal:
    """Writes where others read, then fails."""

    card = ExplainerCard(name="vandal", summary="vandal", family="gradient", needs=frozenset({"prior"}))

    def __init__(self, what: str = "model"):
        self.what = what

    def explain(self, classifier, batch):
        if self.what == "model":
            next(classifier.network.parameters()).data.zero_()
            raise ValueError("after the damage")
        if self.what == "prior":
            batch.prior[:] = 0
        if self.what == "grad":
            torch.set_grad_enabled(False)
        print("noise on stdout")
        return torch.rand(len(batch.ids), *batch.images.shape[2:])


class Falling:
    """The map's mean, and two points of a curve."""

    def __init__(self, declared: bool = True):
        self.card = MetricCard(
            name="falling", summary="", family="faithfulness", higher_is_better=True, default=False,
            curve=(0.0, 1.0) if declared else (),
        )  # fmt: skip

    def score(self, case):
        means = case.maps.mean(axis=(1, 2)).astype(float)
        return Curved(means, np.stack([means, np.full(len(means), np.nan)], axis=1))


class SpoilsTheModel:
    card = MetricCard(
        name="spoils", summary="spoils", family="faithfulness", higher_is_better=True, needs=frozenset({"model"})
    )

    def score(self, case):
        next(case.classifier.network.parameters()).data.zero_()
        return np.zeros(len(case.maps))


class SpoilsTheMasks:
    card = MetricCard(name="masks", summary="masks", family="localisation", higher_is_better=True)

    def score(self, case):
        for lesions in case.lesions:
            for mask in lesions:
                mask[:] = True
        return np.zeros(len(case.maps))


class WantsNoise(Spread):
    card = MetricCard(
        name="noise", summary="noise", family="robustness", higher_is_better=False, variants=("noise:0.1",), worst=1.0
    )


class CannotPrepare(Trained):
    def prepare(self, network, task, fold, workshop):
        raise FileNotFoundError("weights.pt")


class OddReport(Trained):
    def prepare(self, network, task, fold, workshop):
        return {"accuracy": np.float32(0.5), "loss": float("nan"), "path": Path("x"), "curve": [np.float64(1.0)]}


class Asks:
    """Asks for other maps, named as `seed:1+cascade:100`, and says how far the last of them is from the plain one."""

    def __init__(self, names: str = "seed:1"):
        self.card = MetricCard(
            name="asks", summary="mean change", family="sanity", higher_is_better=False,
            variants=tuple(names.split("+")), claims_quality=False, worst=1.0,
        )  # fmt: skip

    def score(self, case):
        return np.abs(case.maps - case.variants[self.card.variants[-1]]).mean(axis=(1, 2))


class Halves(nn.Module):
    def forward(self, images):
        return torch.stack([half.mean(dim=(1, 2, 3)) for half in images.chunk(2, dim=3)], dim=1)


class Learnless:
    """Nothing in it is learnt, or could be."""

    card = ModelCard(name="learnless", summary="which half is brighter", trained=False)

    def build(self, task):
        return Halves()

    def cam_layer(self, task):
        return None

    def prepare(self, network, task, fold, workshop):
        return {}


class Shares(Gradient):
    """Gradient times pixel: adds up to the logit's gain, if the network is linear."""

    card = ExplainerCard(name="shares", summary="shares", family="gradient", sign="signed", additive=True)

    def explain(self, classifier, batch):
        images = batch.images.clone().requires_grad_()
        logits = classifier.logits(images).gather(1, batch.targets[:, None]).sum()
        return (torch.autograd.grad(logits, images)[0] * images.detach()).sum(1)


class GivesUp(Gradient):
    """Shows nothing, or no number, of a network whose statistics were forgotten."""

    def __init__(self, value: float = 0.0, nan: bool = False):
        super().__init__()
        self.value = float("nan") if nan else value

    def explain(self, classifier, batch):
        maps = super().explain(classifier, batch)
        means = [buffer for name, buffer in classifier.network.named_buffers() if name.endswith("running_mean")]
        return maps if any(mean.any() for mean in means) else torch.full_like(maps, self.value)


class CountsQuestions(Blobs):
    """Leaves a trace whenever it is asked what its data are."""

    def __init__(self, trace: str):
        super().__init__()
        self.trace = trace

    def fingerprint(self):
        with Path(self.trace).open("a") as file:
            file.write("asked\n")
        return super().fingerprint()
