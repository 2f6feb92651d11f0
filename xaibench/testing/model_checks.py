"""What a model promises of its network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from xaibench.errors import UsageError
from xaibench.testing.checks import promise
from xaibench.testing.modelling import COUNT
from xaibench.testing.planted import PlantedTask
from xaibench.testing.verdicts import Broken, NotAsked
from xaibench.workbench import stack

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from xaibench.testing.modelling import ModelTrial

model = "models"
SOUND = ("card", "works", "logits", "steady")
# As a task of one's own may be: colour, not square, two classes; then small and grey with many.
OTHER_TASKS = (
    PlantedTask(3, 64, 96, ("without", "with")),
    PlantedTask(1, 96, 96, ("a", "b", "c", "d", "e")),
)


@promise(model, after=("card",))
def works(trial: ModelTrial) -> None:
    """`build(task)` gives a torch.nn.Module that takes the images of the task."""
    if not trial.first.is_module:
        raise Broken(f"build(task) returned a {type(trial.first.network).__name__}; a torch.nn.Module is asked")


@promise(model, after=("card", "works"))
def logits(trial: ModelTrial) -> None:
    """The network gives finite logits, one per image and class."""
    _must_fit(trial.first.logits, COUNT, trial.task)


def _must_fit(found: torch.Tensor, count: int, task: PlantedTask) -> None:
    if not isinstance(found, torch.Tensor) or tuple(found.shape) != (count, len(task.classes)):
        shape = tuple(getattr(found, "shape", ())) or type(found).__name__
        raise Broken(f"for {count} images and {len(task.classes)} classes the network returned {shape}")
    if not found.isfinite().all():
        raise Broken("some logits are NaN or infinite")


@promise(model, after=("card", "works", "logits"))
def steady(trial: ModelTrial) -> None:
    """In eval mode the same image has the same logits: dropout and noise are off."""
    if not np.array_equal(trial.say(trial.network), trial.say(trial.network)):
        raise Broken("two passes of the same images differ: give functional dropout `training=self.training`")


@promise(model, after=SOUND)
def same_again(trial: ModelTrial) -> None:
    """Built twice after the same seed, the network has the same weights."""
    first, second = trial.build().state_dict(), trial.build().state_dict()
    differ = [name for name, tensor in first.items() if not torch.equal(tensor, second[name])]
    if differ:
        raise Broken(f"built twice, {differ[0]} differs: draw weights from torch's generator, which the harness seeds")


@promise(model, after=(*SOUND, "same-again"))
def state_dict(trial: ModelTrial) -> None:
    """All that the network has learned is in its state_dict: loaded into another one, it says the same."""
    other = trial.build(seed=1)
    other.load_state_dict(trial.network.state_dict())
    if not np.allclose(trial.say(other), trial.say(trial.network), rtol=1e-5, atol=1e-5):
        raise Broken("loaded into a network built anew, the weights give other logits: register buffers for the rest")


@promise(model, after=SOUND)
def neighbours(trial: ModelTrial) -> None:
    """Logits of an image do not depend on the other images in the batch."""
    if trial.gated:
        raise NotAsked("it is fed one image at a time")
    images = torch.from_numpy(stack(trial.samples()))
    with torch.no_grad():
        alone = torch.cat([trial.network(image[None]) for image in images])
        together = trial.network(images)
    if not torch.allclose(alone, together, rtol=1e-3, atol=1e-4 * float(together.abs().max())):
        raise Broken("an image alone has other logits than in a batch: does a layer normalise over the batch in eval?")


@promise(model, after=SOUND)
def other_tasks(trial: ModelTrial) -> None:
    """It fits tasks of other channels, sizes and numbers of classes, or refuses them by a UsageError."""
    refusals = []
    for task in OTHER_TASKS:
        samples = trial.samples(task)
        try:
            network = trial.build(task)
            with torch.no_grad():
                found = trial.logits(network, torch.from_numpy(stack(samples)), samples)
        except UsageError as error:
            refusals.append(str(error))
            continue
        _must_fit(found, len(samples), task)
    if len(refusals) == len(OTHER_TASKS):
        raise NotAsked(f"it refuses them: {refusals[0]}")


@promise(model, after=SOUND)
def cam_layer(trial: ModelTrial) -> None:
    """`cam_layer(task)` names a module with feature maps or tokens, and is None if the card does not provide one."""
    name, promised = trial.made.plugin.cam_layer(trial.task), "cam_layer" in trial.card["provides"]
    if name is None:
        if promised:
            raise Broken("the card provides a cam_layer, but cam_layer(task) is None")
        raise NotAsked("it has none")
    if not promised:
        raise Broken(f"cam_layer(task) is {name!r}, but the card does not provide one: CAM methods would never run")
    modules = dict(trial.network.named_modules())
    if name not in modules:
        raise Broken(f"cam_layer(task) is {name!r}, which is no module; outermost are {', '.join(_outer(trial))}")
    _must_be_features(name, _put_out(trial, modules[name]))


def _outer(trial: ModelTrial) -> list[str]:
    return [name for name, _ in trial.network.named_children()]


def _put_out(trial: ModelTrial, module: nn.Module) -> list[object]:
    kept: list[object] = []
    handle = module.register_forward_hook(_keeping(kept))
    try:
        trial.say(trial.network)
    finally:
        handle.remove()
    return kept


def _keeping(kept: list[object]) -> Callable[[nn.Module, object, object], None]:
    return lambda _module, _given, output: kept.append(output)


def _must_be_features(name: str, outputs: list[object]) -> None:
    if not outputs:
        raise Broken(f"the network never calls {name!r}, so there is nothing to weigh")
    output = outputs[-1]
    if not isinstance(output, torch.Tensor) or output.ndim not in (3, 4):
        shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise Broken(f"{name!r} puts out {shape}; feature maps [B, C, h, w] or tokens [B, N, C] are asked")


@promise(model, after=SOUND)
def gradient(trial: ModelTrial) -> None:
    """If the card provides gradients, that of a logit reaches the pixels."""
    if "gradients" not in trial.card["provides"]:
        raise NotAsked("the card provides no gradients")
    samples = trial.samples()
    images = torch.from_numpy(stack(samples)).requires_grad_()
    found = trial.logits(trial.network, images, samples)
    if not found.requires_grad:
        raise Broken("no gradient leaves the network: is there a detach() or no_grad() inside?")
    (gradients,) = torch.autograd.grad(found[:, 0].sum(), images, allow_unused=True)
    if gradients is None or not gradients.isfinite().all() or not gradients.any():
        state = "none" if gradients is None else "NaN" if not gradients.isfinite().all() else "0 everywhere"
        raise Broken(f"the gradient of the first logit with respect to the pixels is {state}")


@promise(model, after=SOUND)
def untouched_images(trial: ModelTrial) -> None:
    """Images are not written into: preprocessing makes new ones."""
    if not torch.equal(trial.first.images, trial.first.copy):
        raise Broken("a forward pass wrote into the images: normalise without in-place operations")


@promise(model, after=SOUND)
def untouched_network(trial: ModelTrial) -> None:
    """A forward pass in eval mode changes nothing in the network."""
    if trial.first.changes:
        raise Broken(f"a forward pass in eval mode changed the network: {trial.first.changes}")


@promise(model, after=SOUND)
def sees(trial: ModelTrial) -> None:
    """If the card says what it sees, no pixel outside can change the logits, and some pixel inside can."""
    if not trial.card["sees"]:
        raise NotAsked("the card claims no such thing")
    for sample, gate in zip(trial.samples(), trial.gates(trial.samples()), strict=True):
        image, outside = torch.from_numpy(sample.image), torch.from_numpy(~gate)
        noise = torch.rand(image.shape, generator=torch.Generator().manual_seed(3))
        with torch.no_grad():
            plain, other_outside, other_inside = (
                trial.alone(trial.network, one, gate) if trial.gated else trial.network(one[None])
                for one in (image, torch.where(outside, noise, image), torch.where(outside, image, noise))
            )
        if not torch.equal(plain, other_outside):
            raise Broken(f"the card says that it sees {trial.card['sees']!r} alone, but pixels outside change logits")
        if torch.equal(plain, other_inside):
            raise Broken(f"pixels of {trial.card['sees']!r} do not change the logits at all")
