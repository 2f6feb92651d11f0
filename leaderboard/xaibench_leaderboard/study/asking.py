"""The questions. Each looks up what it needs in the parts of the studies, and says so where it is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from xaibench_leaderboard.board import boards_of
from xaibench_leaderboard.shortcut import shortcuts_of
from xaibench_leaderboard.study.answering import NOT_RUN, Answer, counted, measured, sign
from xaibench_leaderboard.study.paired import agreement, difference
from xaibench_leaderboard.study.resampled import Said, estimate, of_class, overall
from xaibench_leaderboard.study.sources import explained

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from xaibench_leaderboard.statistics import Estimate
    from xaibench_leaderboard.study.sources import Done

Studies: TypeAlias = "Mapping[str, Mapping[str, Done]]"
# Data set, study, part, model: where explainers were tried.
PLACES = (
    ("drawn films, ResNet50, default run", "board", "board", "resnet50"),
    ("drawn films, ResNet50", "phantom", "clean", "resnet50"),
    ("drawn films, HMC-Net", "phantom", "clean, HMC-Net", "hmc"),
    ("MIAS crops as in the paper, small CNN", "balve", "maps, paper", "cnn-elhouby"),
    ("MIAS crops of one size, small CNN", "balve", "maps, strict", "cnn-elhouby"),
    ("MIAS films, HMC-Net", "hmc", "maps", "hmc"),
)
REFERENCES = {
    "random", "random-blurred", "constant", "centre", "tissue-prior", "edges", "intensity",
    "roi", "roi-grid", "roi-degraded", "roi-degraded-more", "roi-degraded-most",
}  # fmt: skip


def found(studies: Studies, study: str, part: str) -> Done | None:
    """A part that has results."""
    one = studies.get(study, {}).get(part)
    return one if one is not None and one.results else None


def overlap(studies: Studies) -> Answer:
    """Grad-CAM against what knows nothing of the network."""
    rows, gaps, better = [], [], 0
    for name, study, part, model in PLACES:
        for metric in ("iou-matched", "pointing-game"):
            done = found(studies, study, part)
            own = explained(done, model, "gradcam", metric) if done else None
            if done is None or own is None:
                continue
            against = [difference(done, model, ("gradcam", floor), metric) for floor in ("centre", "tissue-prior")]
            gaps += [own, *against]
            better += all(sign(one) == "more" for one in against)
            rows.append((name, metric, measured(own), *map(measured, against), ", ".join(map(sign, against))))
    heads = (
        "data and network",
        "metric",
        "Grad-CAM",
        "minus centre blob",
        "minus tissue prior",
        "than blob, than prior",
    )
    told = f"Grad-CAM is clearly better than both in {better} of {len(rows)} comparisons." if rows else NOT_RUN
    question = "Is Grad-CAM's overlap with lesions better than a centre blob or a tissue prior?"
    note = "A blob in the centre and the mean place of lesions look at no network and at no film. "
    return Answer(question, told, heads, tuple(rows), note + counted(gaps) + ".")


def rankings(studies: Studies) -> Answer:
    """The orders that the papers claim, pair by pair."""
    claims = [("hmc", "maps", "hmc", pair, metric) for metric in ("iou", "iou-matched", "energy")
              for pair in (("scorecam", "gradcam++"), ("gradcam++", "gradcam"))]  # fmt: skip
    claims += [("balve", part, "cnn-elhouby", pair, "stability") for part in ("robustness, paper", "robustness, strict")
               for pair in (("gradcam", "kernel-shap"), ("kernel-shap", "lime"))]  # fmt: skip
    rows, gaps = [], []
    for study, part, model, pair, metric in claims:
        done = found(studies, study, part)
        gap = difference(done, model, pair, metric) if done else None
        if gap is not None:
            gaps.append(gap)
            word = {"more": "holds", "less": "does not hold: the other way round"}.get(sign(gap), "cannot be told")
            rows.append((f"{pair[0]} above {pair[1]}", f"{study}, {part}", metric, measured(gap), word))
    held = sum(row[-1] == "holds" for row in rows)
    told = f"{held} of {len(rows)} claimed orders hold beyond doubt." if rows else NOT_RUN
    question = "Do the rankings of the papers hold: Score-CAM, Grad-CAM++, Grad-CAM; Grad-CAM, SHAP, LIME in stability?"
    heads = ("claim", "study", "metric", "difference", "reading")
    note = "Differences image by image, of the first named less the second. "
    return Answer(question, told, heads, tuple(rows), note + counted(gaps) + ".")


def scale(studies: Studies) -> Answer:
    """The same network with and without the leak of the crop's size."""
    parts = [found(studies, "balve", name) for name in ("paper", "strict")]
    heads = ("figure", "crops as in the paper", "crops of one size")
    question = "What does the crop-scale shortcut do to accuracy and to every explainer?"
    if parts[0] is None or parts[1] is None:
        return Answer(question, NOT_RUN)
    said = [[Said(one) for one in part.predictions("cnn-elhouby")] for part in parts if part]
    pairs = [(name, [estimate(one, overall(name)) for one in said]) for name in ("accuracy", "balanced_accuracy")]
    for figure, words in (("recall", "recall of {}"), ("auc", "area under the ROC curve, {} against the rest")):
        pairs += [
            (words.format(name), [estimate(one, of_class(figure, at)) for one in said])
            for at, name in enumerate(said[0][0].classes)
        ]
    normal = next(both for name, both in pairs if name.startswith("area"))
    trainings = " and ".join(str(len(one)) for one in said)
    told = _told_of_crops(normal)
    pairs += list(_explainers_on_crops(studies))
    rows = tuple((name.replace("_", " "), *map(measured, both)) for name, both in pairs)
    note = f"Means over {trainings} trainings; overlap is matched IoU, of the first training. "
    return Answer(question, told, heads, rows, note + counted([one for _, both in pairs for one in both]) + ".")


