"""Explainers that break one promise each, as authors break it; every other promise is kept."""

import os

import numpy as np
import torch
from torch.nn import functional as F

from xaibench.contracts import ExplainerCard


def card(name, **more):
    values = {"summary": name, "family": "gradient", "needs": frozenset({"gradients"}), **more}
    return ExplainerCard(name=name, **values)


def gradients(classifier, batch):
    """What a sound explainer would do."""
    images = batch.images.clone().requires_grad_()
    scores = classifier.logits(images).gather(1, batch.targets[:, None])
    return torch.autograd.grad(scores.sum(), images)[0]


class Sound:
    card = card("sound")

    def explain(self, classifier, batch):
        return gradients(classifier, batch).abs().sum(dim=1)


class OddCard(Sound):
    card = card("odd", sign="both")


class OddDefault(Sound):
    def __init__(self, sizes=(1, 2)):
        self.sizes = sizes


class UsesUndeclaredMasks(Sound):
    def explain(self, classifier, batch):
        return super().explain(classifier, batch) * (1 + torch.from_numpy(batch.masks))


class UsesUndeclaredPrior(Sound):
    def explain(self, classifier, batch):
        return super().explain(classifier, batch) * (1 if batch.prior is None else torch.from_numpy(batch.prior))


class UsesUndeclaredCamLayer(Sound):
    def explain(self, classifier, batch):
        kept = []
        handle = classifier.cam_layer.register_forward_hook(lambda *args: kept.append(args[2].detach()))
        try:
            maps = super().explain(classifier, batch)
        finally:
            handle.remove()
        weights = F.interpolate(kept[0].abs().sum(dim=1, keepdim=True), maps.shape[1:], mode="bilinear")
        return maps * weights[:, 0]


class UsesUndeclaredGradients(Sound):
    card = card("undeclared", needs=frozenset())


class ReturnsAList(Sound):
    def explain(self, classifier, batch):
        return super().explain(classifier, batch).tolist()


class KeepsChannels(Sound):
    def explain(self, classifier, batch):
        return gradients(classifier, batch).abs()


class CarriesTheGraph(Sound):
    def explain(self, classifier, batch):
        images = batch.images.clone().requires_grad_()
        scores = classifier.logits(images).gather(1, batch.targets[:, None])
        (found,) = torch.autograd.grad(scores.sum(), images)
        return found.abs().sum(dim=1) + 0 * images.sum(dim=1)


class DividesByZero(Sound):
    def explain(self, classifier, batch):
        maps = super().explain(classifier, batch)
        return torch.where(maps < maps.amax(dim=(1, 2), keepdim=True) / 2, maps / 0, maps)


class DrawsAnew(Sound):
    def explain(self, classifier, batch):
        noise = np.random.default_rng().random(batch.images.shape[2:], dtype=np.float32)
        return super().explain(classifier, batch) * (1 + torch.from_numpy(noise))


class IsFlat(Sound):
    def explain(self, classifier, batch):
        return 0 * super().explain(classifier, batch)


class IsSigned(Sound):
    def explain(self, classifier, batch):
        return gradients(classifier, batch).sum(dim=1)


class IsSecretlyStochastic(Sound):
    def explain(self, classifier, batch):
        maps = super().explain(classifier, batch)
        size = maps.shape[1:]
        noise = np.stack([np.random.default_rng(seed).random(size, dtype=np.float32) for seed in batch.seeds])
        return maps * (1 + torch.from_numpy(noise))


class IsNotStochastic(Sound):
    card = card("not-stochastic", stochastic=True)


class ForgetsTheClass(Sound):
    def explain(self, classifier, batch):
        images = batch.images.clone().requires_grad_()
        return torch.autograd.grad(classifier.logits(images)[:, 0].sum(), images)[0].abs().sum(dim=1)


class ScalesByTheBatch(Sound):
    def explain(self, classifier, batch):
        maps = super().explain(classifier, batch)
        return maps / maps.max()


class CountsPlaces(Sound):
    def explain(self, classifier, batch):
        return super().explain(classifier, batch) * torch.arange(1, len(batch.ids) + 1)[:, None, None]


class Squeezes(Sound):
    def explain(self, classifier, batch):
        return super().explain(classifier, batch).squeeze()


class MeansOverTheBatch(Sound):
    def explain(self, classifier, batch):
        return super().explain(classifier, batch) / len(batch.ids)


class WantsColour(Sound):
    def explain(self, classifier, batch):
        found = gradients(classifier, batch).abs()
        return 0.3 * found[:, 0] + 0.6 * found[:, 1] + 0.1 * found[:, 2]


class WantsSquares(Sound):
    def explain(self, classifier, batch):
        side = batch.images.shape[2]
        return super().explain(classifier, batch).reshape(-1, side, side)


class OverflowsInHalf(Sound):
    """Looks at logits in half precision, of which the mantissa is short."""

    def explain(self, classifier, batch):
        maps = super().explain(classifier, batch)
        logits = classifier.logits(batch.images)
        coarse = torch.equal(logits, logits.bfloat16().float())
        return maps / (0 if coarse else 1)


