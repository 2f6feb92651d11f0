"""Where explainers were tried: which part of which study, on which network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from xaibench_leaderboard.accuracy import FEWEST
from xaibench_leaderboard.study.resampled import Said, estimate, overall
from xaibench_leaderboard.study.sources import Done

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xaibench_leaderboard.statistics import Estimate

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
    caveat: str = ""  # what must stand beside every verdict

    @property
    def source(self) -> tuple[str, str]:
        """The part of the study."""
        return self.study, self.part


FILLED = "there the lesion fills the crop, the truth is the blob itself, and blur tells normal crops from others"
# One network on one data set has one name, wherever it was explained; what comes first counts where both have a figure.
PLACES = (
    Place("drawn films (ResNet50)", "board", "board", "resnet50"),
    Place("drawn films (ResNet50)", "phantom", "clean", "resnet50"),
    Place("drawn films (ResNet50)", "phantom", "faithfulness", "resnet50"),
    Place("drawn films (HMC-Net)", "phantom", "clean, HMC-Net", "hmc"),
    Place("MIAS crops as in the paper (small CNN)", "balve", "maps, paper", "cnn-elhouby", "paper", FILLED),
    Place("MIAS crops of one size (small CNN)", "balve", "maps, strict", "cnn-elhouby", "strict"),
    Place("MIAS crops as in the paper (small CNN)", "balve", "many passes, paper", "cnn-elhouby", "paper", FILLED),
    Place("MIAS crops of one size (small CNN)", "balve", "many passes, strict", "cnn-elhouby", "strict"),
    Place("MIAS crops as in the paper (small CNN)", "balve", "others, paper", "cnn-elhouby", "paper", FILLED),
    Place("MIAS crops of one size (small CNN)", "balve", "others, strict", "cnn-elhouby", "strict"),
    Place("MIAS crops as in the paper (small CNN)", "balve", "overlap, paper", "cnn-elhouby", "paper", FILLED),
    Place("MIAS crops of one size (small CNN)", "balve", "overlap, strict", "cnn-elhouby", "strict"),
    Place("MIAS crops as in the paper (small CNN)", "balve", "faithfulness, paper", "cnn-elhouby", "paper", FILLED),
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
    """The balanced accuracy of the networks that are explained, and whether that is clearly better than a guess.

    Of several trainings as many as have been explained; from wherever most test images were looked at.
    """
    both = [_said(studies, one) for one in PLACES if (one.name, one.model) == (place.name, place.model)]
    said = max([*both, _said(studies, place)], key=lambda some: sum(len(one.truth) for one in some))
    known = estimate(said, overall("balanced_accuracy")) if said else None
    if known is None or known.low is None or known.images < FEWEST:
        return known, False
    return known, known.low > 1 / len(said[0].classes)


def _said(studies: Studies, place: Place) -> list[Said]:
    explained, done = (found(studies, place.study, part) for part in (place.part, place.classified or place.part))
    if explained is None or done is None:
        return []
    trainings = Done(done.name, done.results[: len(explained.results)])
    return [Said(one) for one in trainings.predictions(place.model)]
