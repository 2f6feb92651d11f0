"""The questions. Each looks up what it needs in the parts of the studies, and says so where it is not there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from xaibench_leaderboard.study.answering import (
    FAILS,
    FEW,
    GUESSING,
    NOT_RUN,
    Answer,
    Grid,
    Line,
    firm,
    hinted,
    listed,
    measured,
    parted,
    several,
    sign,
    tally,
)
from xaibench_leaderboard.study.asking_agree import agree
from xaibench_leaderboard.study.asking_cost import cost
from xaibench_leaderboard.study.asking_leaks import marker, scale
from xaibench_leaderboard.study.paired import UNTOLD, difference, gaps
from xaibench_leaderboard.study.places import BETTER, JUDGED, able_or_not, skill, tried
from xaibench_leaderboard.study.sources import explained, fails_audit, of_the_true_class, picked, spread
from xaibench_leaderboard.wording import number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xaibench_leaderboard.statistics import Estimate
    from xaibench_leaderboard.study.places import Place, Skill, Studies
    from xaibench_leaderboard.study.sources import Done

ORDERED = ("iou", *JUDGED)  # the first is the one that the papers' orders are of
AGAIN_ALIKE = ("stability", "stability-iou", "stability-ssim")
BLIND = ("centre", "tissue-prior")
NO_CLASS = ("random", "intensity")  # shown beside them
IN_OVERLAP = "Score-CAM above Grad-CAM++ above Grad-CAM in overlap"
WITH_THRESHOLD = "DT Grad-CAM above Grad-CAM in overlap, or where that is equal in energy on the lesion"
IN_STABILITY = "Grad-CAM above Kernel SHAP above LIME in stability"
CAMS = (("scorecam", "gradcam++"), ("gradcam++", "gradcam"))
DYNAMIC = (("dt-gradcam", "gradcam"),)
FIVE_TIMES = (("gradcam", "kernel-shap"), ("kernel-shap", "lime"))
ROUNDING = 1e-9


def overlap(studies: Studies) -> Answer:
    """Grad-CAM against what knows nothing of the network."""
    question = "Is Grad-CAM's overlap with lesions better than a centre blob or a tissue prior?"
    lines, shown = [], set()
    readings: dict[str, str] = {}
    for place, done in tried(studies):
        network, able = skill(studies, place)
        for metric in JUDGED:
            own = explained(done, place.model, "gradcam", metric)
            if own is None or (place.name, metric) in shown:
                continue
            shown.add((place.name, metric))
            against = [difference(done, place.model, ("gradcam", floor), metric) for floor in (*BLIND, *NO_CLASS)]
            reading = hinted(_against(*map(sign, against[:2])), own)
            reading = GUESSING if not able else FAILS if fails_audit(done, metric) else reading
            name = f"{place.name} ({place.caveat})" if place.caveat and able else place.name
            if reading != FAILS:
                readings.setdefault(_why(network, name), reading)  # by the first measure, the overlap
            figures = (own, *against)
            beside = (_empty(done, place.model, metric), "{} of {}".format(*of_the_true_class(done, place.model)))
            values = (measured(own), _span(spread(done, place.model, "gradcam", metric)), *map(measured, against))
            cells = (place.name, measured(network.accuracy), metric, *beside, *values, reading)
            lines.append(Line(cells, figures, place.source))
    if not lines:
        return Answer(question, NOT_RUN)
    heads = ("data and network", "balanced accuracy of the network", "measure", "empty maps",
             "maps of the true class", "Grad-CAM", "single trainings", "minus centre blob", "minus tissue prior",
             "minus noise", "minus brightness", "Grad-CAM is")  # fmt: skip
    note = "A blob in the centre and the mean place of lesions look at no network and at no film; an empty map scores 0"
    return Answer(question, _grouped(readings), parted(heads, lines, note))


def _empty(done: Done, model: str, metric: str) -> str:
    """How many of Grad-CAM's maps were flat: nothing in them speaks for the class."""
    failed = [one for result in picked(done, model, "gradcam", metric) for one in result.failed]
    return f"{sum(failed)} of {len(failed)}"


def _span(ends: tuple[float, float] | None) -> str:
    """From the lowest to the highest training."""
    return "one" if ends is None else f"{number(ends[0])} to {number(ends[1])}"


def _why(network: Skill, name: str) -> str:
    """The name, and how few images its network was judged by, if that is the reason why it was not."""
    images = network.accuracy.images if network.accuracy else 0
    return f"{name} (only {images} images)" if network.few else name


def _against(blob: str, prior: str) -> str:
    words = {"more": "better", "less": "worse", UNTOLD: "not clearly different", "not measured": "not compared"}
    if blob == prior:
        return {"more": "better than both", "less": "worse than both"}.get(blob, UNTOLD)
    pair = f"{words[blob]} than the blob, {words[prior]} than the prior"
    return pair.replace("different than", "different from").replace("compared than", "compared with")


def _grouped(readings: dict[str, str]) -> str:
    """One clause for each reading, with the data it holds on; last, where the network itself knows too little."""
    groups: dict[str, list[str]] = {}
    for name, reading in readings.items():
        groups.setdefault(reading, []).append(name)
    guessing = groups.pop(GUESSING, [])
    clauses = [
        f"{reading if reading != UNTOLD else 'not clearly better or worse than either'} on {listed(names)}"
        for reading, names in groups.items()
    ]
    told = f"**By overlap, Grad-CAM is {'; '.join(clauses)}.**" if clauses else ""
    more = f" Nothing can be said where the network is not shown to be better than a guess: {listed(guessing)}."
    return (told + more if guessing else told).strip()


