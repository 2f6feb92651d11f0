"""A run from end to end: prepare the weights, plan the cells, have an engine do them, keep the record."""

from __future__ import annotations

import signal
import time
import traceback
import uuid
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xaibench.audit.verdicts import verdicts
from xaibench.dispatch import Dispatch, Whereabouts, quiet_stdout
from xaibench.environment import digest as environment_digest
from xaibench.environment import record as environment_record
from xaibench.errors import NothingSelected, UsageError, XaibenchError
from xaibench.keeping import drop_maps, make_dropped_again
from xaibench.orders import Order, Prepared
from xaibench.phases import Phases
from xaibench.planning import Choice, Subject, SubjectPlan, Terms, label_of, plan_subject, stages, variants_of
from xaibench.registry import Broken, Loaded, create, select
from xaibench.selection import expand_target
from xaibench.store import Store
from xaibench.variants import order_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from xaibench.contracts import Cell, Outcome
    from xaibench.places import Location
    from xaibench.progress import Progress

UNTRAINED = Prepared("not trained yet", None)
STAMP = "%Y%m%dT%H%M%S-%f"  # names of runs: sorted, they are in the order of time
NONE = "none"  # for explainers: the models' predictions are all that is wanted


@dataclass(frozen=True)
class Request:
    """What a user asks for. References are comma lists as on the command line."""

    models: str = "resnet50,hmc"
    explainers: str = "default"
    tasks: str = "phantom"
    metrics: str = "default"
    terms: Terms = field(default_factory=Terms)
    profile: str = "quick"
    references: bool = True
    audit: bool = True
    engine: str = "local"
    device: str = "cpu"
    batch_size: int = 8
    out: Location = Path("xaibench-results")
    keep: str = "exact"  # what becomes of heatmaps: exact, packed, or none


@dataclass(frozen=True)
class Summary:
    """How a run ended."""

    outcomes: list[Outcome]
    interrupted: bool = False
    failures: tuple[str, ...] = ()  # models that could not be prepared, and so have no cells
    phases: Phases = field(default_factory=Phases)

    def counts(self) -> dict[str, int]:
        """Cells by status."""
        return dict(Counter(outcome.status for outcome in self.outcomes))

    def exit_code(self) -> int:
        """0 all ok, 1 some cells failed, 130 interrupted; what is unsupported or unavailable was never to run."""
        if self.interrupted:
            return 130
        bad = {"failed", "oom", "timeout", "interrupted"}
        return int(bool(self.failures) or any(outcome.status in bad for outcome in self.outcomes))


def choose(request: Request) -> Choice:
    """Load what the request names, with the floors and ceilings that belong on every board."""
    groups = {name: _chosen(name, request) for name in ("tasks", "models", "explainers", "metrics")}
    if request.references and request.explainers != NONE:
        groups["explainers"] = _with_references(groups["explainers"])
    for name, found in groups.items():
        if not found and request.explainers != NONE:
            msg = f"--{name} {getattr(request, name)}: nothing is selected; see `xaibench list {name}`"
            raise NothingSelected(msg)
        _refuse_same_labels(name, found)
    for task in groups["tasks"]:
        if isinstance(task, Loaded):  # mistakes are told before anything is trained
            expand_target(request.terms.target, task.plugin.classes)
    create("engines", request.engine)
    return Choice(**groups)


def _chosen(name: str, request: Request) -> list[Loaded | Broken]:
    """One kind of plugins; without explainers there are no maps to measure."""
    if request.explainers == NONE and name in ("explainers", "metrics"):
        return []
    return select(name, getattr(request, name), request.profile)


def _refuse_same_labels(group: str, found: list[Loaded | Broken]) -> None:
    """Two rows of one name would be taken for one."""
    labels = Counter(label_of(plugin) for plugin in found)
    if twice := [label for label, count in labels.items() if count > 1]:
        msg = f"--{group}: two plugins are called {twice[0]}; rename one, or run them into different folders with --out"
        raise UsageError(msg)


def _with_references(chosen: list[Loaded | Broken]) -> list[Loaded | Broken]:
    known = {explainer.reference for explainer in chosen}
    every = [other for other in select("explainers", "all") if isinstance(other, Loaded)]
    return chosen + [other for other in every if other.card["reference"] and other.reference not in known]


