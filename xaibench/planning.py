"""From a request to cells: what will be done, under which keys, and what cannot be done and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from xaibench.contracts import Cell, Status
from xaibench.errors import UsageError
from xaibench.identity import key_of, plugin_identity, task_identity
from xaibench.registry import Broken, Loaded
from xaibench.selection import expand_target
from xaibench.variants import parse, verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from xaibench.orders import Prepared
    from xaibench.variants import Variant


@dataclass(frozen=True)
class Choice:
    """The plugins of a run, loaded; broken ones only where they were not asked for by name."""

    tasks: list[Loaded | Broken]
    models: list[Loaded | Broken]
    explainers: list[Loaded | Broken]
    metrics: list[Loaded | Broken]


@dataclass(frozen=True)
class Terms:
    """What else decides a number."""

    target: str = "predicted"
    precision: str = "fp32"
    sign: str = "positive"
    seed: int = 0
    limit: int | None = None
    maps: str = "fp32"  # how exactly heatmaps are stored, and so read by metrics


@dataclass(frozen=True)
class Subject:
    """One model with its weights, on one fold of one task: what explainers are tried on."""

    task: Loaded
    model: Loaded
    fold: int
    prepared: Prepared
    terms: Terms
    total: int = field(default=0)
    others: Mapping[str, Prepared] = field(default_factory=dict)  # weights of variants that are trained for themselves

    @property
    def count(self) -> int:
        """Samples selected."""
        return self.total if self.terms.limit is None else min(self.terms.limit, self.total)

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        """What all cells of this subject share: made once for all of them."""
        return {
            "task": task_identity(self.task),
            "split": "test",
            "fold": self.fold,
            "model": plugin_identity(self.model),
            "weights": self.prepared.digest,
            "precision": self.terms.precision,
            "seed": self.terms.seed,
        }

    def labels(self) -> dict[str, str]:
        """The same for people."""
        return {
            "task": self.task.label,
            "fold": str(self.fold),
            "model": self.model.label,
            "precision": self.terms.precision,
        }

    def references(self) -> dict[str, str]:
        """What a worker needs to have it in another process."""
        found = {"task": self.task.reference, "model": self.model.reference}
        return found | ({"weights": str(self.prepared.file)} if self.prepared.file else {})

    def cell(self, kind: Any, identity: Mapping[str, Any], **more: Any) -> Cell:
        """A cell of this subject."""
        full = {"kind": kind, **self.identity, **identity}
        cards = {"task": self.task.card, "model": self.model.card, **more.pop("cards", {})}
        labels = {**self.labels(), **more.pop("labels", {})}
        references = {**self.references(), **more.pop("references", {})}
        return Cell(key_of(full), kind, full, labels, cards, references, self.count, self.total, **more)


@dataclass(frozen=True)
class SubjectPlan:
    """All cells of one subject, stage by stage."""

    subject: Subject
    predict: Cell
    explain: list[Cell]
    score: list[Cell]

    def cells(self) -> list[Cell]:
        """In the order of work."""
        return [self.predict, *self.explain, *self.score]


def plan_subject(subject: Subject, choice: Choice) -> SubjectPlan:
    """Every explainer with every target, every metric with every map."""
    predict = subject.cell("predict", {})
    explain: dict[str, Cell] = {}
    score: list[Cell] = []
    wanted = [parse(""), *variants_of(choice.metrics)]
    for explainer in choice.explainers:
        for target in expand_target(subject.terms.target, subject.task.plugin.classes):
            maps = {variant.name: _explain(subject, explainer, target, variant, predict) for variant in wanted}
            score += [_score(subject, metric, maps, predict) for metric in choice.metrics]
            explain |= {cell.key: cell for cell in maps.values()}
    # A worker keeps one network at a time: all maps by one of them in a row.
    ordered = sorted(explain.values(), key=lambda cell: parse(cell.identity["variant"]).network)
    return SubjectPlan(subject, predict, ordered, score)


def variants_of(metrics: Sequence[Loaded | Broken]) -> list[Variant]:
    """The other maps that metrics ask for, each once; one that nobody can make is refused."""
    found = {name: _understood(name, metric) for metric in metrics for name in _variants(metric)}
    return [found[name] for name in sorted(found)]


def _understood(name: str, metric: Loaded | Broken) -> Variant:
    try:
        return parse(name)
    except UsageError as error:
        raise UsageError(f"metric {label_of(metric)}: {error}") from None


def _variants(metric: Loaded | Broken) -> tuple[str, ...]:
    return () if isinstance(metric, Broken) else tuple(metric.card["variants"])


def _explain(subject: Subject, explainer: Loaded | Broken, target: str, variant: Variant, predict: Cell) -> Cell:
    if variant.kind == "seed" and not _card(explainer).get("stochastic", True):
        return _explain(subject, explainer, target, parse(""), predict)  # nothing is drawn: the very same map
    ruling, reason = explain_verdict(subject.model, explainer, variant, subject.task.plugin.classes)
    weights = subject.others.get(variant.name)
    return subject.cell(
        "explain",
        {
            "explainer": _identity(explainer),
            "target": target,
            "variant": variant.name,
            **({"own_weights": weights.digest} if weights else {}),
            **({} if subject.terms.maps == "fp32" else {"maps": subject.terms.maps}),
        },
        labels={
            # Rounded maps give other numbers: rows of their own.
            "explainer": label_of(explainer) + ("" if subject.terms.maps == "fp32" else f" [{subject.terms.maps}]"),
            "target": target,
            **({"variant": variant.name} if variant.name else {}),
        },
        cards={"explainer": _card(explainer)},
        references={
            "explainer": explainer.reference,
            **({"weights": str(weights.file)} if weights else {}),
        },
        inputs={"prediction": predict.key},
        verdict=ruling,
        reason=reason,
    )


def _score(subject: Subject, metric: Loaded | Broken, maps: Mapping[str, Cell], predict: Cell) -> Cell:
    plain = maps[""]
    ruling, reason = _score_verdict(metric, [plain, *(maps[name] for name in _variants(metric))])
    own = {name: plain.identity[name] for name in ("explainer", "target", "variant", "maps") if name in plain.identity}
    # Not in the key of metrics that ask for no training: what they have found stays found.
    trained = {name: subject.others[name].digest for name in _variants(metric) if name in subject.others}
    own |= {"weights_of_variants": trained} if trained else {}
    return subject.cell(
        "score",
        {**own, "metric": _identity(metric), "sign": subject.terms.sign},
        labels={
            # The policy makes other numbers of the same maps: rows of their own.
            "explainer": plain.labels["explainer"] + ("" if subject.terms.sign == "positive" else " [absolute]"),
            "target": plain.labels["target"],
            "metric": label_of(metric),
        },
        cards={"explainer": plain.cards["explainer"], "metric": _card(metric)},
        references={"explainer": plain.references["explainer"], "metric": metric.reference},
        inputs={"prediction": predict.key, "maps": plain.key, **{name: maps[name].key for name in _variants(metric)}},
        verdict=ruling,
        reason=reason,
    )


def _score_verdict(metric: Loaded | Broken, maps: Sequence[Cell]) -> tuple[Status, str]:
    """A metric cannot be had if one of its maps cannot."""
    if isinstance(metric, Broken):
        return "unavailable", metric.error
    explainer = maps[0].cards["explainer"]
    if explainer.get("precomputed") and metric.card["family"] == "cost":
        return "unsupported", f"{explainer['name']} were made before: what they cost is not known"
    if maps[0].verdict == "ok" and "additive" in metric.card["needs"] and not explainer["additive"]:
        return "unsupported", f"the maps of {explainer['name']} do not promise to add up to anything"
    return next(((cell.verdict, cell.reason) for cell in maps if cell.verdict != "ok"), ("ok", ""))


def label_of(plugin: Loaded | Broken) -> str:
    """What a person calls it."""
    return plugin.reference if isinstance(plugin, Broken) else plugin.label


def _identity(plugin: Loaded | Broken) -> dict[str, Any]:
    return {"broken": plugin.reference} if isinstance(plugin, Broken) else plugin_identity(plugin)


def _card(plugin: Loaded | Broken) -> Mapping[str, Any]:
    return {"name": plugin.name, "family": ""} if isinstance(plugin, Broken) else plugin.card


def explain_verdict(
    model: Loaded, explainer: Loaded | Broken, variant: Variant, classes: Sequence[str]
) -> tuple[Status, str]:
    """Whether this explainer can be tried on this model at all, and so varied."""
    if isinstance(explainer, Broken):
        return "unavailable", explainer.error
    if (only := explainer.card["model"]) and only != model.label:
        return "unsupported", f"these maps are of {only}"
    if explainer.card["precomputed"] and variant.name:
        return "unsupported", f"{explainer.name} were made before: there are no others ({variant.name})"
    available = {*model.card["provides"], "masks", "prior"}
    if lacking := sorted(set(explainer.card["needs"]) - available):
        return "unsupported", f"{model.name} has no {' and no '.join(lacking)}"
    return verdict(variant, model.card, classes)


def stages(plans: list[SubjectPlan]) -> Iterator[list[Cell]]:
    """Stage after stage over all subjects: within a stage no cell waits for another."""
    yield [plan.predict for plan in plans]
    yield [cell for plan in plans for cell in plan.explain]
    yield [cell for plan in plans for cell in plan.score]
