"""What happens to explanations where a network can get by without the lesion."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from xaibench_leaderboard.shortcut import shortcuts_of
from xaibench_leaderboard.study.answering import FEW, NOT_RUN, Answer, Grid, counted, firm, listed, measured
from xaibench_leaderboard.study.paired import difference, together
from xaibench_leaderboard.study.places import REFERENCES, found, same_network
from xaibench_leaderboard.study.resampled import Said, estimate, of_class, overall
from xaibench_leaderboard.study.sources import Done, explained, fails_audit, named
from xaibench_leaderboard.wording import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xaibench.contracts import Result, Results
    from xaibench_leaderboard.shortcut import Shortcut, Witness
    from xaibench_leaderboard.statistics import Estimate
    from xaibench_leaderboard.study.places import Studies

    Both = tuple[str, list[Estimate | None]]

CNN, OVERLAP, BLOB = "cnn-elhouby", "iou-matched", "centre"
MARKED = ("explainer", "energy on marker", "energy on lesion", "reveals it", "why")
SHORTCUT = (("phantom", "shortcut"),)
REVEALED = ("yes", "no", "unclear", "unknown")
PROTOCOLS, WHOLE = ("paper", "strict"), ("paper, full size", "strict, full size")
EXPLAINED = ("maps", "many passes", "others", "overlap")


def scale(studies: Studies) -> Answer:
    """The same network with and without the leak of the crop's size."""
    question = "What does the crop-scale shortcut do to accuracy and to every explainer?"
    trained = [done for name in PROTOCOLS if (done := found(studies, "balve", name))]
    mapped = [done for name in PROTOCOLS if (done := _together(studies, name)).results]
    if len(trained) < 2:
        return Answer(question, NOT_RUN)
    figures = _accuracy(trained)
    told, grids = [_told_of_accuracy(figures)], [_accuracy_grid(trained, figures, PROTOCOLS)]
    at_size = [done for name in WHOLE if (done := found(studies, "balve", name))]
    if len(at_size) == 2:
        title = "The same where the network was trained at the paper's size and number of epochs"
        grids.append(_accuracy_grid(at_size, _accuracy(at_size), WHOLE, title))
    if len(mapped) == 2:
        told.append(_told_of_overlap(mapped))
        grids += _overlap_grids(mapped)
    return Answer(question, " ".join(told), tuple(grids))


def _together(studies: Studies, protocol: str) -> Done:
    """All explanations of one network, whichever part they are in."""
    shown: set[str] = set()
    results: list[Results] = []
    parts = [part for source in _sources(protocol) if (part := found(studies, *source))]
    for part in (one for one in parts if same_network(one, parts[0], CNN)):
        fresh = set(part.rows("explainer", CNN)) - shown  # or a training that is in two parts would count twice
        results += [replace(one, scores=tuple(_of(one.scores, fresh))) for one in part.results]
        shown |= fresh
    return Done(protocol, tuple(results))


def _of(scores: Sequence[Result], explainers: set[str]) -> list[Result]:
    return [one for one in scores if named(one, "explainer") in explainers]


def _sources(protocol: str) -> list[tuple[str, str]]:
    return [("balve", f"{kind}, {protocol}") for kind in EXPLAINED]


def _accuracy(trained: Sequence[Done]) -> list[Both]:
    said = [[Said(one) for one in part.predictions(CNN)] for part in trained]
    figures = [("balanced accuracy", overall("balanced_accuracy")), ("accuracy", overall("accuracy"))]
    figures.append(("accuracy of always naming the most frequent class", overall("majority")))
    for kind, words in (("recall", "recall of {}"), ("auc", "area under the ROC curve, {} against the rest")):
        figures += [(words.format(name), of_class(kind, at)) for at, name in enumerate(said[0][0].classes)]
    return [(name, [estimate(one, figure) for one in said]) for name, figure in figures]


def _accuracy_grid(trained: Sequence[Done], figures: Sequence[Both], parts: Sequence[str], fold: str = "") -> Grid:
    counts = " and ".join(str(len(part.predictions(CNN))) for part in trained)
    note = f"Means over {counts} trainings. {counted([one for _, both in figures for one in both])}"
    rows = tuple((name, *map(measured, both), _apart(both)) for name, both in figures)
    heads = ("figure", "crops as in the paper", "crops of one size", "intervals")
    return Grid(heads, rows, note, tuple(("balve", name) for name in parts), fold)


def _apart(both: Sequence[Estimate | None]) -> str:
    one, other = both
    if one is None or other is None or None in (one.low, one.high, other.low, other.high):
        return "not measured"
    low, high = sorted(both, key=lambda found: found.mean if found else 0.0)
    return "apart" if low and high and (low.high or 0.0) < (high.low or 0.0) else "overlap"


def _told_of_accuracy(figures: Sequence[Both]) -> str:
    both = next(both for name, both in figures if name.startswith("area"))
    words = {"apart": "the two intervals do not overlap", "overlap": "the two intervals overlap"}
    return (
        f"**Normal crops are told from lesions with an area under the ROC curve of {measured(both[0])} where crops are "
        f"cut as in the paper, and of {measured(both[1])} where all are of one size and no woman is on both sides: "
        f"{words.get(_apart(both), 'not measured on both')}.** Three things change together: the scale of the crops, "
        "the split by patient, and where in its crop a lesion lies; the test women are others, too."
    )