def subjects(
    request: Request, choice: Choice, progress: Progress, failures: list[str], *, train: bool = True
) -> Iterator[Subject]:
    """Every model with its weights on every fold of every task; one that cannot be prepared stops no other."""
    for task in choice.tasks:
        for model in choice.models:
            if isinstance(task, Broken) or isinstance(model, Broken):
                broken = [plugin for plugin in (task, model) if isinstance(plugin, Broken)]
                progress.say(f"unavailable {broken[0].reference}: {broken[0].error}")
                continue
            try:
                yield from _subjects_of(task, model, request, choice, progress, train)
            except XaibenchError:
                raise  # a user's mistake ends the run before the work
            except (Exception, SystemExit) as error:  # a plugin may raise anything
                what = f"{model.label} on {task.label}: {type(error).__name__}: {error}"
                progress.say(f"failed {what}")
                failures.append(f"{what}\n{traceback.format_exc()}")  # the record of the run has it whole


def _subjects_of(
    task: Loaded, model: Loaded, request: Request, choice: Choice, progress: Progress, train: bool
) -> Iterator[Subject]:
    trained = [variant for variant in variants_of(choice.metrics) if variant.trains and model.card["trained"]]
    for fold in range(task.plugin.folds):
        order = Order(model, task, fold, request.terms.seed)
        prepared = _prepared(order, request, progress, train)
        others = {one.name: _prepared(order_of(one, order), request, progress, train) for one in trained}
        yield Subject(task, model, fold, prepared, request.terms, len(task.plugin.entries("test", fold)), others)


def _prepared(order: Order, request: Request, progress: Progress, train: bool) -> Prepared:
    ready = train or not order.model.card["trained"]
    return order.find() or (_prepare(order, request, progress) if ready else UNTRAINED)


def _tell(request: Request, choice: Choice, progress: Progress) -> None:
    """What should be known before the work begins: of the machine, and what explainers have to say of tasks."""
    here = request.engine.partition("(")[0] in ("local", "processes")
    if here and request.terms.precision == "bf16" and not _bf16_pays(request.device):
        progress.say("bf16 does not pay on this processor: networks run faster without --precision bf16, and exactly")
    for task in choice.tasks:
        for explainer in choice.explainers:
            if isinstance(task, Loaded) and isinstance(explainer, Loaded):
                _say_notes(explainer, task, progress)


def _bf16_pays(device: str) -> bool:
    from xaibench.precision import has_fast_bf16  # brings torch, which few need before the work

    return device == "mps" or has_fast_bf16(device)  # of which nothing is known there


def _say_notes(plugin: Loaded, task: Loaded, progress: Progress) -> None:
    """What a plugin has decided for the user, who may want it otherwise; few have anything to say."""
    if notes := getattr(plugin.plugin, "notes", None):
        for note in notes(task.plugin):
            progress.say(f"{plugin.label} on {task.label}: {note}")


def plan_all(
    request: Request, choice: Choice, progress: Progress, failures: list[str], *, train: bool = True
) -> list[SubjectPlan]:
    """The cells of all subjects."""
    _tell(request, choice, progress)
    plans = [plan_subject(subject, choice) for subject in subjects(request, choice, progress, failures, train=train)]
    if not failures and not any(plan.predict.count for plan in plans):
        msg = "no model, or no test image, is left to work on; `xaibench list` shows what is broken"
        raise NothingSelected(msg)
    return plans


def _prepare(order: Order, request: Request, progress: Progress) -> Prepared:
    from xaibench.weights import prepare  # brings torch, which a finished run does not need

    if order.model.card["trained"]:
        progress.say(f"training {order.model.label} on {order.task.label}, once: kept in {order.folder()}")
    prepared = prepare(order, request.device, progress.step)
    if order.fold == 0:
        _say_notes(order.model, order.task, progress)
    return prepared


def run(request: Request, progress: Progress, argv: list[str]) -> Summary:
    """Do all that is not done yet; what is finished stays finished, whatever happens."""
    phases = Phases()
    store = Store(request.out).open()
    choice = choose(request)
    environment = environment_record()
    digest = environment_digest(environment)
    store.save_environment(digest, environment)
    record = _Record(store, request, choice, argv, digest)
    summary = Summary(outcomes := [], interrupted=True, phases=phases)
    failures: list[str] = []
    try:
        with quiet_stdout():  # what plugins print is not our answer
            plans = plan_all(request, choice, progress, failures)
            record.planned(plans)
            phases.ended("weights and plan")
            progress.start(sum(len(plan.cells()) for plan in plans))
            make_dropped_again(store, plans)
            with Dispatch(whereabouts(request, digest)) as dispatch:
                for outcome in dispatch.outcomes(stages(plans)):
                    outcomes.append(outcome)
                    phases.ended(outcome.cell.kind)
                    progress.finished(outcome)
                record.content["engine"] = about = dispatch.about()
                if more := {name: value for name, value in about.items() if name != "reference"}:
                    progress.say(f"{request.engine}: " + ", ".join(f"{name} {value}" for name, value in more.items()))
            if request.keep == "none":
                drop_maps(store, plans)
            if request.audit:
                _audit(store, choice, progress)
                phases.ended("audit")
        summary = Summary(outcomes, failures=tuple(failures), phases=phases)
    except KeyboardInterrupt:
        progress.say("interrupted: what was finished is kept")
    finally:
        record.ended(summary)
    return summary


