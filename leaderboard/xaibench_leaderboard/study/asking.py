"""The questions. Each looks up what it needs in the parts of the studies, and says so where it is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xaibench_leaderboard.study.answering import NOT_RUN, UNTOLD, Answer, Grid, counted, listed, measured, sign, tally
from xaibench_leaderboard.study.asking_cost import cost
from xaibench_leaderboard.study.asking_leaks import marker, scale
from xaibench_leaderboard.study.paired import agreement, difference
from xaibench_leaderboard.study.places import REFERENCES, found, skill, tried
from xaibench_leaderboard.study.sources import explained

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xaibench_leaderboard.statistics import Estimate
    from xaibench_leaderboard.study.places import Studies

JUDGED = ("iou-matched", "pointing-game")
BLIND = ("centre", "tissue-prior")
CHAINS = (
    ("Score-CAM above Grad-CAM++ above Grad-CAM in overlap", "hmc", ("maps",), "hmc",
     (("scorecam", "gradcam++"), ("gradcam++", "gradcam")), ("iou", "iou-matched", "energy")),
    ("Grad-CAM above Kernel SHAP above LIME in stability", "balve", ("robustness, paper", "robustness, strict"),
     "cnn-elhouby", (("gradcam", "kernel-shap"), ("kernel-shap", "lime")), ("stability",)),
)  # fmt: skip


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
        f"{reading if reading != UNTOLD else 'not clearly better or worse than either'} on {_joined(names)}"
        for reading, names in groups.items()
    ]
    return f"**By overlap, Grad-CAM is {'; '.join(clauses)}.**"


def _joined(names: Sequence[str]) -> str:
    return listed([f"the {name}" if name.startswith("drawn") else name for name in names])


def rankings(studies: Studies) -> Answer:
    """The orders that the papers claim, pair by pair."""
    question = "Do the rankings of the papers hold: Score-CAM, Grad-CAM++, Grad-CAM; Grad-CAM, SHAP, LIME in stability?"
    rows, gaps, told, sources = [], [], [], []
    for claim, study, parts, model, pairs, metrics in CHAINS:
        words = []
        for part in parts:
            done = found(studies, study, part)
            for metric, pair in [] if done is None else [(metric, pair) for metric in metrics for pair in pairs]:
                gap = difference(done, model, pair, metric) if done else None
                if done is None or gap is None:
                    continue
                words.append({"more": "hold", "less": "are the other way round"}.get(sign(gap), UNTOLD))
                values = [explained(done, model, name, metric) for name in pair]
                gaps.append(gap)
                sources.append((study, part))
                where = f"{study}, {part}"
                rows.append((" above ".join(pair), where, metric, *map(measured, [*values, gap]), words[-1]))
        told.append(f"{claim}: of {len(words)} comparisons {tally(words)}." if words else f"{claim}: {NOT_RUN.lower()}")
    if not rows:
        return Answer(question, NOT_RUN)
    heads = ("claim", "study", "measure", "first", "second", "first minus second", "orders")
    note = f"Differences are taken image by image. {counted(gaps)}"
    reading = " ".join(f"**{one}**" for one in told) + _skills(studies)
    return Answer(question, reading, (Grid(heads, tuple(rows), note, tuple(dict.fromkeys(sources))),))


def _skills(studies: Studies) -> str:
    """How good the networks are whose maps were ranked."""
    told = []
    for study, part, model in (("hmc", "maps", "hmc"), ("balve", "robustness, paper", "cnn-elhouby")):
        done = found(studies, study, part)
        known: Estimate | None = skill(done, model) if done else None
        if known:
            told.append(f"{model} in {study}, {part}: {measured(known)}")
    return (
        f" Balanced accuracy of the networks explained, where a guess has one third: {'; '.join(told)}." if told else ""
    )


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
