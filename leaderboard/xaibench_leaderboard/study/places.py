"""Where explainers were tried: which part of which study, on which network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, TypeAlias

from xaibench_leaderboard.accuracy import FEWEST
from xaibench_leaderboard.study.resampled import Said, estimate, overall
from xaibench_leaderboard.study.sources import Done

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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


JUDGED = ("iou-matched", "pointing-game")  # where a map lies, by measures that need no threshold
BETTER = "better than a guess"
FILLED = "there the lesion fills the crop, the truth is the blob itself, and blur tells normal crops from others"
# What comes first counts where the same network was explained twice. One that was trained again is another one.
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
    Place("MIAS crops as in the paper (small CNN)", "balve", "robustness, paper", "cnn-elhouby", "paper", FILLED),
    Place("MIAS crops of one size (small CNN)", "balve", "robustness, strict", "cnn-elhouby", "strict"),
    Place("MIAS films (HMC-Net)", "hmc", "maps", "hmc", "family"),
    Place("MIAS films (ResNet50)", "hmc", "maps, ResNet50", "resnet50", "family"),
)


@dataclass(frozen=True)
class Skill:
    """What the networks that are explained can do."""

    accuracy: Estimate | None  # balanced

    @property
    def few(self) -> bool:
        """Whether too few images were looked at to tell."""
        return self.accuracy is None or self.accuracy.images < FEWEST

    def above(self, chance: float) -> bool:
        """Whether they are clearly better than that."""
        low = self.accuracy.low if self.accuracy else None
        return low is not None and not self.few and low > chance


def able_or_not(network: Skill, able: bool) -> str:
    """Whether a network is better than a guess, in a cell."""
    return "yes" if able else "too few images" if network.few else "not shown"


def found(studies: Studies, study: str, part: str) -> Done | None:
    """A part that has results."""
    one = studies.get(study, {}).get(part)
    return one if one is not None and one.results else None


def tried(studies: Studies) -> list[tuple[Place, Done]]:
    """The places that have results. A name is of one network: another training gets a number."""
    named: list[tuple[Place, Done]] = []
    for place in PLACES:
        if (done := found(studies, *place.source)) is not None:
            named.append((_numbered(place, done, named), done))
    return named


def _numbered(place: Place, done: Done, before: Sequence[tuple[Place, Done]]) -> Place:
    names = (f"{place.name}, training {number}" if number > 1 else place.name for number in count(1))
    return replace(place, name=next(name for name in names if _may_be(name, place.model, done, before)))


def _may_be(name: str, model: str, done: Done, before: Sequence[tuple[Place, Done]]) -> bool:
    """Whether a name is free, or of this very network."""
    others = [other for one, other in before if (one.name, one.model) == (name, model)]
    return not others or any(same_network(done, other, model) for other in others)


def same_network(one: Done, other: Done, model: str) -> bool:
    """Whether a training of the one is a training of the other, by its weights; if nothing is known, it may be."""
    mine, theirs = ({said.weights for said in done.predictions(model)} for done in (one, other))
    return not mine or not theirs or bool(mine & theirs)


def skill(studies: Studies, place: Place) -> tuple[Skill, bool]:
    """What the networks that are explained can do, and whether that is clearly better than a guess.

    Of several trainings as many as have been explained; from wherever most test images were looked at.
    """
    network = (place.name, place.model)
    both = [_said(studies, one, done) for one, done in tried(studies) if (one.name, one.model) == network]
    said = max(both, key=lambda some: sum(len(one.truth) for one in some), default=[])
    known = Skill(estimate(said, overall("balanced_accuracy")) if said else None)
    return known, bool(said) and known.above(1 / len(said[0].classes))


def _said(studies: Studies, place: Place, explained: Done) -> list[Said]:
    done = found(studies, place.study, place.classified) if place.classified else None
    if done is None or not same_network(done, explained, place.model):
        done = explained
    trainings = Done(done.name, done.results[: len(explained.results)])
    return [Said(one) for one in trainings.predictions(place.model)]
