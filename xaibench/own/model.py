"""The model plugin around a network that comes without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from xaibench.camlayer import find_cam_layer
from xaibench.checkpoints import load_checkpoint
from xaibench.contracts import ModelCard
from xaibench.errors import UsageError, XaibenchError
from xaibench.isolation import isolated_randomness
from xaibench.own.fitting import Fitted, Options, outputs_for, plain_answer
from xaibench.own.telling import fed, no_weights, outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from xaibench.contracts import Task, Workshop

WHITE_BOX = frozenset({"gradients", "cam_layer"})


class OwnModel:
    """A network with the weights it comes with. `make`: builds it for a task."""

    card: ModelCard

    def __init__(
        self,
        name: str,
        make: Callable[[Task], nn.Module],
        options: Options | None = None,
        provides: frozenset[str] = WHITE_BOX,
        builds_anew: bool = False,
    ) -> None:
        self.options = options or Options()
        self._make = make
        self._builds_anew = builds_anew  # its weights are from a file, or as they are drawn
        self.card = ModelCard(
            name=name, summary="a network of your own", trained=False, provides=provides, default=False
        )

    def build(self, task: Task) -> nn.Module:
        """The network with its weights, between the task's images and one logit per class."""
        inner = self._make(task).eval()
        if self.options.checkpoint:
            load_checkpoint(inner, self.options.checkpoint)
        channels = self.options.channels or _first_channels(inner)
        count = self._count_outputs(Fitted(inner, self.options, channels, ()), task)
        dealt = outputs_for(count, self.options, task.classes, self.card.name, task.card.name)
        return Fitted(inner, self.options, channels, dealt).eval()

    def prepare(self, network: nn.Module, task: Task, fold: int, workshop: Workshop) -> Mapping[str, Any]:
        """The network is ready as it is built."""
        return {}

    def cam_layer(self, task: Task) -> str | None:
        """The one asked for; else the last with a grid of at least 7x7."""
        if "cam_layer" not in self.card.provides or self.options.cam_layer is None:
            return None
        if self.options.cam_layer:
            return f"inner.{self.options.cam_layer}"
        with isolated_randomness(0):
            return find_cam_layer(self.build(task), task.shape)

    def notes(self, task: Task) -> Iterator[str]:
        """What was decided for the user, who may want it otherwise."""
        with isolated_randomness(0):
            network = self.build(task)
        assert isinstance(network, Fitted)  # noqa: S101  # it is made above
        if "gradients" not in self.card.provides:
            yield "a black box: only methods that need no more than its answers can be tried on it"
        elif "cam_layer" in self.card.provides and self.options.cam_layer == "":
            layer = self.cam_layer(task)
            found = layer.removeprefix("inner.") if layer else "none found, so no CAM"
            yield f"layer for CAM methods: {found}; cam_layer=NAME takes another"
        if self._builds_anew and not self.options.checkpoint:
            yield no_weights(self.card.name)
        yield fed(network, self.options, task)
        yield outputs(network, self.options, task)
        yield from _fitted_notes(network, self.options, task)

    def _count_outputs(self, network: Fitted, task: Task) -> int:
        """One grey image goes through; whatever the network raises is told with what it was given."""
        image = torch.full((1, *task.shape), 0.5)
        try:
            with torch.inference_mode():
                answer = network.eval().answer(image)
        except XaibenchError:
            raise
        except Exception as error:  # the network is a stranger's, and may raise anything
            raise UsageError(
                f"{self.card.name} fails on an image of task {task.card.name}, {list(image.shape)}: "
                f"{type(error).__name__}: {' '.join(str(error).split())}\n"
                "  channels=1 or 3, resize=PIXELS and mean=, std= say what it takes."
            ) from error
        if answer.ndim == 1 and len(answer) == 1:
            return 1
        if answer.ndim != 2 or len(answer) != 1:
            raise UsageError(
                f"{self.card.name} puts out {list(answer.shape)} for one image; [1, classes] is wanted, a classifier"
            )
        return answer.shape[1]


def _first_channels(network: nn.Module) -> int | None:
    """Channels of the images, by the first convolution; None if that does not tell."""
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    return first.in_channels if first is not None and first.in_channels in (1, 3) else None


def _fitted_notes(network: Fitted, options: Options, task: Task) -> Iterator[str]:
    if network.channels not in (None, task.shape[0]):
        how = "grey images are given as three equal channels" if network.channels == 3 else "colours are averaged"
        yield f"{how}, since it takes {network.channels}"
    if network.outputs and not options.outputs:
        yield f"its one output is the logit of {task.classes[1]}; that of {task.classes[0]} is 0"
    if _looks_like_probabilities(network, task):
        yield "its answers look like probabilities, not logits: answers=probabilities, if they are"


@torch.inference_mode()
def _looks_like_probabilities(network: Fitted, task: Task) -> bool:
    """Whether noise and grey get answers that add up to one."""
    if network.probable:
        return False
    noise = torch.rand((1, *task.shape), generator=torch.Generator().manual_seed(0))
    answers = [plain_answer(network.answer(image)) for image in (noise, torch.full_like(noise, 0.5))]
    return all(bool(one.min() >= 0) and one.numel() > 1 and abs(float(one.sum()) - 1) < 1e-4 for one in answers)


class FunctionNetwork(nn.Module):
    """A Python function of images as a network. Nothing is known of what goes on in it."""

    def __init__(self, function: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    @torch.no_grad()
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [B, C, H, W] -> answers [B, outputs], on the same device."""
        answer: torch.Tensor = plain_answer(self.function(images.detach())).to(images.device)
        return answer
