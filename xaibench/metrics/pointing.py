"""Whether the highest point of the map lies on a lesion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import distance_transform_edt

from xaibench.contracts import MetricCard
from xaibench.errors import UsageError
from xaibench.metrics.images import each_with_lesion

if TYPE_CHECKING:
    from xaibench.contracts import Case, Floats, Mask, Scores


class PointingGame:
    """1 if the highest pixel lies at most `tolerance` pixels from a lesion, else 0; by chance if several tie.

    The default of 0 asks for a hit on the lesion itself: any other number means something else at each image size.
    """

    card = MetricCard(
        name="pointing-game",
        summary="Whether the highest point of the map lies on a lesion; a share if several points tie",
        paper="Top-down Neural Attention by Excitation Backprop (Zhang et al., 2016)",
        family="localisation",
        higher_is_better=True,
        needs=frozenset({"mask"}),
    )

    def __init__(self, tolerance: float = 0) -> None:
        if not tolerance >= 0:
            raise UsageError(f"pointing-game: tolerance is {tolerance}; give a distance in pixels, 0 or more.")
        self.tolerance = tolerance

    def score(self, case: Case) -> Scores:
        """One value per image."""
        return each_with_lesion(self._hit, case)

    def _hit(self, heatmap: Floats, mask: Mask) -> float:
        highest = heatmap == heatmap.max()
        return float(np.mean(_dilated(mask, self.tolerance)[highest]))


def _dilated(mask: Mask, tolerance: float) -> Mask:
    if tolerance == 0:
        return mask
    near: Mask = distance_transform_edt(~mask) <= tolerance
    return near
