"""The same facts in the same words, wherever they are shown. Plain text: who shows it escapes it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from xaibench_leaderboard.accuracy import BAR, FEWEST, WIDEST

if TYPE_CHECKING:
    from xaibench_leaderboard.accuracy import Accuracy
    from xaibench_leaderboard.board import Board, Column, Row, Score
    from xaibench_leaderboard.infills import Agreement
    from xaibench_leaderboard.ranking import CriticalDifference, Ranking, Standing
    from xaibench_leaderboard.shortcut import Shortcut
    from xaibench_leaderboard.statistics import Estimate

FEWEST_PATIENTS = 6  # below it places are shown, and said to tell nothing
DEGRADED = "roi-degraded"  # references that are called so, more and most


def number(value: float) -> str:
    """Three decimals where they say something, fewer for large numbers, more for tiny ones."""
    size = abs(value)
    if 0 < size < 0.0005:
        return f"{value:.1e}"
    decimals = 3 if size < 10 else 2 if size < 100 else 1 if size < 1000 else 0
    return f"{value:.{decimals}f}"


def interval(estimate: Estimate | None) -> str:
    """[low, high], or nothing where there is none."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    return f"[{number(estimate.low)}, {number(estimate.high)}]"


def measured(estimate: Estimate) -> str:
    """A mean with its interval."""
    return f"{number(estimate.mean)} {interval(estimate)}".rstrip()


def status(score: Score | None) -> str:
    """Why a cell has no number; "" if it has one."""
    if score is None:
        return "not run"
    if score.status in ("unsupported", "unavailable"):
        return f"{score.status} ({score.reason})" if score.reason else score.status
    if score.status != "ok":
        return f"{score.status}: {score.reason}" if score.reason else score.status
    if score.estimate is None:
        return f"undefined for all {score.images} images" if score.images else "applies to no image"
    return ""


def partial(score: Score, board: Board) -> str:
    """Says so if a cell has seen fewer images than its board."""
    return f"{score.count} of {score.total} images only" if score.count < board.count else ""


def detail(score: Score, board: Board) -> str:
    """What stands behind a number."""
    if score.estimate is None:
        return status(score)
    parts = [f"{score.estimate.images} images of {score.estimate.patients} patients"]
    parts += [f"{score.failed} maps failed"] if score.failed else []
    parts += [f"undefined for {score.undefined}"] if score.undefined else []
    parts += [] if score.estimate.low is not None else ["no interval from one patient"]
    return "; ".join([*parts, partial(score, board)]).removesuffix("; ")


def covered(row: Row, board: Board) -> str:
    """Share of the row's maps that did not fail: the worst of its cells, for a metric may need several maps."""
    shares = [
        score.coverage
        for score, column in zip(row.scores, board.columns, strict=True)
        if score and score.coverage is not None and column.uses_map
    ]
    return f"{100 * min(shares):.3g} %" if shares else "-"


def images(board: Board, at: int) -> str:
    """How many images stand behind the numbers of a column."""
    counts = [score.estimate.images for row in board.rows if (score := row.scores[at]) and score.estimate]
    return " to ".join(map(str, sorted({min(counts), max(counts)}))) if counts else "0"


def arrow(column: Column) -> str:
    """Which way is better, if any."""
    if column.descriptive:
        return ""
    return "↑" if column.higher_is_better else "↓"


def direction(column: Column) -> str:
    """The arrow in words."""
    if column.descriptive:
        return "neither"
    return "higher is better" if column.higher_is_better else "lower is better"


def limits(column: Column) -> str:
    """The range of a metric."""
    ends = [column.card.get("lowest"), column.card.get("highest")]
    return " to ".join("unbounded" if end is None else f"{end:g}" for end in ends)


def accuracy(found: Accuracy | None) -> str:
    """How good the model is."""
    if found is None:
        return "the model's accuracy is not known: its predictions are not in this folder"
    parts = [
        f"balanced accuracy {measured(found.test)} on {found.test.images} test images of "
        f"{found.test.patients} patients, chance {number(found.chance)}"
    ]
    parts += [
        f"{name} {number(value)}" for name, value in (("train", found.train), ("val", found.val)) if value is not None
    ]
    return "; ".join(parts)


def beside(board: Board) -> str:
    """The accuracy in short, to stand beside every row; an exclamation mark says that the model is poor."""
    if board.accuracy is None:
        return "?"
    return f"{number(board.accuracy.test.mean)}{' !' if board.accuracy.poor else ''}"


def flags(board: Board) -> list[str]:
    """What a reader must know before the numbers."""
    found = board.accuracy
    told = []
    if found and found.poor:
        told.append(
            f"Explanations of a poor model: its balanced accuracy {number(found.test.mean)} is below "
            f"{number(found.bar)}, which is {100 * BAR:.0f} % of the way from chance to perfect"
        )
    if found and found.reversed:
        told.append("The model is below chance: are its outputs in another order than the classes?")
    if found and not found.judged:
        told.append(unjudged(found))
    if board.limited:
        told.append(f"Limited run: {board.count} of {board.total} test images")
    return told