class DoesNotAddUp(Sound):
    card = card("does-not-add-up", sign="signed", additive=True)

    def explain(self, classifier, batch):
        return (gradients(classifier, batch) * batch.images).sum(dim=1)


class HidesNaN(Sound):
    def explain(self, classifier, batch):
        maps = torch.nan_to_num(super().explain(classifier, batch))
        return maps + batch.images.mean(dim=1) * maps.amax(dim=(1, 2), keepdim=True).clamp(min=1e-6) / 10


class RaisesOnNaN(Sound):
    def explain(self, classifier, batch):
        maps = super().explain(classifier, batch)
        if maps.isnan().any():
            raise ValueError("Input contains NaN")
        return maps


class RaisesOnConstantImages(Sound):
    def explain(self, classifier, batch):
        if (batch.images.amax(dim=(1, 2, 3)) == batch.images.amin(dim=(1, 2, 3))).any():
            raise ZeroDivisionError("no contrast")
        return super().explain(classifier, batch)


class TrustsEveryNetwork(Sound):
    """Takes the network apart without asking whether it can."""

    def explain(self, classifier, batch):
        inner = classifier.network.inner
        if not hasattr(inner, "head") or hasattr(inner, "blocks"):
            raise AttributeError("'ToyTransformer' object has no attribute 'stem'")
        return super().explain(classifier, batch)


class LeavesTrainMode(Sound):
    def explain(self, classifier, batch):
        maps = super().explain(classifier, batch)
        classifier.network.train()
        return maps


class LeavesHooksOnlyAfterErrors(Sound):
    def explain(self, classifier, batch):
        handle = next(classifier.network.children()).register_forward_hook(lambda *args: None)
        maps = super().explain(classifier, batch)
        handle.remove()
        return maps


class AsksForGradientsInPlace(Sound):
    def explain(self, classifier, batch):
        batch.images.requires_grad_()
        scores = classifier.logits(batch.images).gather(1, batch.targets[:, None])
        return torch.autograd.grad(scores.sum(), batch.images)[0].abs().sum(dim=1)


class ReturnsAWindow:
    """Brightness itself, which is the image's own memory."""

    card = card("window", needs=frozenset(), class_sensitive=False)

    def explain(self, classifier, batch):
        return batch.images[:, 0]


class FloorThatLooks(Sound):
    card = card("looks", reference="floor")


class Prints(Sound):
    def explain(self, classifier, batch):
        print(f"explaining {len(batch.ids)} images")
        return super().explain(classifier, batch)


class SeedsTheWorld(Sound):
    card = card("seeds", stochastic=True)

    def explain(self, classifier, batch):
        maps = super().explain(classifier, batch)
        for one, seed in zip(maps, batch.seeds, strict=True):
            torch.manual_seed(seed)
            one *= 1 + torch.rand(one.shape)
        return maps


class TurnsGradientsOff(Sound):
    def explain(self, classifier, batch):
        torch.set_grad_enabled(True)
        maps = super().explain(classifier, batch)
        torch.set_grad_enabled(False)
        return maps


class DependsOnTheProcess(Sound):
    def explain(self, classifier, batch):
        return super().explain(classifier, batch) + os.getpid()


SOUND = [Sound]
BAD = [
    (OddCard, "card"),
    (OddDefault, "parameters"),
    (UsesUndeclaredMasks, "needs"),
    (UsesUndeclaredPrior, "needs"),
    (UsesUndeclaredCamLayer, "needs"),
    (UsesUndeclaredGradients, "needs"),
    (ReturnsAList, "works"),
    (KeepsChannels, "shape"),
    (CarriesTheGraph, "numbers"),
    (DividesByZero, "finite"),
    (DrawsAnew, "same-again"),
    (IsFlat, "contrast"),
    (IsSigned, "sign"),
    (IsSecretlyStochastic, "other-seed"),
    (IsNotStochastic, "other-seed"),
    (ForgetsTheClass, "class-matters"),
    (ScalesByTheBatch, "neighbours"),
    (CountsPlaces, "order"),
    (Squeezes, "one-image"),
    (MeansOverTheBatch, "batch-size"),
    (WantsColour, "grey"),
    (WantsSquares, "not-square"),
    (OverflowsInHalf, "half-precision"),
    (DoesNotAddUp, "adds-up"),
    (HidesNaN, "nothing-sound"),
    (RaisesOnNaN, "nothing-sound"),
    (RaisesOnConstantImages, "constant-image"),
    (TrustsEveryNetwork, "refusals"),
    (LeavesTrainMode, "network-untouched"),
    (LeavesHooksOnlyAfterErrors, "error-untouched"),
    (AsksForGradientsInPlace, "batch-untouched"),
    (ReturnsAWindow, "own-memory"),
    (FloorThatLooks, "blind-reference"),
    (Prints, "quiet"),
    (SeedsTheWorld, "generators"),
    (TurnsGradientsOff, "settings"),
    (DependsOnTheProcess, "elsewhere"),
]
