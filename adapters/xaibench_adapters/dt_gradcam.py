"""Grad-CAM, of which only what lies above a threshold of the map's own is left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from skimage.filters import threshold_otsu

from xaibench.contracts import ExplainerCard
from xaibench.errors import UsageError
from xaibench_adapters.gradcam import NEEDS, GradCAM, stretched

if TYPE_CHECKING:
    from xaibench.contracts import Batch, Classifier, Floats


class DTGradCAM(GradCAM):
    """Grad-CAM with a dynamic threshold: one for each map, drawn from its own values.

    The paper gives no formula for the threshold, and does not say what becomes of the values above it.

    threshold: "otsu", which best parts the values in two, or "mean+sd", the mean and `k` standard deviations more.
    keep: "values" as they are above the threshold, "excess" over it, or "region" (1 above it).
    layer: as of gradcam.
    """

    card = ExplainerCard(
        name="dt-gradcam",
        summary="Grad-CAM, zero below a threshold that each map sets itself (Otsu's, or its mean and k deviations)",
        paper="Breast Cancer Classification with Enhanced Interpretability: DALAResNet50 and DT Grad-CAM (2023)",
        family="cam",
        needs=NEEDS,
        default=False,
    )

    def __init__(
        self,
        threshold: Literal["otsu", "mean+sd"] = "otsu",
        k: float = 1.0,
        keep: Literal["values", "excess", "region"] = "values",
        layer: str = "",
    ) -> None:
        super().__init__(layer)
        if threshold not in ("otsu", "mean+sd"):
            raise UsageError(f"dt-gradcam: threshold is {threshold!r}; there are otsu and mean+sd.")
        if keep not in ("values", "excess", "region"):
            raise UsageError(f"dt-gradcam: keep is {keep!r}; there are values, excess and region.")
        self.threshold, self.k, self.keep = threshold, k, keep

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        maps = stretched(super().explain(classifier, batch))
        cuts = torch.tensor([self.cut(one) for one in maps.cpu().numpy()], device=maps.device)[:, None, None]
        kept = {"values": maps, "excess": maps - cuts, "region": torch.ones_like(maps)}[self.keep]
        # NaN is not below anything: what is undefined stays so.
        return torch.where(maps <= cuts, torch.zeros_like(maps), torch.where(maps.isnan(), maps, kept))

    def cut(self, heatmap: Floats) -> float:
        """The threshold of one map in [0, 1]."""
        if not np.isfinite(heatmap).all() or heatmap.min() == heatmap.max():
            return 0.0
        if self.threshold == "otsu":
            return float(threshold_otsu(heatmap))  # type: ignore[no-untyped-call]
        return float(heatmap.mean() + self.k * heatmap.std())
