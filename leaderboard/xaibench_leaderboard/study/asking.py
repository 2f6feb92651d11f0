"""The questions. Each looks up what it needs in the parts of the studies, and says so where it is not there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from xaibench_leaderboard.study.answering import NOT_RUN, UNTOLD, Answer, Grid, counted, listed, measured, sign, tally
from xaibench_leaderboard.study.asking_cost import cost
from xaibench_leaderboard.study.asking_leaks import marker, scale
from xaibench_leaderboard.study.paired import agreement, difference
from xaibench_leaderboard.study.places import REFERENCES, Place, found, skill, tried
from xaibench_leaderboard.study.sources import explained

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xaibench_leaderboard.statistics import Estimate
    from xaibench_leaderboard.study.places import Studies
    from xaibench_leaderboard.study.sources import Done

JUDGED = ("iou-matched", "pointing-game")
BLIND = ("centre", "tissue-prior")
IN_OVERLAP, IN_STABILITY = (
    "Score-CAM above Grad-CAM++ above Grad-CAM in overlap",
    ("Grad-CAM above Kernel SHAP above LIME in stability"),
)
CAMS = (("scorecam", "gradcam++"), ("gradcam++", "gradcam"))
FIVE_TIMES = (("gradcam", "kernel-shap"), ("kernel-shap", "lime"))
AGAIN = (
    Place("MIAS crops as in the paper (small CNN)", "balve", "robustness, paper", "cnn-elhouby"),
    Place("MIAS crops of one size (small CNN)", "balve", "robustness, strict", "cnn-elhouby"),
)


def overlap(studies: Studies) -> Answer:
    """Grad-CAM against what knows nothing of the network."""
    question = "Is Grad-CAM's overlap with lesions better than a centre blob or a tissue prior?"
    rows, gaps, sources, shown = [], [], [], set()
    readings: dict[str, str] = {}
    for place, done in tried(studies):
        for metric in JUDGED:
            own = explained(done, place.model, "gradcam", metric)
            if own is None or (place.name, metric) in shown:
                continue
            shown.add((place.name, metric))
            against = [difference(done, place.model, ("gradcam", floor), metric) for floor in BLIND]
            gaps += [own, *against]
            reading = _against(*map(sign, against))
            readings.setdefault(place.name, reading)  # by the first metric, the overlap
            sources.append(place.source)
            network = measured(skill(done, place.model))
            rows.append((place.name, network, metric, measured(own), *map(measured, against), reading))
    if not rows:
        return Answer(question, NOT_RUN)
    heads = ("data and network", "balanced accuracy of the network", "measure", "Grad-CAM", "minus centre blob",
             "minus tissue prior", "Grad-CAM is")  # fmt: skip
    note = "A blob in the centre and the mean place of lesions look at no network and at no film"
    grid = Grid(heads, tuple(rows), f"{note}. {counted(gaps)}", tuple(sources))
    return Answer(question, _grouped(readings), (grid,))


def _against(blob: str, prior: str) -> str:
    words = {"more": "better", "less": "worse", UNTOLD: "not clearly different", "not measured": "not compared"}
    if blob == prior:
        return {"more": "better than both", "less": "worse than both"}.get(blob, UNTOLD)
    pair = f"{words[blob]} than the blob, {words[prior]} than the prior"
    return pair.replace("different than", "different from").replace("compared than", "compared with")


def _grouped(readings: dict[str, str]) -> str:
    """One clause for each reading, with the data it holds on."""
    groups: dict[str, list[str]] = {}
    for name, reading in readings.items():
        groups.setdefault(reading, []).append(name)
    clauses = [
        f"{reading if reading != UNTOLD else 'not clearly better or worse than either'} on {listed(names)}"
        for reading, names in groups.items()
    ]
    return f"**By overlap, Grad-CAM is {'; '.join(clauses)}.**"


@dataclass(frozen=True)
class Compared:
    """One pair of a claimed order, on one network."""

    place: Place
    pair: tuple[str, str]
    metric: str
    values: tuple[Estimate | None, Estimate | None]
    gap: Estimate

    @property
    def word(self) -> str:
        """Whether the order holds."""
        return {"more": "holds", "less": "is reversed"}.get(sign(self.gap), UNTOLD)


def rankings(studies: Studies) -> Answer:
    """The orders that the papers claim, pair by pair, wherever both were tried."""
    question = "Do the rankings of the papers hold: Score-CAM, Grad-CAM++, Grad-CAM; Grad-CAM, SHAP, LIME in stability?"
    mapped = _compared(tried(studies), CAMS, ("iou-matched", "pointing-game"))
    again = [(place, done) for place in AGAIN if (done := found(studies, *place.source))]
    repeated = _compared(again, FIVE_TIMES, ("stability",))
    if not mapped and not repeated:
        return Answer(question, NOT_RUN)
    told = [_told_of_order(IN_OVERLAP, mapped), _told_of_order(IN_STABILITY, repeated)]
    grids = [_order_grid(some) for some in (repeated, mapped) if some]
    return Answer(question, " ".join(told), tuple(grids))


def _compared(
    places: Sequence[tuple[Place, Done]], pairs: Sequence[tuple[str, str]], metrics: Sequence[str]
) -> list[Compared]:
    """What can be compared; a network that has two places is compared in the first."""
    seen: dict[tuple[str, tuple[str, str], str], Compared] = {}
    for place, done in places:
        for metric in metrics:
            for pair in pairs:
                gap = difference(done, place.model, pair, metric)
                first, second = (explained(done, place.model, name, metric) for name in pair)
                if gap is not None:
                    seen.setdefault((place.name, pair, metric), Compared(place, pair, metric, (first, second), gap))
    return list(seen.values())


def _told_of_order(claim: str, compared: Sequence[Compared]) -> str:
    if not compared:
        return f"**{claim}:** {NOT_RUN.lower()}"
    where = "; ".join(dict.fromkeys(one.place.name for one in compared))
    words = [{"holds": "hold", "is reversed": "are reversed"}.get(one.word, one.word) for one in compared]
    return f"**{claim}: of {len(compared)} comparisons {tally(words)}.** They are on {where}."


def _order_grid(compared: Sequence[Compared]) -> Grid:
    rows = tuple(
        (" above ".join(one.pair), one.place.name, one.metric, *map(measured, (*one.values, one.gap)), one.word)
        for one in compared
    )
    heads = ("claim", "data and network", "measure", "first", "second", "first minus second", "the claim")
    note = f"Differences are taken image by image. {counted([one.gap for one in compared])}"
    return Grid(heads, rows, note, tuple(dict.fromkeys(one.place.source for one in compared)))


def agree(studies: Studies) -> Answer:
    """Faithfulness and localisation, over explainers."""
    question = "Do faithfulness and localisation agree?"
    rows, words, known, sources = [], [], [], []
    for place, done in tried(studies):
        explainers = [one for one in done.rows("explainer", place.model) if one not in REFERENCES]
        for faithful in ("deletion", "insertion"):
            for local in JUDGED:
                tau, count = agreement(done, place.model, local, faithful, explainers)
                if tau is None:
                    continue
                words.append({"more": "agree", "less": "contradict each other"}.get(sign(tau), UNTOLD))
                known.append(tau)
                sources.append(place.source)
                rows.append((place.name, local, faithful, measured(tau), str(count), str(tau.patients), words[-1]))
    if not rows:
        return Answer(question, NOT_RUN)
    heads = ("data and network", "localisation", "faithfulness", "Kendall's tau", "explainers", "patients", "the two")
    note = "Tau is 1 if both rank the explainers alike, -1 if the other way round; better means better in both"
    grid = Grid(heads, tuple(rows), f"{note}. {counted(known)}", tuple(dict.fromkeys(sources)))
    reading = (
        f"**Of {len(rows)} comparisons of a measure of faithfulness with one of localisation: {tally(words)}.** Where "
        "they do not agree, a map that the network itself bears out need not lie on the lesion: the network may look "
        "elsewhere."
    )
    return Answer(question, reading, (grid,))


ANSWERS: tuple[Callable[[Studies], Answer], ...] = (overlap, rankings, scale, agree, marker, cost)
