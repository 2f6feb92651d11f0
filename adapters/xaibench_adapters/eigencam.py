"""What a layer mostly shows, whatever the class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from xaibench.contracts import ExplainerCard
from xaibench_adapters.gradcam import CamExplainer

if TYPE_CHECKING:
    from xaibench_adapters.layers import Seen


class EigenCAM(CamExplainer):
    """The first principal component of a layer's activations over the places of one image.

    A component has no sign of its own: it is turned so that it is high where the activations are high in the mean.
    """

    card = ExplainerCard(
        name="eigencam",
        summary="First principal component of one layer's activations; the same for every class",
        paper="Eigen-CAM: Class Activation Map using Principal Components (Muhammad and Yeasin, 2020)",
        family="cam",
        needs=frozenset({"cam_layer"}),
        class_sensitive=False,
    )

    def combine(self, seen: Seen) -> torch.Tensor:
        """The map [B, h, w] of one layer, before it is cut at 0."""
        B, _, rows, columns = seen.activations.shape
        places = seen.activations.flatten(2).transpose(1, 2)
        centred = places - places.mean(dim=1, keepdim=True)
        sound = centred.isfinite().all(dim=(1, 2))[:, None]
        finite = torch.nan_to_num(centred, nan=0.0, posinf=0.0, neginf=0.0)
        _, _, directions = torch.linalg.svd(finite, full_matrices=False)
        projected = (finite @ directions[:, :1].transpose(1, 2)).squeeze(2)
        projected = _turned(projected, finite.mean(dim=2))
        return torch.where(sound, projected, torch.nan).reshape(B, rows, columns)


def _turned(projected: torch.Tensor, brightness: torch.Tensor) -> torch.Tensor:
    """Projections [B, P] with the sign that agrees with the mean activation; if neither does, the largest is up."""
    agreement = (projected * brightness).sum(dim=1, keepdim=True)
    largest = projected.gather(1, projected.abs().argmax(dim=1, keepdim=True))
    return torch.where(torch.where(agreement == 0, largest, agreement) < 0, -projected, projected)
