"""Models whose evidence is known: what an explanation of them should say follows from how they are built.

They learn nothing and draw nothing at random. The gated ones are fed one image at a time, together with the mask of
the pixels that they may look at; every other pixel is replaced before anything is computed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from xaibench.contracts import ModelCard
from xaibench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xaibench.contracts import Task, Workshop

TONES = (0.0, 0.25, 0.5, 0.75)  # a feature map each: how far a pixel is above that brightness
DULL = (2.0, 1.5, 1.0, 0.5)  # evidence per brightness, from tone to tone, for the first class that is not normal
BRIGHT = (0.75, 1.5, 2.25, 3.0)  # the same for the last class; others lie between
NORMAL = (-1.0, -1.0, -1.0, -1.0)  # whatever is seen speaks against the first class
NORMAL_BIAS = 0.1
GAIN = 4.0  # of the saturated model


class GatedReadout(nn.Module):
    """Brightness inside the gate, weighed tone by tone, and averaged over the gate.

    The convolution is 1x1: each pixel is evidence of its own, and none leaks into its neighbours.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(channels, len(TONES), 1), nn.ReLU())
        self.head = nn.Linear(len(TONES), classes)
        self._gate: torch.Tensor | None = None  # no buffer: what a network may see is no part of its weights
        _fix(self.features[0], torch.full((len(TONES), channels, 1, 1), 1 / channels), -torch.tensor(TONES))
        _fix(self.head, torch.tensor([_weights(k, classes) for k in range(classes)]), _bias(classes))

    def set_gate(self, masks: torch.Tensor | None) -> None:
        """Pixels that may be seen from now on: [B, H, W], or [1, H, W] for many versions of one image."""
        self._gate = masks

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [B, C, H, W] in [0, 1] -> logits [B, K]."""
        gate = _fitting(self._gate, images)
        # A choice, not a product: outside even NaN cannot come through, and gradients are exactly 0.
        seen = torch.where(gate, images, torch.zeros_like(images))
        area = gate.sum(dim=(2, 3)).clamp(min=1)
        logits: torch.Tensor = self.head(self.features(seen).sum(dim=(2, 3)) / area)
        return logits


class SaturatedReadout(GatedReadout):
    """The same evidence through a tanh: where it is plain, its gradient is all but gone."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [B, C, H, W] in [0, 1] -> logits [B, K]."""
        return torch.tanh(GAIN * super().forward(images))


class LinearReadout(nn.Module):
    """One linear layer over the pixels: its weights are the attributions."""

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(math.prod(shape), classes)
        waves = torch.stack([_wave(k, shape) for k in range(classes)])
        _fix(self.linear, waves.flatten(1), torch.zeros(classes))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [B, C, H, W] in [0, 1] -> logits [B, K]."""
        logits: torch.Tensor = self.linear(self.flatten(images))
        return logits


def _fix(layer: nn.Module, weight: torch.Tensor, bias: torch.Tensor) -> None:
    layer.load_state_dict({"weight": weight, "bias": bias})


def _weights(k: int, classes: int) -> list[float]:
    """Weights of the tones for a class: slopes of its evidence become steps from tone to tone."""
    between = (k - 1) / max(classes - 2, 1)
    mixed = [(1 - between) * dull + between * bright for dull, bright in zip(DULL, BRIGHT, strict=True)]
    slopes = list(NORMAL) if k == 0 else mixed
    return [slope - before for slope, before in zip(slopes, [0.0, *slopes], strict=False)]


def _bias(classes: int) -> torch.Tensor:
    """With nothing to see, the first class wins."""
    bias = torch.zeros(classes)
    bias[0] = NORMAL_BIAS
    return bias


def _wave(k: int, shape: tuple[int, int, int]) -> torch.Tensor:
    """A standing wave of k + 1 half periods along both axes; its mean absolute value is near 1 / number of pixels."""
    C, H, W = shape
    rows, columns = (torch.cos(math.pi * (k + 1) * (torch.arange(n) + 0.5) / n) for n in (H, W))
    return (rows[:, None] * columns[None, :]).expand(C, H, W) * (2.5 / math.prod(shape))


def _fitting(gate: torch.Tensor | None, images: torch.Tensor) -> torch.Tensor:
    """The gate as [B or 1, 1, H, W]."""
    if gate is None:
        raise UsageError(
            "this network is gated by evidence and was not told what it may see: call it inside "
            "`with classifier.bind(masks):`, or call `set_gate(masks)` first"
        )
    if gate.shape[1:] != images.shape[2:] or len(gate) not in (1, len(images)):
        raise UsageError(
            f"the gate has the shape {tuple(gate.shape)}, the images {tuple(images.shape)}: "
            "it must be [B, H, W] as the images, or [1, H, W] for versions of one image"
        )
    return gate.to(images.device).bool().unsqueeze(1)


class _Oracle:
    """What the oracles have in common: nothing to prepare."""

    card: ClassVar[ModelCard]

    def prepare(self, network: nn.Module, task: Task, fold: int, workshop: Workshop) -> Mapping[str, Any]:
        """The network is ready as it is built."""
        return {}


class OracleLesion(_Oracle):
    """Sees the lesions and nothing else."""

    card = ModelCard(
        name="oracle-lesion",
        summary="a fixed readout that provably sees nothing outside the lesions",
        trained=False,
        needs=frozenset({"masks"}),
        sees="lesions",
    )

    def build(self, task: Task) -> nn.Module:
        """Fixed weights."""
        return GatedReadout(task.shape[0], len(task.classes))

    def cam_layer(self, task: Task) -> str | None:
        """Feature maps on the grid of the pixels, 0 outside the gate."""
        return "features"


class OracleMarker(OracleLesion):
    """Sees the film marker and nothing else: the shortcut learner, in its purest form."""

    card = ModelCard(
        name="oracle-marker",
        summary="a fixed readout that provably sees nothing but the film marker",
        trained=False,
        needs=frozenset({"masks"}),
        sees="marker",
    )


class OracleSaturated(OracleLesion):
    """Sees the lesions and nothing else, and is so sure of them that its gradients vanish."""

    card = ModelCard(
        name="oracle-saturated",
        summary="oracle-lesion through a tanh: the lesion is all that counts, and gradients hardly show it",
        trained=False,
        needs=frozenset({"masks"}),
        sees="lesions",
    )

    def build(self, task: Task) -> nn.Module:
        """Fixed weights."""
        return SaturatedReadout(task.shape[0], len(task.classes))


class OracleLinear(_Oracle):
    """Logits that are linear in the pixels: gradients, integrated gradients and the like have closed forms."""

    card = ModelCard(
        name="oracle-linear",
        summary="one linear layer with fixed weights: its attributions are known exactly",
        trained=False,
        provides=frozenset({"gradients"}),
    )

    def build(self, task: Task) -> nn.Module:
        """Fixed weights."""
        return LinearReadout(task.shape, len(task.classes))

    def cam_layer(self, task: Task) -> str | None:
        """No spatial layer."""
        return None
