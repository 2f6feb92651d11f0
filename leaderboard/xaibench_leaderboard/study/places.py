"""Where explainers were tried: which part of which study, on which network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from xaibench_leaderboard.study.resampled import Said, estimate, overall

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xaibench_leaderboard.statistics import Estimate
    from xaibench_leaderboard.study.sources import Done

Studies: TypeAlias = "Mapping[str, Mapping[str, Done]]"
REFERENCES = {
    "random", "random-blurred", "constant", "centre", "tissue-prior", "edges", "intensity",
    "roi", "roi-grid", "roi-degraded", "roi-degraded-more", "roi-degraded-most",
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A network on a data set."""

    name: str
    study: str
    part: str
    model: str
    classified: str = ""  # the part in which the network has seen all test images; "": this one

    @property
    def source(self) -> tuple[str, str]:
        """The part of the study."""
        return self.study, self.part


# One network on one data set has one name, wherever it was explained; what comes first counts where both have a figure.
PLACES = (
    Place("drawn films (ResNet50)", "board", "board", "resnet50"),
    Place("drawn films (ResNet50)", "phantom", "clean", "resnet50"),
    Place("drawn films (HMC-Net)", "phantom", "clean, HMC-Net", "hmc"),
    Place("MIAS crops as in the paper (small CNN)", "balve", "maps, paper", "cnn-elhouby", "paper"),
    Place("MIAS crops of one size (small CNN)", "balve", "maps, strict", "cnn-elhouby", "strict"),
    Place("MIAS crops as in the paper (small CNN)", "balve", "overlap, paper", "cnn-elhouby", "paper"),
    Place("MIAS crops of one size (small CNN)", "balve", "overlap, strict", "cnn-elhouby", "strict"),
    Place("MIAS crops as in the paper (small CNN)", "balve", "faithfulness, paper", "cnn-elhouby", "paper"),
    Place("MIAS crops of one size (small CNN)", "balve", "faithfulness, strict", "cnn-elhouby", "strict"),
    Place("MIAS films (HMC-Net)", "hmc", "maps", "hmc", "family"),
    Place("MIAS films (ResNet50)", "hmc", "maps, ResNet50", "resnet50", "family"),
)


def found(studies: Studies, study: str, part: str) -> Done | None:
    """A part that has results."""
    one = studies.get(study, {}).get(part)
    return one if one is not None and one.results else None


def tried(studies: Studies) -> list[tuple[Place, Done]]:
    """The places that have results."""
    both = [(place, found(studies, *place.source)) for place in PLACES]
    return [(place, done) for place, done in both if done is not None]


def skill(studies: Studies, place: Place) -> tuple[Estimate | None, bool]:
    """The balanced accuracy of the network that is explained, and whether that is clearly better than a guess."""
    done = found(studies, place.study, place.classified or place.part)
    said = [Said(one) for one in done.predictions(place.model)] if done else []
    known = estimate(said, overall("balanced_accuracy")) if said else None
    return known, bool(known and known.low is not None and known.low > 1 / len(said[0].classes))
