"""The tables of a study, filled: what the paper says, what came out here, how far apart, and what differs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xaibench.references import parse
from xaibench_leaderboard.study.plan import reductions
from xaibench_leaderboard.study.sources import Ours, of_the_true_class, ours

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xaibench.contracts import Results
    from xaibench_leaderboard.study.plan import Study, Table
    from xaibench_leaderboard.study.sources import Done

ALL = "*"
BRACKETS = (
    "Brackets hold the 95 % interval over patients (BCa bootstrap, 1000 draws, Student's level); the spread of "
    "trainings and the error of the paper's own figure are not in them"
)
AUDITED = {"pass": "passed by", "fail": "failed by", "descriptive": "not asked of", "not audited": "not made of"}


@dataclass(frozen=True)
class Line:
    """One figure of one row, in one part."""

    row: str
    measure: str
    part: str
    paper: float | None  # None: the paper has no number
    ours: Ours
    other: str = ""  # why the two figures are not of the same thing; "": they are

    @property
    def difference(self) -> float | None:
        """Ours less the paper's."""
        found = self.ours.estimate
        return None if found is None or self.paper is None or self.other else found.mean - self.paper

    @property
    def verdict(self) -> str:
        """Where the paper's figure lies."""
        found = self.ours.estimate
        if found is None:
            return f"none: {self.ours.reason}"
        if self.paper is None:
            return "no figure in the paper"
        if self.other:
            return self.other
        if found.low is None or found.high is None:
            return "no interval"
        if found.low == found.high:
            return "no interval: it is the same in every draw"
        if found.low <= self.paper <= found.high:
            return "the paper's lies in our interval"
        return f"the paper's lies {'above' if found.mean < self.paper else 'below'} our interval"


@dataclass(frozen=True)
class Filled:
    """A table with its caption."""

    table: Table
    lines: tuple[Line, ...]
    caption: str
    causes: tuple[str, ...]


def filled(study: Study, done: Mapping[str, Done], figures: Mapping[str, Mapping[str, Any]]) -> list[Filled]:
    """Every table of the study."""
    return [_fill(study, table, done, figures) for table in study.tables]


def _fill(study: Study, table: Table, done: Mapping[str, Done], figures: Mapping[str, Mapping[str, Any]]) -> Filled:
    lines = tuple(
        Line(
            row,
            measure,
            part,
            figure_of(figures.get(study.recipe_of(part), {}), table.name, row, measure),
            ours(done[part], table, row, measure),
            _other(study, measure),
        )
        for row in _rows(table, done)
        for measure in table.measures
        for part in table.parts
        if ALL not in table.rows or row in done[part].rows(table.kind, table.model)
    )
    causes = tuple(study.causes[name] for name in table.causes)
    return Filled(table, lines, caption(study, table, lines, done), causes)


def _other(study: Study, measure: str) -> str:
    """Why no paper's figure can be set against ours."""
    if measure in ("seconds", "hours"):
        return "another machine"
    return "of the reduced size: not comparable" if measure == "flops" and study.cut else ""


def _rows(table: Table, done: Mapping[str, Done]) -> list[str]:
    if ALL not in table.rows:
        return list(table.rows)
    found = [row for part in table.parts for row in done[part].rows(table.kind, table.model)]
    return sorted(set(found), key=found.index)


def figure_of(figures: Mapping[str, Any], table: str, row: str, measure: str) -> float | None:
    """The paper's figure: it stands in the recipe under the table, the row and the measure."""
    rows = figures.get(table)
    value = rows.get(row, {}).get(measure) if isinstance(rows, dict) else None
    return float(value) if isinstance(value, int | float) else None


def caption(study: Study, table: Table, lines: tuple[Line, ...], done: Mapping[str, Done]) -> str:
    """What must stand under every table: n, interval, versions, limits of the run."""
    parts = [part for part in study.parts if part.name in table.parts]
    told = [f"{part.name}: {part.says}" for part in parts if part.says]
    told += [_counts(name, done[name], [line for line in lines if line.part == name]) for name in table.parts]
    told += [_explained(name, done[name], table.model) for name in table.parts if table.kind == "explainer"]
    told += [_audited(name, table, done[name]) for name in table.parts]
    told.append(BRACKETS)
    told.append(versions([results for name in table.parts for results in done[name].results]))
    told += limits(study, table.parts)
    return ". ".join(one for one in told if one) + "."


def _counts(part: str, done: Done, lines: list[Line]) -> str:
    """How many images, patients and trainings stand behind the figures of a part."""
    known = [line.ours for line in lines if line.ours.estimate]
    if not known:
        return f"{part}: {'run, but nothing is defined here' if done.results else 'nothing has been run'}"
    images = _span([one.estimate.images for one in known if one.estimate and one.estimate.images])
    patients = _span([one.estimate.patients for one in known if one.estimate and one.estimate.patients])
    trainings = _span([one.trainings for one in known])
    counted = f"n = {images} test images of {patients} patients, " if images else ""
    return f"{part}: {counted}{trainings} {'training or fold' if trainings == '1' else 'trainings or folds'}"


def _explained(part: str, done: Done, model: str) -> str:
    """Which class the maps are of, and how often that is the true one."""
    policies = {one.labels.get("target", "") for one in done.scores(model)}
    if policies != {"predicted"}:
        return ""
    right, marked = of_the_true_class(done, model)
    answers = f", which is the true one for {right} of {marked} images with lesions" if marked else ""
    return f"{part}: maps are of the predicted class{answers}"


def _audited(part: str, table: Table, done: Done) -> str:
    """Which measures can tell the truth from noise, where that was tried."""
    names: dict[str, set[str]] = {}
    for verdict in (one for results in done.results for task in results.audit.values() for one in task.values()):
        name = parse(verdict["metric"]).target
        if name in table.measures:
            names.setdefault(verdict["verdict"], set()).add(name)
    told = [f"{words} {', '.join(sorted(names[verdict]))}" for verdict, words in AUDITED.items() if verdict in names]
    return f"{part}: the audit (is a known truth ranked above noise?) is {'; '.join(told)}" if told else ""


def _span(counts: list[int]) -> str:
    return " to ".join(map(str, sorted({min(counts), max(counts)}))) if counts else ""


def versions(found: list[Results]) -> str:
    """What made the numbers: the toolkit, torch, and the versions of the plugins."""
    if not found:
        return ""
    environment = found[-1].environment
    cards = [one.cards for results in found for one in results.predictions]
    cards += [one.cards for results in found for one in results.scores]
    plugins = {
        f"{card['name']} {card.get('version', 1)}"
        for several in cards
        for kind, card in several.items()
        if kind in ("task", "model") and card.get("name")
    }
    torch = environment.get("libraries", {}).get("torch", "?")
    return f"xaibench {environment.get('xaibench', '?')}, torch {torch}, {', '.join(sorted(plugins))}"


def limits(study: Study, parts: Sequence[str] | None = None) -> list[str]:
    """What was cut of these parts, or of all, if anything."""
    cut = reductions(study, parts)
    return [f"Reduced for {study.quick.why}: {'; '.join(cut)}"] if study.quick and cut else []
