"""Tasks that break one promise each; every other promise is kept."""

import os
import random
from dataclasses import replace

import numpy as np
import torch

from xaibench.contracts import Entry, Sample, TaskCard
from xaibench.testing import planted


class Sound:
    card = TaskCard(name="sound", summary="planted squares")
    classes = ("normal", "benign", "malignant")
    shape = (1, 24, 24)
    folds = 2

    def fingerprint(self):
        return "1"

    def entries(self, split, fold):
        return [Entry(f"{split}-{number}", f"{split}-p{number // 2}", number % 3) for number in range(6)]

    def load(self, entry):
        return planted(entry, self.shape)


class OddCard(Sound):
    card = TaskCard(name="a,b", summary="a name that would be two in a list")


class OddDefault(Sound):
    def __init__(self, sides=(24, 24)):
        self.sides = sides


class FlatShape(Sound):
    shape = (24, 24)

    def load(self, entry):
        return planted(entry, (1, 24, 24))


class NamesAClassTwice(Sound):
    classes = ("normal", "normal", "malignant")


class HasNoTest(Sound):
    def entries(self, split, fold):
        return [] if split == "test" else super().entries(split, fold)


class HasNoFingerprint(Sound):
    def fingerprint(self):
        return None


class RepeatsIds(Sound):
    def entries(self, split, fold):
        return [replace(entry, id=entry.id.removeprefix(split)) for entry in super().entries(split, fold)]


class CountsFromOne(Sound):
    def entries(self, split, fold):
        return [replace(entry, label=entry.label + 1) for entry in super().entries(split, fold)]


class LeaksPatients(Sound):
    def entries(self, split, fold):
        return [replace(entry, patient=entry.patient.removeprefix(split)) for entry in super().entries(split, fold)]


class ShufflesAnew(Sound):
    def entries(self, split, fold):
        found = super().entries(split, fold)
        np.random.default_rng().shuffle(found)
        return found


class DatesItsFingerprint(Sound):
    made = 0

    def __init__(self):
        type(self).made += 1
        self.number = self.made

    def fingerprint(self):
        return f"made {self.number}"


class DrawsAnew(Sound):
    def load(self, entry):
        sample = super().load(entry)
        noise = np.random.default_rng().random(self.shape, dtype=np.float32)
        return replace(sample, image=(sample.image + noise) / 2)


class ChangesTheLabel(Sound):
    def load(self, entry):
        return replace(super().load(entry), entry=replace(entry, label=0))


class SixteenBits(Sound):
    def load(self, entry):
        sample = super().load(entry)
        return replace(sample, image=sample.image * 65535)


class DoublePrecision(Sound):
    def load(self, entry):
        sample = super().load(entry)
        return replace(sample, image=sample.image.astype(np.float64))


class GreyMasks(Sound):
    def load(self, entry):
        sample = super().load(entry)
        return replace(sample, lesions=tuple(mask.astype(np.uint8) * 255 for mask in sample.lesions))


class EmptyMasks(Sound):
    def load(self, entry):
        sample = super().load(entry)
        return Sample(entry, sample.image, (np.zeros(self.shape[1:], dtype=bool),))


class Prints(Sound):
    def load(self, entry):
        print(f"loading {entry.id}")
        return super().load(entry)


class SeedsTheWorld(Sound):
    def load(self, entry):
        random.seed(entry.id)
        return super().load(entry)


class ChangesTheErrors(Sound):
    def load(self, entry):
        torch.autograd.set_detect_anomaly(True)
        return super().load(entry)


class DependsOnTheProcess(Sound):
    def fingerprint(self):
        return f"{os.getpid()}"


SOUND = [Sound]
BAD = [
    (OddCard, "card"),
    (OddDefault, "parameters"),
    (FlatShape, "shape"),
    (NamesAClassTwice, "shape"),
    (HasNoTest, "works"),
    (HasNoFingerprint, "works"),
    (RepeatsIds, "index"),
    (CountsFromOne, "index"),
    (LeaksPatients, "patients"),
    (ShufflesAnew, "same-again"),
    (DatesItsFingerprint, "same-again"),
    (DrawsAnew, "same-samples"),
    (ChangesTheLabel, "entries"),
    (SixteenBits, "images"),
    (DoublePrecision, "images"),
    (GreyMasks, "masks"),
    (EmptyMasks, "masks"),
    (Prints, "quiet"),
    (SeedsTheWorld, "generators"),
    (ChangesTheErrors, "settings"),
    (DependsOnTheProcess, "elsewhere"),
]
