"""Which layer of a network CAM methods should weigh, when nobody says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SMALLEST_GRID = 7  # what the last stage of most networks has at 224 px; a coarser one shows next to nothing
BESIDE = (nn.AdaptiveAvgPool2d, nn.Dropout, nn.Softmax)  # grids that are no features, or no finer for their size
LEFT_EARLY = 0.25  # a grid that is given up in the first quarter of a network tells little of it


@dataclass
class Trace:
    """Which modules put out grids of channels, in the order of use."""

    aspect: float
    used: int = 0
    grids: dict[str, tuple[int, int]] = field(default_factory=dict)  # name -> when used last, side of the grid

    def hook(self, name: str) -> Callable[[nn.Module, object, object], None]:
        """What notes the output of one module."""

        def note(_module: nn.Module, _inputs: object, output: object) -> None:
            self.used += 1
            self.grids.pop(name, None)
            if isinstance(output, torch.Tensor) and output.ndim == 4 and output.shape[1] > 3 and self.is_like(output):
                self.grids[name] = (self.used, min(output.shape[2:]))

        return note

    def is_like(self, output: torch.Tensor) -> bool:
        """Whether it has the image's proportions; tokens by channels do not."""
        rows, columns = output.shape[2:]
        return abs(rows - self.aspect * columns) <= 1 + self.aspect


def find_cam_layer(network: nn.Module, shape: Sequence[int]) -> str | None:
    """The last stage that puts out a grid of at least 7x7; of coarser ones the finest. None if there is none.

    Deeper features tell classes apart better, but a heatmap is only as fine as its grid. A stage is an outer module:
    inside, branches go ways of their own. One grey image goes through the network in eval mode.
    """
    trace = Trace(shape[1] / shape[2])
    modules = [(name, module) for name, module in network.named_modules() if name and not isinstance(module, BESIDE)]
    hooks = [module.register_forward_hook(trace.hook(name)) for name, module in modules]
    training = network.training
    try:
        with torch.inference_mode():
            network.eval()(torch.full((1, *shape), 0.5))
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    late = {name: found for name, found in trace.grids.items() if found[0] > LEFT_EARLY * trace.used}
    wanted = max(2, min(SMALLEST_GRID, max((side for _, side in late.values()), default=0)))
    fine = {name: when for name, (when, side) in late.items() if side >= wanted}
    return min(fine, key=lambda name: (name.count("."), -fine[name]), default=None)
