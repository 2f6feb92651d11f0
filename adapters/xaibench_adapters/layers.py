"""What layers of a network put out, as feature maps, with the gradient of each image's own logit there."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from xaibench.errors import Unsupported, UsageError
from xaibench_adapters.gradients import poisoned, target_logits
from xaibench_adapters.tokens import as_maps

if TYPE_CHECKING:
    from torch import nn

    from xaibench.contracts import Batch, Classifier


@dataclass(frozen=True, eq=False)
class Seen:
    """One layer's output for a batch."""

    activations: torch.Tensor  # [B, C, h, w]
    gradients: torch.Tensor | None  # the same shape; None where nobody asked


def chosen_layers(classifier: Classifier, names: str) -> dict[str, nn.Module]:
    """The layers of a parameter such as "layer3" or "layer3+layer4"; "" is the one that the model names for CAMs."""
    if not names:
        if classifier.cam_layer is None:
            raise Unsupported(
                "This network has no spatial layer named for CAM methods. Name one, as in gradcam(layer=features.3), "
                "or choose another explainer."
            )
        return {"the CAM layer": classifier.cam_layer}
    known = {name.removeprefix("inner."): module for name, module in classifier.network.named_modules() if name}
    return {name: _named(known, name) for name in map(str.strip, names.split("+"))}


def _named(known: dict[str, nn.Module], name: str) -> nn.Module:
    if name in known and name != "inner":
        return known[name]
    outermost = [other for other in known if "." not in other and other != "inner"]
    inside = [other for other in known if "." in other]
    raise UsageError(
        f"there is no layer {name!r}; the outermost are {', '.join(outermost)}; "
        f"{len(inside)} lie inside them, as {', '.join(inside[:3])}. Several are joined by +, as in layer3+layer4"
    )


def look(classifier: Classifier, layers: dict[str, nn.Module], batch: Batch, gradients: bool = True) -> list[Seen]:
    """One pass, and one back to the earliest of the layers."""
    outputs: dict[str, torch.Tensor] = {}
    with ExitStack() as hooks, torch.set_grad_enabled(gradients):
        for name, layer in layers.items():
            hooks.callback(layer.register_forward_hook(_Recorder(outputs, name)).remove)
        chosen = target_logits(classifier, batch.images, batch.targets)
        total = chosen.sum()
    found = [_checked(name, outputs.get(name)) for name in layers]
    slopes = torch.autograd.grad(total, found, materialize_grads=True) if gradients else [None] * len(found)
    size = tuple(batch.images.shape[2:])
    return [
        Seen(
            poisoned(as_maps(name, output.detach().float(), size), chosen),
            None if slope is None else as_maps(name, slope.float(), size),
        )
        for name, output, slope in zip(layers, found, slopes, strict=True)
    ]


class _Recorder:
    """A forward hook that keeps the output of its layer and, where no graph leads to it yet, begins one there.

    What lies before the first of the layers then needs neither memory nor a backward pass.
    """

    def __init__(self, outputs: dict[str, torch.Tensor], name: str) -> None:
        self.outputs, self.name = outputs, name

    def __call__(self, _module: nn.Module, _inputs: object, output: object) -> object:
        if not isinstance(output, torch.Tensor):
            raise Unsupported(f"{self.name} puts out {type(output).__name__}, and CAMs need one tensor: name another.")
        started = output.requires_grad or not torch.is_grad_enabled()
        self.outputs[self.name] = output if started else output.detach().requires_grad_()
        return self.outputs[self.name].clone()  # the network may go on in place


def _checked(name: str, output: torch.Tensor | None) -> torch.Tensor:
    if output is None:
        raise Unsupported(f"{name} was not used when the network ran: name another.")
    if output.ndim not in (3, 4):
        raise Unsupported(
            f"{name} put out {tuple(output.shape)}; CAMs need [images, channels, rows, columns] "
            "or, of a transformer, [images, tokens, channels]. Name another."
        )
    return output
