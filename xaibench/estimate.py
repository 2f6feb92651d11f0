"""What a run will cost before it is begun: passes, seconds and memory of every cell that is still to be done.

Each explainer is tried on a few images with each model, by the code of the run itself; each metric is tried on the maps
of the quickest explainer that it can score, for its cost hardly depends on whose map it is. Where an earlier run on
this machine has the figure, that one is taken. Of a model that is not trained yet the network as it begins is tried,
and the training is estimated from its first steps.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from xaibench.estimate_cost import Cost, Row
from xaibench.estimate_gpu import Gpu, Roofline, Traffic, traffic
from xaibench.estimate_history import History
from xaibench.estimate_probe import Probe, Trial, cheapest
from xaibench.estimate_training import training_seconds
from xaibench.orders import Order, Prepared
from xaibench.planning import plan_subject
from xaibench.runner import UNTRAINED
from xaibench.store import SHARD, Store
from xaibench.variants import order_of, parse
from xaibench.weights import build, digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xaibench.contracts import Cell
    from xaibench.planning import Choice, SubjectPlan
    from xaibench.runner import Request

    Say = Callable[[str], None]

FEW = 2  # images for metrics whose quickest explainer is slow


def estimate(request: Request, choice: Choice, plans: Sequence[SubjectPlan], say: Say, gpu: Gpu | None) -> list[Row]:
    """A row for every training and every cell that is to be done; nothing is kept of the trials."""
    history = History(Store(request.out), request) if gpu is None else None  # other machines have other seconds
    rows: list[Row] = []
    for plan in plans:
        with tempfile.TemporaryDirectory(prefix="xaibench-estimate-") as folder:
            subject = _Subject(plan, choice, request, Probe(Path(folder), request.device, request.batch_size))
            rows += subject.trainings(say, gpu)
            rows += subject.cells(say, history, gpu)
    return rows


class _Subject:
    """One model on one fold of one task."""

    def __init__(self, plan: SubjectPlan, choice: Choice, request: Request, probe: Probe) -> None:
        self.plan, self.request, self.probe, self.store = plan, request, probe, Store(request.out)
        subject = plan.subject
        self.order = Order(subject.model, subject.task, subject.fold, subject.terms.seed)
        others = {name: self._begun(prepared, name) for name, prepared in subject.others.items()}
        here = replace(subject, prepared=self._begun(subject.prepared, ""), others=others)
        self.twin = plan_subject(here, choice)  # the same cells in the same order, of weights that are there
        self.trials: dict[str, Trial] = {}
        self.failures: dict[str, str] = {}
        self.flat: set[str] = set()  # keys of explanations that show nothing
        self.traffic: Traffic | None = None

    def _begun(self, prepared: Prepared, variant: str) -> Prepared:
        """Weights to try with: those that are kept, or those that a training begins with."""
        if prepared is not UNTRAINED:
            return prepared
        return Prepared(digest_of(build(order_of(parse(variant), self.order))), None)

    # ------------------------------------------------------------------------------------------------- trainings

    def trainings(self, say: Say, gpu: Gpu | None) -> list[Row]:
        """Those that are still to be done."""
        subject = self.plan.subject
        wanted = {"": subject.prepared, **subject.others}
        untrained = [name for name, prepared in wanted.items() if prepared is UNTRAINED]
        if not untrained:
            return []
        say(f"trying the first steps of training {subject.model.label}")
        seconds = training_seconds(self.order, self.request.device)
        how = "its first steps" if seconds else "the model tells of no steps"
        if gpu and seconds:
            self._remember(self.twin.predict, self.probe.tried(self.twin.predict, SHARD))
            seconds, how = self._roofline(gpu).training(seconds, self._bare()), f"{how}, passes as on a {gpu.name}"
        cost = Cost(seconds, how=how)
        labels = subject.labels()
        return [Row("train", labels | ({"variant": name} if name else {}), None, cost) for name in untrained]

    def _roofline(self, gpu: Gpu) -> Roofline:
        if self.traffic is None:
            bench = self.probe.worker.bench
            self.traffic = traffic(bench, self.twin.predict)
        return Roofline(gpu, self.traffic)

    # ----------------------------------------------------------------------------------------------------- cells

    def cells(self, say: Say, history: History | None, gpu: Gpu | None) -> list[Row]:
        """All that is still to be done, with its cost."""
        pairs = list(zip(self.plan.cells(), self.twin.cells(), strict=True))
        todo = [(cell, twin) for cell, twin in pairs if cell.verdict == "ok" and self._waits(cell)]
        known = {cell.key: cost for cell, _ in todo if history and (cost := history.cost(cell))}
        self._try([twin for cell, twin in todo if cell.key not in known], say)
        return [
            Row(cell.kind, dict(cell.labels), cell.key, known.get(cell.key) or self._cost(twin, gpu))
            for cell, twin in todo
        ]

    def _waits(self, cell: Cell) -> bool:
        trained = self.plan.subject.prepared is not UNTRAINED
        return not trained or bool(self.store.missing(cell.key, cell.count))

    def _try(self, twins: Sequence[Cell], say: Say) -> None:
        """Try what stands for each of these: predictions, then explainers, then metrics on the quickest maps."""
        labels = self.plan.subject.labels()
        if not twins:
            return
        say(f"trying {labels['model']} on {labels['task']}")
        if self._kind(self.twin.predict) not in self.trials:
            self._remember(self.twin.predict, self.probe.tried(self.twin.predict, SHARD))
        kinds = {self._kind(twin): twin for twin in reversed(self.twin.cells()) if not twin.identity.get("variant")}
        plain = [cell for cell in kinds.values() if cell.kind == "explain" and cell.verdict == "ok"]
        wanted = {self._kind(twin) for twin in twins}
        scores = [twin for twin in twins if twin.kind == "score"]
        for cell in plain if scores else [cell for cell in plain if self._kind(cell) in wanted]:
            self._remember(cell, self.probe.adaptive(cell))
        by_metric: dict[str, list[Cell]] = defaultdict(list)
        for cell in scores:
            by_metric[cell.references["metric"]].append(cell)
        for cells in by_metric.values():
            self._try_metric(cells)

    def _try_metric(self, cells: Sequence[Cell]) -> None:
        """On the maps of the quickest explainer that shows something."""
        scored = {cell.inputs["maps"]: cell for cell in cells}
        makers = cheapest([cell for cell in self.plan_cells("explain") if cell.key in scored], self.trials)
        self.flat |= {maker.key for maker in makers if not self.probe.shows(maker, self.trials[maker.key].count)}
        for empty in (False, True):  # what is flat is not scored: that takes no time, and must not stand for the rest
            fit = [one for one in makers if (one.key in self.flat) == empty]
            # A network that has not learned may show nothing of some images: of those the next explainer may.
            whole = (one for one in fit if empty or self.probe.shows_all(one, self._most(one)))
            if maker := next(whole, fit[0] if fit else None):
                self._try_on(scored[maker.key], self._most(maker))

    def _try_on(self, cell: Cell, count: int) -> None:
        """A score, after the maps that it reads."""
        inputs = [one for one in self.plan_cells("explain") if one.key in cell.inputs.values()]
        made = [self.probe.tried(one, count) for one in inputs]
        trouble = next((one for one in made if isinstance(one, str)), "")
        self._remember(cell, trouble or self.probe.adaptive(cell, count))

    def _most(self, maker: Cell) -> int:
        trial = self.trials[maker.key]
        quick = trial.inside / trial.count * SHARD < 1.0
        return min(SHARD if quick else FEW, maker.total)

    def plan_cells(self, kind: str) -> list[Cell]:
        """The cells to try of one kind, that can be had."""
        return [cell for cell in self.twin.cells() if cell.kind == kind and cell.verdict == "ok"]

    def _remember(self, cell: Cell, found: Trial | str) -> None:
        if isinstance(found, str):
            self.failures[self._kind(cell)] = f"the trial failed: {found}"
        else:
            self.trials[cell.key] = self.trials[self._kind(cell)] = found

    def _kind(self, cell: Cell) -> str:
        """What costs the same: variants and targets of an explainer, all explainers under one metric."""
        name = "metric" if cell.kind == "score" else "explainer"
        flat = "flat" if cell.inputs.get("maps") in self.flat else ""
        return f"{cell.kind}|{cell.references.get(name, '')}|{flat}"

    def _cost(self, twin: Cell, gpu: Gpu | None) -> Cost:
        trial = self.trials.get(self._kind(twin))
        if trial is None:
            return Cost(how=self.failures.get(self._kind(twin), "not tried"))
        seconds = trial.seconds_for(twin.count, variant=bool(twin.identity.get("variant")))
        forward, backward = trial.forward * twin.count, trial.backward * twin.count
        cost = Cost(
            seconds, forward, backward, trial.peak_for(self.request.batch_size), f"a trial of {trial.count} image(s)"
        )
        if gpu is None:
            return cost
        return self._roofline(gpu).cell(cost, self._bare(), twin.identity["precision"])

    def _bare(self) -> float:
        """Seconds of one image forward, here."""
        shards = self.probe.worker.bench.store.shards(self.twin.predict.key, min(SHARD, self.twin.predict.total)) or []
        seconds: float = min(seconds for shard in shards for seconds in shard.column("seconds"))
        return seconds