@dataclass(frozen=True)
class Compared:
    """One pair of a claimed order, on one network."""

    place: Place
    pair: tuple[str, str]
    metric: str
    values: tuple[Estimate | None, Estimate | None]
    gap: Estimate
    equal: bool  # on every image: a threshold, for one, leaves the order of pixels as it is
    network: Skill
    able: bool  # whether the network that is explained is clearly better than a guess
    fails: bool  # the audit

    @property
    def word(self) -> str:
        """Whether the order holds."""
        if not self.able or self.fails:
            return FAILS if self.able else GUESSING
        if self.equal:
            return "equal on every image"
        word = {"more": "holds", "less": "is reversed"}.get(sign(self.gap), UNTOLD)
        sure = self.certain and word == "holds"
        return f"{word} by definition: the first draws nothing" if sure else hinted(word, self.gap)

    @property
    def certain(self) -> bool:
        """Whether the first explainer says the same again because it draws nothing."""
        low = self.values[0].low if self.values[0] else None
        return self.metric in AGAIN_ALIKE and low is not None and low > 1 - ROUNDING


def rankings(studies: Studies) -> Answer:
    """The orders that the papers claim, pair by pair, wherever both were tried."""
    question = (
        "Do the rankings of the papers hold: Score-CAM, Grad-CAM++, Grad-CAM; DT Grad-CAM, Grad-CAM; Grad-CAM, SHAP, "
        "LIME in stability?"
    )
    claims = {
        IN_OVERLAP: _compared(studies, CAMS, ORDERED),
        WITH_THRESHOLD: _compared(studies, DYNAMIC, (ORDERED[0], "energy", *JUDGED)),
        IN_STABILITY: _compared(studies, FIVE_TIMES, AGAIN_ALIKE),
    }
    if not any(claims.values()):
        return Answer(question, NOT_RUN)
    told = [_told_of_order(claim, compared) for claim, compared in claims.items()]
    grids = [grid for some in claims.values() for grid in _order_grids(some)]
    return Answer(question, " ".join(told), tuple(grids))


def _compared(studies: Studies, pairs: Sequence[tuple[str, str]], metrics: Sequence[str]) -> list[Compared]:
    """What can be compared; a network that has two places is compared in the first."""
    seen: dict[tuple[str, tuple[str, str], str], Compared] = {}
    for place, done in tried(studies):
        network, able = skill(studies, place)
        for metric in metrics:
            for pair in pairs:
                gap = difference(done, place.model, pair, metric)
                first, second = (explained(done, place.model, name, metric) for name in pair)
                if gap is not None:
                    equal = all(abs(one) < ROUNDING for _, one in gaps(done, place.model, pair, metric))
                    fails = fails_audit(done, metric)
                    one = Compared(place, pair, metric, (first, second), gap, equal, network, able, fails)
                    seen.setdefault((place.name, pair, metric), one)
    return list(seen.values())


def _told_of_order(claim: str, compared: Sequence[Compared]) -> str:
    """Not counted: orders of maps of networks that guess, what is so by definition, and what few patients show.

    Each pair counts once on each network, by the first measure: another one of the same maps is no second opinion.
    """
    if not compared:
        return f"**{claim}:** {NOT_RUN.lower()}"
    first: dict[tuple[str, tuple[str, str]], Compared] = {}
    for one in compared:
        if one.able and not (one.fails or one.certain or one.equal):
            first.setdefault((one.place.name, one.pair), one)
    able = list(first.values())
    counted_in = [one for one in able if firm(one.gap)]
    where = "; ".join(dict.fromkeys(one.place.name for one in counted_in))
    words = [{"holds": "held", "is reversed": "reversed"}.get(one.word, "undecided") for one in counted_in]
    on = f" ({where})" if where else ""
    few = [one for one in able if not firm(one.gap)]
    hints = [{"more": "for it", "less": "against it"}.get(sign(one.gap), "neither way") for one in few]
    more = f" On fewer than {FEW} patients, as hints: {tally(hints)}." if hints else ""
    papers = [one for one in compared if one.place.model == "hmc" and one.place.study == "hmc"]
    own = " On the paper's own network and films it cannot be tested: there the network guesses."
    more += own if papers and not any(one.able for one in papers) else ""
    compared_in = several(len(words), "comparison")
    return f"**{claim}: of {compared_in} on networks better than a guess{on}: {tally(words) or 'none'}.**{more}"


def _order_grids(compared: Sequence[Compared]) -> tuple[Grid, ...]:
    lines = [
        Line(
            (
                " above ".join(one.pair),
                one.place.name,
                able_or_not(one.network, one.able),
                one.metric,
                *map(measured, (*one.values, one.gap)),
                str(one.gap.patients),
                one.word,
            ),
            (one.gap,),
            one.place.source,
        )
        for one in compared
    ]
    heads = ("claim", "data and network", BETTER, "measure", "first", "second", "first minus second", "patients",
             "the claim")  # fmt: skip
    return parted(heads, lines, "Differences are taken image by image")


ANSWERS: tuple[Callable[[Studies], Answer], ...] = (overlap, rankings, scale, agree, marker, cost)
