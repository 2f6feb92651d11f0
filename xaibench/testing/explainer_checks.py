"""What an explainer promises of its maps."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from xaibench.errors import UsageError
from xaibench.normalise import invalid
from xaibench.testing.checks import promise
from xaibench.testing.explaining import COUNT, SHAPE, ExplainerTrial, as_array, named, rows_that_differ, spoil
from xaibench.testing.networks import Linear, ToyCNN, classifier_of
from xaibench.testing.planted import part_of
from xaibench.testing.verdicts import Broken, NotAsked

if TYPE_CHECKING:
    from xaibench.contracts import Batch, Floats

explainer = "explainers"
SOUND = ("card", "needs", "works", "shape", "finite")
REPEATABLE = (*SOUND, "same-again")
CAMERAS = {"cam_layer": "classifier.cam_layer", "masks": "batch.masks", "prior": "batch.prior"}


@promise(explainer, after=("card",))
def needs(trial: ExplainerTrial) -> None:
    """Gradients, CAM layer, masks and prior are used only if the card asks for them."""
    batch, classifier = trial.batch(), trial.classifier(everything=True)
    try:
        maps = as_array(trial.call(batch, classifier, everything=True))
        again = as_array(trial.call(batch, classifier, everything=True))
    except Exception as error:
        raise NotAsked(f"it fails whatever it is given: {type(error).__name__}") from error
    if classifier.counters.backward and "gradients" not in trial.needs:
        raise Broken(_undeclared("gradients of the network", "gradients"))
    if not np.array_equal(maps, again, equal_nan=True):
        raise NotAsked("its maps differ from call to call, so that nothing can be told")
    for need in [need for need in CAMERAS if need not in trial.needs]:
        if not _same_without(trial, need, batch, maps):
            raise Broken(_undeclared(CAMERAS[need], need))


def _undeclared(what: str, need: str) -> str:
    return f"it uses {what}, but its card does not say so: write needs=frozenset({{{need!r}, ...}})"


def _same_without(trial: ExplainerTrial, need: str, batch: Batch, maps: Floats) -> bool:
    classifier = trial.classifier(everything=True)
    if need == "cam_layer":
        classifier.cam_layer = None
    else:
        batch = replace(batch, **{need: None})  # type: ignore[arg-type]  # only names of optional fields
    try:
        found = as_array(trial.call(batch, classifier, everything=True))
    except Exception:  # it ran before: what is missing now is what it needs
        return False
    return np.array_equal(found, maps, equal_nan=True)


@promise(explainer, after=("card", "needs"))
def works(trial: ExplainerTrial) -> None:
    """`explain(classifier, batch)` gives a torch tensor or a numpy array."""
    answer = trial.first.answer
    if not isinstance(answer, torch.Tensor | np.ndarray):
        raise Broken(f"it returned a {type(answer).__name__}; a torch.Tensor or numpy array [B, H, W] is asked")


@promise(explainer, after=("works",))
def shape(trial: ExplainerTrial) -> None:
    """There is one map per image, of the image's rows and columns and without channels."""
    _must_fit(tuple(trial.first.answer.shape), trial.first.batch)


def _must_fit(found: tuple[int, ...], batch: Batch) -> None:
    wanted = (len(batch.images), *batch.images.shape[2:])
    if found != wanted:
        raise Broken(
            f"for images of shape {tuple(batch.images.shape)} it returned maps of shape {found}; "
            f"{wanted} is [images, rows, columns]"
        )


@promise(explainer, after=("works", "shape"))
def numbers(trial: ExplainerTrial) -> None:
    """Maps are of floating-point numbers, without a graph, and on the CPU or the device of the images."""
    answer = trial.first.answer
    floating = answer.is_floating_point() if isinstance(answer, torch.Tensor) else answer.dtype.kind == "f"
    if not floating:
        raise Broken(f"maps are of type {answer.dtype}; float32 is asked")
    if getattr(answer, "requires_grad", False):
        raise Broken("the maps still carry the graph they were made with, and all its memory: return maps.detach()")
    device = getattr(answer, "device", None)
    if isinstance(device, torch.device) and device.type not in ("cpu", trial.first.batch.images.device.type):
        raise Broken(f"maps are on {device}, images on {trial.first.batch.images.device}")