def _told_of_overlap(mapped: Sequence[Done]) -> str:
    names = [name for name in mapped[0].rows("explainer", CNN) if name not in REFERENCES]
    if any(fails_audit(done, OVERLAP) for done in mapped):
        return f"What that does to the explainers is not read: `{OVERLAP}` fails its audit on these crops."
    counts = [list(together(done, CNN, names, BLOB, OVERLAP).values()) for done in mapped]
    blobs = [explained(done, CNN, BLOB, OVERLAP) for done in mapped]
    return (
        "In the paper's crops a lesion fills the frame, so that any wide map overlaps with it: a blob in the centre, "
        f"which looks at nothing, reaches an overlap of {measured(blobs[0])}, and of {len(names)} explainers "
        f"{counts[0].count('more')} are clearly above it and {counts[0].count('less')} clearly below, all looked at "
        f"together. In crops of one size the blob reaches {measured(blobs[1])}; {counts[1].count('more')} explainers "
        f"are clearly above it and {counts[1].count('less')} clearly below.{_few(blobs)}"
    )


def _few(figures: Sequence[Estimate | None]) -> str:
    return "" if all(map(firm, figures)) else f" All this on fewer than {FEW} patients, and so as hints."


def _overlap_grids(mapped: Sequence[Done]) -> list[Grid]:
    names = mapped[0].rows("explainer", CNN)
    known: list[Estimate | None] = []
    rows = []
    for name in names:
        each = [explained(done, CNN, name, OVERLAP) for done in mapped]
        gaps = [difference(done, CNN, (name, BLOB), OVERLAP) if name != BLOB else None for done in mapped]
        known += each
        rows.append((name, measured(each[0]), measured(gaps[0]), measured(each[1]), measured(gaps[1])))
    heads = ("explainer", "overlap, crops as in the paper", "minus centre blob", "overlap, crops of one size",
             "minus centre blob")  # fmt: skip
    note = f"Overlap is matched IoU. {counted(known)}"
    sources = tuple(source for name in PROTOCOLS for source in _sources(name))
    titles = ("Overlap of every explainer", "Overlap of maps that know nothing of the network, and of the truth")
    groups = [[row for row in rows if (row[0] in REFERENCES) == wanted] for wanted in (False, True)]
    return [Grid(heads, tuple(some), note, sources, title) for title, some in zip(titles, groups, strict=True)]


def marker(studies: Studies) -> Answer:
    """Who would have revealed what was planted."""
    question = "Which explainer would have revealed the planted marker?"
    done = found(studies, "phantom", "shortcut")
    reports = [one for results in done.results for one in shortcuts_of(results)] if done else []
    if done is None or not reports:
        return Answer(question, NOT_RUN)
    known = [score for one in (*reports[0].methods, *reports[0].references) for score in _energies(one)]
    note = "Energy is the share of a map's sum; explainers and floors are compared image by image. "
    note += counted(known)
    grids = (
        Grid(MARKED, _marked(reports[0].methods), note, SHORTCUT),
        Grid(MARKED, _marked(reports[0].references), note, SHORTCUT, "Maps that know nothing of the network, or all"),
    )
    return Answer(question, _told_of_marker(reports[0]) + _few([one for one in known if one]), grids)


def _marked(witnesses: Sequence[Witness]) -> tuple[tuple[str, ...], ...]:
    """Those first that put most on the marker."""
    means = {one.row.name: energy.mean if (energy := _energies(one)[0]) else -1.0 for one in witnesses}
    return tuple(
        (one.row.name, *map(measured, _energies(one)), one.verdict or one.row.reference, one.reason)
        for one in sorted(witnesses, key=lambda one: means[one.row.name], reverse=True)
    )


def _energies(witness: Witness) -> list[Estimate | None]:
    return [score.estimate if score else None for score in (witness.marker, witness.lesion)]


def _told_of_marker(report: Shortcut) -> str:
    groups = {word: [f"`{one.row.name}`" for one in report.methods if one.verdict == word] for word in REVEALED}
    told = f"**Of {len(report.methods)} explainers {len(groups['yes'])} put more on the marker than every floor"
    told += f": {listed(groups['yes'])}.**" if groups["yes"] else ".**"
    told += f" Less than a map that never looks at the network put {listed(groups['no'])}." if groups["no"] else ""
    untold = groups["unclear"] + groups["unknown"]
    told += f" It cannot be told of {listed(untold)}." if untold else ""
    accuracy = report.board.accuracy
    learned = "has learned the marker" if report.taken else "has not clearly learned the marker"
    if accuracy is None:
        return f"{told} The network {learned}."
    before = f"{number(accuracy.val)} where the marker tells the class, " if accuracy.val is not None else ""
    return f"{told} The network {learned}: balanced accuracy {before}{measured(accuracy.test)} where it tells nothing."
