"""A small network of three convolutions: what a well-known comparison of explanations on mammograms explained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from xaibench.contracts import ModelCard
from xaibench.errors import UsageError
from xaibench_models.trained import TrainedModel

if TYPE_CHECKING:
    from xaibench.contracts import Task

SMALLEST = 28  # pixels, below which nothing is left after four poolings


class ElHouby(nn.Module):
    """Table A1 of the paper: three convolutions, four poolings, four linear layers.

    The table names no activation for the linear layers; `activated` puts ReLUs between them.
    """

    def __init__(self, side: tuple[int, int], classes: int, activated: bool) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 14, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.MaxPool2d(2)),
        )
        flat = self.features(torch.zeros(1, 3, *side)).numel()
        between = nn.ReLU if activated else nn.Identity
        self.classifier = nn.Sequential(
            *(nn.Linear(flat, 512), between(), nn.Linear(512, 256), between(), nn.Linear(256, 128), between()),
            *(nn.Dropout(0.5), nn.Linear(128, classes)),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [B, 1 or 3, H, W] in [0, 1] -> logits [B, K]."""
        logits: torch.Tensor = self.classifier(self.features(images.expand(-1, 3, -1, -1)).flatten(1))
        return logits


class CnnElHouby(TrainedModel):
    """1,386,177 parameters at 224 px and three classes, as in the paper; pixels enter as they are, in [0, 1]."""

    card = ModelCard(
        name="cnn-elhouby",
        summary="three convolutions, four poolings, four linear layers; with He's initialisation; "
        "takes pixels in [0, 1] as they are",
        paper="Balve, Hendrix: Interpretable breast cancer classification using CNNs on mammographic images, "
        "after El Houby, Yassin: Malignant and nonmalignant classification of breast lesions in mammograms using "
        "convolutional neural networks, 2021",
    )

    head = ("classifier.",)

    def __init__(
        self,
        *,
        activated: bool = True,
        weights: str = "none",
        checkpoint: str = "",
        recipe: str = "quick",
        epochs: int | None = None,
    ) -> None:
        super().__init__(weights=weights, checkpoint=checkpoint, recipe=recipe, epochs=epochs)
        self.activated = activated

    def network(self, task: Task) -> nn.Module:
        """Random weights, one logit per class."""
        _, rows, columns = task.shape
        if min(rows, columns) < SMALLEST:
            raise UsageError(f"cnn-elhouby pools four times: images of {rows} x {columns} px need {SMALLEST} at least")
        return ElHouby((rows, columns), len(task.classes), self.activated)

    def cam_layer(self, task: Task) -> str | None:
        """The last convolution, after its ReLU."""
        return "features.7"