@promise(explainer, after=("works", "shape"))
def finite(trial: ExplainerTrial) -> None:
    """No value of a map of a sound image and network is NaN or infinite."""
    maps = trial.first.maps
    if not np.isfinite(maps).all():
        raise Broken(f"{np.count_nonzero(~np.isfinite(maps))} of {maps.size} values are NaN or infinite")


@promise(explainer, after=SOUND)
def same_again(trial: ExplainerTrial) -> None:
    """Asked twice with the same seeds, it gives the same maps bit for bit."""
    if not np.array_equal(trial.maps(), trial.maps()):
        raise Broken("two calls with the same batch gave other maps: draw from batch.seeds alone, one per image")


@promise(explainer, after=REPEATABLE)
def contrast(trial: ExplainerTrial) -> None:
    """A map of a sound image shows something: floors and ceilings apart, it is not flat once negatives are clipped."""
    if trial.card["reference"]:
        raise NotAsked("floors and ceilings may be flat")
    flaws = invalid(trial.first.maps, "absolute" if trial.card["sign"] == "signed" else "positive")
    for row, flaw in enumerate(flaws):
        if flaw:
            raise Broken(f"the map of image {row} is {flaw}; it would count as failed")


@promise(explainer, after=REPEATABLE)
def sign(trial: ExplainerTrial) -> None:
    """If the card says that maps are positive, no value is below 0: it would be clipped away unseen."""
    if trial.card["sign"] == "signed":
        raise NotAsked("the card says signed")
    if (lowest := float(trial.first.maps.min())) < 0:
        raise Broken(f"the card says sign='positive', but there are values down to {lowest:g}: say 'signed', or clip")


@promise(explainer, after=REPEATABLE)
def other_seed(trial: ExplainerTrial) -> None:
    """Other seeds give other maps if and only if the card says stochastic."""
    batch = trial.batch()
    other = replace(batch, seeds=tuple(seed ^ 0x5DEECE66D for seed in batch.seeds))
    same = np.array_equal(trial.maps(batch), trial.maps(other))
    if same and trial.card["stochastic"]:
        raise Broken("the card says stochastic=True, but other seeds give the same maps")
    if not same and not trial.card["stochastic"]:
        raise Broken("other seeds give other maps, but the card does not say stochastic=True")


@promise(explainer, after=(*REPEATABLE, "contrast"))
def class_matters(trial: ExplainerTrial) -> None:
    """Another class gives another map if and only if the card says class_sensitive."""
    batch = trial.batch()
    same = np.array_equal(trial.maps(batch), trial.maps(replace(batch, targets=(batch.targets + 1) % 3)))
    if same and trial.card["class_sensitive"]:
        raise Broken("every class gets the same map: explain batch.targets, or say class_sensitive=False on the card")
    if not same and not trial.card["class_sensitive"]:
        raise Broken("classes get different maps, but the card says class_sensitive=False")


@promise(explainer, after=REPEATABLE)
def neighbours(trial: ExplainerTrial) -> None:
    """A map does not depend on the other images in the batch, nor on their seeds."""
    batch, other = trial.batch(), part_of(trial.batch(count=COUNT + 1), [COUNT, 1, 2])
    differ = rows_that_differ(trial.maps(other)[1:], trial.maps(batch)[1:])
    if differ:
        rows = named([row + 1 for row in differ])
        raise Broken(f"with another first image, the maps of {rows} changed: scale, draw and choose image by image")


@promise(explainer, after=(*REPEATABLE, "neighbours"))
def order(trial: ExplainerTrial) -> None:
    """A map does not depend on the place of its image in the batch."""
    batch, places = trial.batch(), [2, 0, 1]
    differ = rows_that_differ(trial.maps(part_of(batch, places)), trial.maps(batch)[places])
    if differ:
        raise Broken(f"in another order of the batch there are other maps ({len(differ)} of {COUNT} changed)")


@promise(explainer, after=REPEATABLE)
def one_image(trial: ExplainerTrial) -> None:
    """A batch of one image is explained."""
    _must_be_sound(trial, trial.batch(count=1))


