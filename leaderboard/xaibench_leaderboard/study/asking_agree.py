"""Whether what the network follows lies where the lesion is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from xaibench_leaderboard.study.answering import (
    FAILS,
    FEW,
    GUESSING,
    NOT_RUN,
    Answer,
    Line,
    firm,
    hinted,
    measured,
    parted,
    several,
    sign,
    tally,
)
from xaibench_leaderboard.study.paired import UNTOLD, agreement, better, difference
from xaibench_leaderboard.study.places import BETTER, JUDGED, REFERENCES, able_or_not, skill, tried
from xaibench_leaderboard.study.sources import fails_audit

if TYPE_CHECKING:
    from xaibench_leaderboard.statistics import Estimate
    from xaibench_leaderboard.study.places import Place, Skill, Studies
    from xaibench_leaderboard.study.sources import Done

FAITHFUL = ("deletion", "insertion", "faithfulness-correlation", "faithfulness-estimate", "infidelity")
TRUTH, NOISE = "roi", "random"
BLUNT = "not asked: the measure does not tell the lesion from noise"
WORDS = {"more": "agree", "less": "contradict each other"}
COUNTED = {"agree": "agreed", UNTOLD: "undecided", "contradict each other": "contradicted"}


@dataclass(frozen=True)
class Pair:
    """Two measures over the explainers of one network."""

    place: Place
    local: str
    faithful: str
    tau: Estimate
    explainers: int
    edge: Estimate | None  # how much better the faithful one finds the lesion itself than noise
    network: Skill
    able: bool
    fails: bool  # either of them the audit on these data

    @property
    def sharp(self) -> bool:
        """Whether the measure of faithfulness ranks the lesion itself above noise; what cannot, ranks nothing."""
        return sign(self.edge) == "more" and not self.fails

    @property
    def word(self) -> str:
        """How the two go together."""
        if not self.able or self.fails:
            return FAILS if self.able else GUESSING
        return hinted(WORDS.get(sign(self.tau), UNTOLD), self.tau) if self.sharp else BLUNT

    def line(self) -> Line:
        """A row."""
        about = (self.place.name, able_or_not(self.network, self.able), self.local, self.faithful)
        figures = (measured(self.edge), measured(self.tau), str(self.explainers), str(self.tau.patients))
        return Line((*about, *figures, self.word), (self.tau,), self.place.source)


def agree(studies: Studies) -> Answer:
    """Faithfulness and localisation, over explainers."""
    question = "Do faithfulness and localisation agree?"
    pairs = [one for place, done in tried(studies) for one in _pairs(studies, place, done)]
    if not pairs:
        return Answer(question, NOT_RUN)
    heads = ("data and network", BETTER, "localisation", "faithfulness",
             "faithfulness of the lesion minus that of noise", "Kendall's tau", "explainers", "patients",
             "the two")  # fmt: skip
    note = (
        "Tau is 1 if both rank the explainers alike, -1 if the other way round; better means better in both; both are "
        "measured on the same images, those with lesions"
    )
    return Answer(question, _told(pairs), parted(heads, [one.line() for one in pairs], note))


def _pairs(studies: Studies, place: Place, done: Done) -> list[Pair]:
    network, able = skill(studies, place)
    explainers = [one for one in done.rows("explainer", place.model) if one not in REFERENCES]
    found = []
    for faithful in FAITHFUL:
        edge = _edge(done, place.model, faithful)
        for local in JUDGED:
            tau, count = agreement(done, place.model, local, faithful, explainers)
            if tau is not None:
                fails = fails_audit(done, local) or fails_audit(done, faithful)
                found.append(Pair(place, local, faithful, tau, count, edge, network, able, fails))
    return found


def _edge(done: Done, model: str, metric: str) -> Estimate | None:
    """How much better the lesion does than noise, whichever way the measure counts."""
    pair = (TRUTH, NOISE) if better(done, model, metric) > 0 else (NOISE, TRUTH)
    return difference(done, model, pair, metric)


def _told(pairs: list[Pair]) -> str:
    judged = [one for one in pairs if one.able and firm(one.tau)]
    if not judged:
        few = f"no network that is better than a guess has both on {FEW} patients; the tables hold hints at most"
        return f"**Not told: {few}.**"
    sharp = [one for one in judged if one.sharp]
    blunt = sorted({one.faithful for one in judged} - {one.faithful for one in sharp})
    words = [COUNTED[WORDS.get(sign(one.tau), UNTOLD)] for one in sharp]
    told = (
        f"**Of {several(len(sharp), 'comparison')} of a measure of faithfulness with one of localisation, on networks "
        f"better than a guess and at least {FEW} patients: {tally(words) or 'none'}.**"
    )
    if len(sharp) < len(judged):
        told += (
            f" {len(judged) - len(sharp)} more are not counted: there a measure fails its audit, or does not tell the "
            "lesions themselves from noise, and so cannot rank what lies between"
        )
        told += f" ({', '.join(blunt)})." if blunt else "."
    if "contradicted" in words or "undecided" in words:
        told += (
            " Where they do not agree, a map that the network itself bears out need not lie on the lesion: the network "
            "may look elsewhere."
        )
    return told
