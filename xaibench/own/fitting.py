"""A network of someone else's between the task's images in [0, 1] and one logit per class."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from xaibench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

Answers = Literal["logits", "probabilities"]

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
ABSENT = "-"  # in `outputs`: a class that no output stands for
EDGE = 1e-6  # probabilities nearer to 0 or 1 than this count as this


@dataclass(frozen=True)
class Options:
    """What can be said of a network that does not say it itself; every field is an option by that name.

    `mean`, `std`: of each channel ("0.5", "0.48 0.46 0.41" or "imagenet"): `(x - mean) / std` is what the network sees.
    `channels`: how many it takes, 1 or 3; grey is repeated, colour is averaged. `resize`: the side it takes.
    `outputs`: which output stands for each class, in order, counted from 0; `-` for a class that has none.
    `answers`: whether it puts out logits, or probabilities (then their log odds count).
    `cam_layer`: what CAM methods weigh; none says that there is no such layer. `checkpoint`: a file with its weights.
    """

    checkpoint: str = ""
    cam_layer: str | None = ""
    mean: str | float = ""
    std: str | float = ""
    channels: int | None = None
    resize: int | None = None
    outputs: str | int = ""
    answers: Answers = "logits"

    def __post_init__(self) -> None:
        if self.channels not in (None, 1, 3):
            raise UsageError(f"channels={self.channels}: give 1 for a network of grey images, 3 for one of colour")
        if self.resize is not None and self.resize < 1:
            raise UsageError(f"resize={self.resize}: give the side in pixels")
        _numbers("mean", self.mean, 0.0)
        if min(_numbers("std", self.std, 1.0)) <= 0:
            raise UsageError(f"std={self.std}: must be above 0")
        self.picked()

    def picked(self) -> tuple[int | None, ...]:
        """The output of every class, None for a class without; empty if nothing is said."""
        parts = re.split(r"[,\s]+", str(self.outputs).strip()) if str(self.outputs).strip() else []
        if any(part != ABSENT and not part.isdecimal() for part in parts):
            raise UsageError(
                f"outputs={self.outputs!r}: give the output of every class in order, counted from 0, as in "
                f'outputs="2,0,5"; {ABSENT} for a class without one, as in outputs="-,3"'
            )
        return tuple(None if part == ABSENT else int(part) for part in parts)


def _numbers(name: str, given: str | float, default: float) -> tuple[float, ...]:
    text = str(given).strip()
    if not text:
        return (default,)
    if text == "imagenet":
        return IMAGENET[name]
    try:
        numbers = tuple(float(part) for part in re.split(r"[,\s]+", text))
    except ValueError:
        numbers = ()
    if len(numbers) not in (1, 3):
        raise UsageError(f'{name}={given!r}: give one number, three as in {name}="0.5 0.5 0.5", or imagenet')
    return numbers


class Fitted(nn.Module):
    """Preprocessing, the network, and the choice of its outputs. Differentiable wherever the network is."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, inner: nn.Module, options: Options, channels: int | None, outputs: Sequence[int | None]) -> None:
        super().__init__()
        self.inner = inner
        self.channels, self.resize, self.outputs = channels, options.resize, tuple(outputs)
        self.probable = options.answers == "probabilities"
        # Part of the options and not of the weights: not persistent.
        for name, default in (("mean", 0.0), ("std", 1.0)):
            numbers = _numbers(name, getattr(options, name), default)
            self.register_buffer(name, torch.tensor(numbers).view(-1, 1, 1), persistent=False)
        for module in self.modules():
            if getattr(module, "inplace", False) is True:
                module.inplace = False  # type: ignore[assignment]  # what a layer put out must not change afterwards

    def answer(self, images: torch.Tensor) -> torch.Tensor:
        """What the network itself puts out."""
        x = images
        if self.channels == 1 and x.shape[1] == 3:
            x = x.mean(dim=1, keepdim=True)
        elif self.channels == 3 and x.shape[1] == 1:
            x = x.expand(-1, 3, -1, -1)
        if self.resize is not None and x.shape[2:] != (self.resize, self.resize):
            x = F.interpolate(x, (self.resize, self.resize), mode="bilinear", align_corners=False)
        return plain_answer(self.inner((x - self.mean) / self.std))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [B, C, H, W] in [0, 1] -> logits [B, K]."""
        answer = self.answer(images)
        if answer.ndim == 1:  # one number per image
            answer = answer.unsqueeze(1)
        if not self.outputs:
            return answer.clamp_min(EDGE).log() if self.probable else answer
        if self.probable:
            answer = torch.logit(answer, eps=EDGE)
        none = torch.zeros_like(answer[:, 0])
        return torch.stack([none if at is None else answer[:, at] for at in self.outputs], dim=1)


def plain_answer(answer: object) -> torch.Tensor:
    """The tensor in an answer: itself, the first of several, or what is called `logits`."""
    found = getattr(answer, "logits", answer)
    if isinstance(found, dict):
        found = found.get("logits", next(iter(found.values()), None))
    if isinstance(found, (tuple, list)) and found:
        found = found[0]
    if isinstance(found, np.ndarray):
        found = torch.from_numpy(found)
    if not isinstance(found, torch.Tensor):
        raise UsageError(f"the network puts out a {type(answer).__name__}; a tensor [images, outputs] is wanted")
    return found


def outputs_for(count: int, options: Options, classes: Sequence[str], who: str, task: str) -> tuple[int | None, ...]:
    """Which output stands for which class; empty if they stand for each other one by one."""
    picked = options.picked()
    if picked:
        if len(picked) != len(classes) or any(at is not None and at >= count for at in picked):
            raise UsageError(
                f"outputs={options.outputs!r}: {who} has {count} outputs (0 to {count - 1}), and task {task} has "
                f"{len(classes)} classes ({', '.join(classes)}): name one output for each class, in this order"
            )
        return picked
    if count == len(classes):
        return ()
    if count == 1 and len(classes) == 2:
        return (None, 0)
    raise UsageError(
        f"{who} has {count} output{'s' * (count != 1)}, but task {task} has {len(classes)} classes "
        f"({', '.join(classes)}). Build it with as many (num_classes={len(classes)}, if it takes that), or say which "
        f'output stands for each class, in this order, as in outputs="{_example(len(classes))}" (counted from 0; - for '
        "a class that none stands for)"
    )


def _example(count: int) -> str:
    return ",".join([ABSENT, *map(str, range(count - 1))])