def whereabouts(request: Request, digest: str) -> Whereabouts:
    """What workers need to know of a request."""
    return Whereabouts(request.engine, request.out, request.device, request.batch_size, request.keep, digest)


def _audit(store: Store, choice: Choice, progress: Progress) -> None:
    """Put the metrics themselves to the test on this kind of data, once."""
    for verdict, known in verdicts(store, choice.tasks, choice.metrics):
        if not known:
            reason = f": {verdict['reason']}" if verdict["reason"] else ""
            progress.say(f"audit of {verdict['metric']} on {verdict['task']}: {verdict['verdict']}{reason}")


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """A scheduler's SIGTERM ends a run as Ctrl-C does: what is finished is kept, and the record is written."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Record:
    """The record of one run, rewritten whole at every change."""

    def __init__(self, store: Store, request: Request, choice: Choice, argv: list[str], environment: str) -> None:
        self.store = store
        now = time.time()
        self.run_id = _next_id(store, now)
        self.content: dict[str, Any] = {
            "argv": argv,
            "request": {**asdict(request), "out": str(request.out)},
            # In full, since `default` and `all` mean other plugins elsewhere and later.
            "chosen": {
                group: [plugin.reference for plugin in found if isinstance(plugin, Loaded)]
                for group, found in vars(choice).items()
            },
            "started": now,
            "environment": environment,
            "status": "started",
            "subjects": [],
            "cells": [],
        }
        self._save()

    def _save(self) -> None:
        self.store.save_run(self.run_id, self.content)

    def planned(self, plans: list[SubjectPlan]) -> None:
        """Write down the plan before any work."""
        self.content["subjects"] = [
            {
                "labels": dict(plan.predict.labels),
                "key": plan.predict.key,
                "classes": list(plan.subject.task.plugin.classes),
                "weights": plan.subject.prepared.digest,
                "training": dict(plan.subject.prepared.report),
                "count": plan.predict.count,
            }
            for plan in plans
        ]
        self.content["cells"] = [_row(cell) for plan in plans for cell in plan.cells()]
        self._save()

    def ended(self, summary: Summary) -> None:
        """Write down how each cell ended."""
        ends = {outcome.cell.key: outcome for outcome in summary.outcomes}
        for row in self.content["cells"]:
            if outcome := ends.get(row["key"]):
                row |= {"status": outcome.status, "reason": outcome.reason}
                if not outcome.cached:  # what it took, for the estimates of later runs
                    row["seconds"] = round(outcome.seconds, 6)
        self.content |= {
            "status": "interrupted" if summary.interrupted else "ended",
            "counts": summary.counts(),
            "failures": list(summary.failures),
            "phases": {name: round(seconds, 3) for name, seconds in summary.phases.seconds.items()},
            "seconds": round(time.time() - self.content["started"], 3),
        }
        self._save()


def _next_id(store: Store, now: float) -> str:
    """A name that sorts after those of all runs before it, even where the clock was set back between them."""
    moment = datetime.fromtimestamp(now, UTC)
    latest = max(store.files.tree("runs"), default="")
    with suppress(ValueError):  # no run yet, or a file that is no run's
        moment = max(moment, datetime.strptime(f"{latest[:22]}+0000", f"{STAMP}%z") + timedelta(microseconds=1))
    return f"{moment.strftime(STAMP)}-{uuid.uuid4().hex[:6]}"


def _row(cell: Cell) -> dict[str, Any]:
    return {
        "key": cell.key,
        "kind": cell.kind,
        "labels": dict(cell.labels),
        "cards": {name: dict(card) for name, card in cell.cards.items()} if cell.verdict != "ok" else {},
        "count": cell.count,
        "total": cell.total,
        "status": "planned" if cell.verdict == "ok" else cell.verdict,
        "reason": cell.reason,
    }
