"""Which share of the map lies in a region."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xaibench.contracts import MetricCard
from xaibench.metrics.images import each_in, each_with_lesion

if TYPE_CHECKING:
    from xaibench.contracts import Case, Floats, Mask, Scores


class EnergyInRoi:
    """Share of the map's sum that lies on the lesions."""

    card = MetricCard(
        name="energy",
        summary="Share of the map's sum that lies on the lesions",
        paper="Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks (Wang et al., 2020)",
        family="localisation",
        higher_is_better=True,
        needs=frozenset({"mask"}),
    )

    def score(self, case: Case) -> Scores:
        """One value per image."""
        return each_with_lesion(_share, case)


class EnergyInMarker:
    """Share of the map's sum that lies on a marker which is no part of the body.

    A high value is no merit and no fault of the explainer: it tells what the map would show a reader.
    """

    card = MetricCard(
        name="energy-marker",
        summary="Share of the map's sum that lies on the film marker: does it show that the model looks there?",
        family="localisation",
        higher_is_better=True,
        region="marker",
        claims_quality=False,
    )

    def score(self, case: Case) -> Scores:
        """One value per image."""
        return each_in(_share, case.maps, case.regions["marker"])


def _share(heatmap: Floats, region: Mask) -> float:
    total = np.sum(heatmap, dtype=np.float64)
    return float(np.sum(heatmap, dtype=np.float64, where=region) / total) if total > 0 else np.nan