def _told_of_crops(both: list[Estimate | None]) -> str:
    paper, strict = both
    if paper is None or strict is None or paper.low is None or strict.high is None:
        return "It could not be measured on both."
    apart = "the intervals do not overlap" if paper.low > strict.high else "the intervals overlap"
    return (
        f"Normal crops are told from lesions with an area under the ROC curve of {measured(paper)} where crops are cut "
        f"as in the paper, and of {measured(strict)} where all are of one size and no woman is on both sides: {apart}. "
        "In the paper's crops a lesion fills the frame, so that any wide map overlaps with it: overlap under the two "
        "protocols must not be compared without the rows of the floors."
    )


def _explainers_on_crops(studies: Studies) -> list[tuple[str, list[Estimate | None]]]:
    parts = [found(studies, "balve", name) for name in ("maps, paper", "maps, strict")]
    if parts[0] is None or parts[1] is None:
        return []
    names = parts[0].rows("explainer", "cnn-elhouby")
    return [
        (f"overlap of {name}", [explained(part, "cnn-elhouby", name, "iou-matched") for part in parts if part])
        for name in names
    ]


def agree(studies: Studies) -> Answer:
    """Faithfulness and localisation, over explainers."""
    rows, split = [], 0
    for name, study, part, model in PLACES:
        done = found(studies, study, part.replace("maps", "faithfulness") if study == "balve" else part)
        if done is None:
            continue
        explainers = [one for one in done.rows("explainer", model) if one not in REFERENCES]
        for faithful in ("deletion", "insertion"):
            for local in ("iou-matched", "pointing-game"):
                tau, count = agreement(done, model, local, faithful, explainers)
                if tau is not None:
                    split += sign(tau) == "more"
                    patients = str(tau.patients)
                    rows.append((name, local, faithful, measured(tau), str(count), patients, _agreeing(sign(tau))))
    told = f"They agree beyond doubt in {split} of {len(rows)} comparisons." if rows else NOT_RUN
    heads = ("data and network", "localisation", "faithfulness", "Kendall's tau", "explainers", "patients", "reading")
    note = "Tau is 1 if both rank the explainers alike, -1 if the other way round; better means better in both."
    return Answer("Do faithfulness and localisation agree?", told, heads, tuple(rows), note)


def _agreeing(word: str) -> str:
    return {"more": "agree", "less": "contradict each other"}.get(word, word)


def marker(studies: Studies) -> Answer:
    """Who would have revealed what was planted."""
    question = "Which explainer would have revealed the planted marker?"
    done = found(studies, "phantom", "shortcut")
    reports = [one for results in done.results for one in shortcuts_of(boards_of(results))] if done else []
    if not reports:
        return Answer(question, NOT_RUN)
    report = reports[0]
    taken = "learned the marker" if report.taken else "did not clearly learn the marker"
    revealing = ", ".join(report.revealing) or "none"
    told = f"The network {taken}. Explainers that put more on it than every floor: {revealing}."
    rows, known = [], []
    for one in (*report.methods, *report.references):
        scores = [score.estimate if score else None for score in (one.marker, one.lesion)]
        known += scores
        rows.append((one.row.name, *map(measured, scores), one.row.reference or one.verdict, one.reason))
    heads = ("explainer", "energy on marker", "energy on lesion", "reveals it", "why")
    accuracy = report.board.accuracy
    note = f"Balanced accuracy where the marker says nothing: {measured(accuracy.test)}. " if accuracy else ""
    return Answer(question, told, heads, tuple(rows), note + counted(known) + ".")


def cost(studies: Studies) -> Answer:
    """Seconds and passes of one explanation."""
    rows, known = [], []
    for name, study, part, model in PLACES:
        done = found(studies, study, part)
        for explainer in [] if done is None else done.rows("explainer", model):
            if done is None or explainer in REFERENCES:
                continue
            both = [explained(done, model, explainer, metric) for metric in ("seconds", "forward-samples")]
            if any(both):
                known += both
                rows.append((name, explainer, *map(measured, both)))
    told = (
        "Seconds depend on the machine and on what else it does; how many images pass the network does not."
        if rows
        else NOT_RUN
    )
    heads = ("data and network", "explainer", "seconds per map", "images passed forward per map")
    return Answer("What does each cost?", told, heads, tuple(rows), counted(known) + ".")


ANSWERS: tuple[Callable[[Studies], Answer], ...] = (overlap, rankings, scale, agree, marker, cost)