@promise(explainer, after=(*REPEATABLE, "neighbours", "one-image"))
def batch_size(trial: ExplainerTrial) -> None:
    """A map does not depend on how many images are explained at once."""
    batch = trial.batch()
    alone = np.concatenate([trial.maps(part_of(batch, [row])) for row in range(COUNT)])
    if differ := rows_that_differ(alone[:1], trial.maps(batch)[:1]):
        raise Broken(f"alone, {named(differ)} has another map than in a batch of {COUNT}")


@promise(explainer, after=REPEATABLE)
def grey(trial: ExplainerTrial) -> None:
    """Images of one channel are explained."""
    _must_be_sound(trial, trial.batch((1, *SHAPE[1:])))


@promise(explainer, after=REPEATABLE)
def not_square(trial: ExplainerTrial) -> None:
    """Images that are not square are explained."""
    _must_be_sound(trial, trial.batch((SHAPE[0], 24, 48)))


def _must_be_sound(trial: ExplainerTrial, batch: Batch) -> None:
    maps = trial.maps(batch)
    _must_fit(maps.shape, batch)
    if not np.isfinite(maps).all():
        raise Broken(f"for images of shape {tuple(batch.images.shape)} it returned NaN or infinite values")


@promise(explainer, after=REPEATABLE)
def half_precision(trial: ExplainerTrial) -> None:
    """A network that runs in bfloat16 is explained, and its maps are finite."""
    maps = trial.maps(classifier=trial.classifier(precision="bf16"))
    if not np.isfinite(maps).all():
        raise Broken("with --precision bf16 there are NaN or infinite values")


@promise(explainer, after=(*REPEATABLE, "sign"))
def adds_up(trial: ExplainerTrial) -> None:
    """If the card says additive, a raw map adds up to what the logit gains over a black image."""
    if not trial.card["additive"]:
        raise NotAsked("the card does not say additive")
    batch = trial.batch((1, *SHAPE[1:]))
    weights = torch.randn(3, *batch.images.shape[1:], generator=torch.Generator().manual_seed(7)) / 10
    for network, slack in ((Linear(weights), 0.01), (ToyCNN(1), 0.1)):
        classifier = classifier_of(network)
        images = torch.cat([batch.images, torch.zeros_like(batch.images)])
        logits = classifier.logits(images).gather(1, batch.targets.repeat(2)[:, None])[:, 0].numpy()
        gains = logits[:COUNT] - logits[COUNT:]
        sums = trial.maps(batch, classifier).sum(axis=(1, 2), dtype=np.float64)
        if np.abs(sums - gains).max() > slack * np.abs(gains).max():
            raise Broken(
                f"the card says additive=True, but on xaibench.testing.{type(network).__name__} the maps add up to "
                f"{_numbers(sums)}, where the logits gain {_numbers(gains)}"
            )


def _numbers(values: Any) -> str:
    return ", ".join(f"{value:.3g}" for value in values)


@promise(explainer, after=REPEATABLE)
def nothing_sound(trial: ExplainerTrial) -> None:
    """A network whose weights are NaN gets maps that count as failed: no exception, and no map that looks sound."""
    classifier = trial.classifier()
    spoil(classifier.network)
    batch = trial.batch()
    maps = as_array(trial.call(batch, classifier))
    if not classifier.counters.forward:
        raise NotAsked("it does not look at the network")
    flaws = invalid(maps, "absolute", (COUNT, *SHAPE[1:]))
    if rows := [row for row, flaw in enumerate(flaws) if not flaw]:
        raise Broken(f"of a network that says NaN the map of {named(rows)} looks sound: leave NaN where it arises")


@promise(explainer, after=REPEATABLE)
def constant_image(trial: ExplainerTrial) -> None:
    """An image without any contrast gets a map of the right shape, flat or not, and no exception."""
    batch = trial.batch()
    same = replace(batch, images=torch.full_like(batch.images, 0.5))
    _must_fit(trial.maps(same).shape, same)


@promise(explainer, after=REPEATABLE)
def refusals(trial: ExplainerTrial) -> None:
    """A network that it cannot explain is refused by xaibench.errors.Unsupported or UsageError, and by nothing else."""
    for kind in trial.networks:
        if kind is ToyCNN and "attention" in trial.needs:
            continue
        with contextlib.suppress(UsageError):
            trial.call(trial.batch(), trial.classifier(kind=kind, everything=True), everything=True)