def unjudged(found: Accuracy) -> str:
    """Why a model is not called good or poor."""
    if found.evidence:
        return (
            f"This model sees only one thing, provably: {found.evidence}. It is an oracle, no diagnostician: its "
            "accuracy is not judged"
        )
    return (
        f"Too few images to judge the model: {found.test.images} here; it takes {FEWEST}, and an interval no wider "
        f"than {WIDEST:g}"
    )


def kind(row: Row) -> str:
    """Floor, ceiling, or the truth under noise, which is no limit of anything; "" for a method."""
    return "truth, degraded" if row.reference and row.name.startswith(DEGRADED) else row.reference


def titled(row: Row) -> str:
    """An explainer with what it is, if it is no method."""
    return f"{row.explainer} ({kind(row)})" if row.reference else row.explainer


def subject(board: Board) -> str:
    """The rest of what a board is about."""
    return f"fold {board.labels['fold']}, target {board.labels['target']}, {board.labels['precision']}"


def order(board: Board) -> str:
    """How the rows came to stand as they do."""
    by = f"by the mean of {board.order.label}" if board.order else "by name"
    return f"Methods are ordered {by}, which is no ranking; floors and ceilings stand apart"


def place(standing: Standing | None) -> str:
    """Place, its interval, and the letter of the group of ties."""
    if standing is None:
        return "-"
    interval = "" if standing.low is None else f" [{standing.low}, {standing.high}]"
    return f"{standing.place:g}{interval} {letter(standing.tied)}"


def letter(group: int) -> str:
    """A, B, ..., Z, AA, AB, ... for groups of ties."""
    group -= 1
    return (letter(group // 26) if group >= 26 else "") + chr(ord("A") + group % 26)


def ranked_by(ranking: Ranking) -> str:
    """How the places came about."""
    counted = [f"{family} {weight:g}" for family, weight in ranking.weights.items() if weight]
    if not counted:
        return "No family of metrics counts: nobody is ranked before another"
    unit = "boards" if not ranking.labels else "patients"
    told = [f"Ranked by mean rank over families (weights: {', '.join(counted)}) on {ranking.patients} {unit}"]
    if any(one.low is not None for one in ranking.standings):
        told.append("[lowest, highest] place in 95 % of the bootstrap draws")
        told.append("one letter: no clear difference from its first")
    return "; ".join([*told, *filter(None, [too_few(ranking)])])


def too_few(ranking: Ranking) -> str:
    """Says so where places rest on a handful of patients; "" where they do not."""
    few = ranking.labels and ranking.standings and ranking.patients < FEWEST_PATIENTS
    return f"too few patients ({ranking.patients}) to tell methods apart" if few else ""


def tested(found: CriticalDifference | None) -> str:
    """What Friedman and Nemenyi say; "" where they say nothing."""
    if found is None:
        return ""
    p = f"p = {found.p:.2g}" if found.p >= 0.0001 else "p < 0.0001"
    return (
        f"Friedman over {found.blocks} {found.unit}: chi-square {number(found.statistic)}, {p}; "
        f"critical difference of mean ranks {number(found.distance)} (Nemenyi, {found.level:g})"
    )


def command(board: Board) -> str:
    """What makes this board again; plain references come by themselves."""
    words = ["xaibench", "run", "--tasks", board.labels["task"], "--models", board.labels["model"]]
    explainers = [row.explainer for row in board.rows if not row.reference or row.explainer != row.name]
    words += ["--explainers", ",".join(explainers) or "all"]
    words += ["--metrics", ",".join(column.label for column in board.columns)]
    words += ["--target", board.labels["target"], "--precision", board.labels["precision"]]
    words += ["--limit", str(board.count)] if board.limited else []
    words += ["--out", "again"]
    return shlex.join(words)


def drop(report: Shortcut) -> str:
    """What happened to the accuracy when the marker stopped telling the class."""
    found = report.board.accuracy
    if found is None:
        return "The model's accuracy is not known"
    steps = [
        f"{number(value)} in {name}"
        for name, value in (("training", found.train), ("validation", found.val))
        if value is not None
    ]
    told = f"Balanced accuracy: {', '.join([*steps, f'{measured(found.test)} in testing'])}"
    return f"{told}. It collapsed" if found.collapsed else told


def warned(report: Shortcut) -> str:
    """The answer of the report."""
    if report.revealing:
        consequence = ", and would have warned" if report.taken else ""
        return f"Clearly more on the marker than any floor{consequence}: {', '.join(report.revealing)}"
    consequence = ": none would have warned" if report.taken else ""
    return f"No explainer put clearly more on the marker than the floors{consequence}"


def audited(column: Column) -> str:
    """What the head of a column says of its audit; nothing where all is well."""
    if column.greyed:
        return "fails audit"
    return "not audited" if column.judges and column.verdict == "not audited" else ""


def infills(found: Agreement) -> str:
    """Whether two infills order the explainers alike."""
    place = f"{found.labels.get('model', '')} on {found.labels.get('task', '')}: {found.one} and {found.other}"
    count = len(found.explainers)
    if found.tau is None:
        return f"{place}: no Kendall's tau from {count} explainer{'' if count == 1 else 's'} with a number under both"
    ends = "" if found.low is None or found.high is None else f" [{number(found.low)}, {number(found.high)}]"
    return f"{place} order {count} explainers with Kendall's tau {number(found.tau)}{ends}"
