"""Does a map depend on what it claims to explain?

The network is spoilt, or another class is asked for; then the map must change. One that does not is a picture of the
image, however good it looks.

A map that a spoilt network leaves without contrast has changed: its rank correlation with the plain one is 0.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from xaibench.contracts import Curved, MetricCard
from xaibench.errors import UsageError
from xaibench.metrics.likeness import spearman, spearman_with_each, ssim

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xaibench.contracts import Case, Floats, Scores

ADEBAYO = "Sanity Checks for Saliency Maps (Adebayo et al., 2018)"
# A convention of ours, for the papers give none: more than half of the variance of the ranks has outlived the network.
# It is no lower, because the image alone (a dark background, say) gives maps of any two networks something in common.
HALF = math.sqrt(0.5)


def _card(name: str, summary: str, paper: str, variants: Sequence[str], gate: float | None = None) -> MetricCard:
    return MetricCard(
        name=name,
        summary=summary,
        paper=paper,
        family="sanity",
        higher_is_better=False,
        lowest=-1.0,
        worst=1.0,
        claims_quality=False,  # noise that changes with the network would pass
        variants=tuple(variants),
        gate=gate,
        default=False,
    )


# ------------------------------------------------------------------------------------- randomised model parameters


def depths(steps: int) -> list[int]:
    """So many equally long steps from the output to the input, in percent of the layers."""
    return [round(100 * step / steps) for step in range(1, steps + 1)]


def randomised_card(card: MetricCard, kind: str, steps: int) -> MetricCard:
    """The card of a metric over networks that are spoilt to several depths."""
    if not 1 <= steps <= 100:
        msg = f"{card.name}: steps is {steps}; give 1 (the whole network) to 100 (every percent of its layers)."
        raise UsageError(msg)
    percents = depths(steps)
    return replace(
        card,
        variants=tuple(f"{kind}:{percent}" for percent in percents),
        curve=tuple(percent / 100 for percent in percents),
        curve_axis="share of the layers, counted from the output",
    )


def variants_of(case: Case, card: MetricCard) -> list[Floats]:
    """The variants, in the order of the card."""
    return [case.variants[name] for name in card.variants]


class MPRT:
    """Rank correlation with the map of a network of which everything is initialised anew.

    The curve goes there from the output down, layer by layer (cascading).
    """

    card = randomised_card(
        replace(
            _card(
                "mprt",
                "Rank correlation with the map of the network initialised anew; as a curve, from the output down",
                ADEBAYO,
                (),
                gate=HALF,
            ),
            default=True,
            dear=True,  # a map more of everything
            profiles={"paper": {"steps": 20}},
        ),
        "cascade",
        1,
    )

    def __init__(self, steps: int = 1) -> None:
        self.card = randomised_card(self.card, "cascade", steps)

    def score(self, case: Case) -> Curved:
        """One value and one curve per image."""
        curves = spearman_with_each(case.maps, variants_of(case, self.card))
        return Curved(curves[:, -1], curves)


class MPRTSSIM:
    """The same by structural similarity."""

    card = randomised_card(
        replace(
            _card(
                "mprt-ssim",
                "Structural similarity with the map of the network initialised anew; as a curve, from the output down",
                ADEBAYO,
                (),
            ),
            profiles={"paper": {"steps": 20}},
        ),
        "cascade",
        1,
    )

    def __init__(self, steps: int = 1) -> None:
        self.card = randomised_card(self.card, "cascade", steps)

    def score(self, case: Case) -> Curved:
        """One value and one curve per image."""
        curves = np.stack([ssim(case.maps, other) for other in variants_of(case, self.card)], axis=1)
        return Curved(curves[:, -1], curves)


class MPRTIndependent:
    """Rank correlation with the maps of networks of which one layer is initialised anew; mean of these layers."""

    card = randomised_card(
        replace(
            _card(
                "mprt-independent",
                "Mean rank correlation with the maps of networks of which one layer each is initialised anew",
                ADEBAYO,
                (),
            ),
            profiles={"quick": {"steps": 3}, "paper": {"steps": 20}},
        ),
        "independent",
        5,
    )

    def __init__(self, steps: int = 5) -> None:
        self.card = randomised_card(self.card, "independent", steps)

    def score(self, case: Case) -> Curved:
        """One value and one curve per image."""
        curves = spearman_with_each(case.maps, variants_of(case, self.card))
        return Curved(curves.mean(axis=1), curves)


class EfficientMPRT:
    """How much more disorderly the map becomes when the network is initialised anew, as a share of its entropy."""

    card = replace(
        _card(
            "emprt",
            "Relative rise of the entropy of the map's values when the network is initialised anew",
            "Sanity Checks Revisited: An Exploration to Repair the Model Parameter Randomisation Test "
            "(Hedström et al., 2023)",
            ("cascade:100",),
        ),
        higher_is_better=True,
        lowest=-1.0,
        highest=None,
        worst=-1.0,
    )

    def __init__(self, bins: int = 100) -> None:
        if bins < 2:
            msg = f"emprt: bins is {bins}; a histogram needs 2 or more."
            raise UsageError(msg)
        self.bins = bins

    def score(self, case: Case) -> Scores:
        """One value per image."""
        before, after = (self._entropies(maps) for maps in (case.maps, case.variants["cascade:100"]))
        return np.asarray((after - before) / before, dtype=np.float64)

    def _entropies(self, maps: Floats) -> Scores:
        return np.array([entropy(one, self.bins) for one in maps])


def entropy(heatmap: Floats, bins: int) -> float:
    """Of the histogram of a map in [0, 1], in bits."""
    counts, _ = np.histogram(heatmap, bins=bins, range=(0.0, 1.0))
    shares = counts[counts > 0] / heatmap.size
    return float(-(shares * np.log2(shares)).sum())


# ----------------------------------------------------------------------------- other labels, other classes, other zero


class DataRandomisation:
    """Rank correlation with the map of the same network trained on labels that were dealt out at random."""

    card = _card(
        "data-randomisation",
        "Rank correlation with the map of the same network trained on shuffled labels",
        ADEBAYO,
        ("shuffled-labels",),
        gate=HALF,
    )

    def score(self, case: Case) -> Scores:
        """One value per image."""
        return spearman(case.maps, case.variants["shuffled-labels"])


class ClassSensitivity:
    """Rank correlation of the maps for the class explained and for the least likely class."""

    card = replace(
        _card(
            "class-sensitivity",
            "Rank correlation of the map with the map for the least likely class",
            "Neural Response Interpretation through the Lens of Critical Pathways (Khakzar et al., 2021)",
            ("target:least",),
        ),
        default=True,
        dear=True,
    )

    def score(self, case: Case) -> Scores:
        """One value per image."""
        return spearman(case.maps, case.variants["target:least"])


class RandomLogit:
    """Structural similarity of the maps for the class explained and for another one, drawn at random."""

    card = _card(
        "random-logit",
        "Structural similarity of the map with the map for another class, drawn at random",
        "When Explanations Lie: Why Many Modified BP Attributions Fail (Sixt et al., 2020)",
        ("target:random",),
    )

    def score(self, case: Case) -> Scores:
        """One value per image."""
        return ssim(case.maps, case.variants["target:random"])


class InputInvariance:
    """How much the map changes when a constant is added to the image and the network takes it off again.

    The network says exactly the same of every image, so the map should.
    """

    card = replace(
        _card(
            "input-invariance",
            "Mean change of a pixel of the map under a constant shift of the image that the network takes off again",
            "The (Un)reliability of Saliency Methods (Kindermans et al., 2017)",
            ("shifted",),
        ),
        lowest=0.0,
    )

    def score(self, case: Case) -> Scores:
        """One value per image."""
        change = np.abs(case.maps.astype(np.float64) - case.variants["shifted"])
        return np.asarray(change.mean(axis=(1, 2)))
