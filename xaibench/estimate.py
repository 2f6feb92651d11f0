"""What a run will cost before it is begun: passes, seconds and memory of every cell that is still to be done.

Each explainer is tried on a few images with each model, by the code of the run itself; each metric is tried on the maps
of some quick explainers that it can score, and the middle one tells, for its cost depends little on whose map it is.
Where an earlier run on this machine has the figure, that one is taken. Of a model that is not trained yet the network
as it begins is tried, and the training is estimated from its first steps.
"""

from __future__ import annotations

import itertools
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
SEVERAL, QUICK = 3, 1.0  # explainers whose maps a metric is tried on, as long as it takes no more seconds for one


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
        self.shown: dict[str, float] = {}  # by the key of explanations, how many of them show something
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
        """On maps that show something, and on maps that show nothing: these are not scored, which takes no time."""
        scored = {cell.inputs["maps"]: cell for cell in cells}
        makers = cheapest([cell for cell in self.plan_cells("explain") if cell.key in scored], self.trials)
        for one in makers:
            if one.key not in self.shown:
                self.shown[one.key] = self.probe.shown(one, self.trials[one.key].count)
        for empty in (False, True):
            fit = [one for one in makers if self._is_flat(one.key) == empty]
            fit.sort(key=lambda one: self._preferred(one, scored[one.key]))
            # A network that has not learned may show nothing of some images: of those the next explainer may.
            whole = (one for one in fit if empty or self.probe.shows_all(one, self._most(one, scored[one.key])))
            if chosen := list(itertools.islice(whole, SEVERAL)) or fit[:1]:
                self._try_on(chosen, [scored[one.key] for one in chosen])

    def _is_flat(self, maps: str) -> bool:
        """Whether most of these maps show nothing."""
        return self.shown.get(maps, 1.0) < 0.5

    def _preferred(self, maker: Cell, cell: Cell) -> tuple[int, bool]:
        """Many images first; then maps as most of a run are, if they are there, for a floor's may be easy to score."""
        typical = self._is_made(maker, cell) and not maker.cards["explainer"]["reference"]
        return -self._most(maker, cell), not typical

    def _is_made(self, maker: Cell, cell: Cell) -> bool:
        """Whether the score reads no other maps than those that were made to try the explainer."""
        return set(cell.inputs.values()) <= {maker.key, self.twin.predict.key}

    def _try_on(self, makers: Sequence[Cell], scores: Sequence[Cell]) -> None:
        """Quick scores of several explainers' maps: the middle one tells, for some maps are hard or easy to score."""
        found: list[Trial] = []
        for maker, cell in zip(makers, scores, strict=True):
            trial = self._tried(cell, self._most(maker, cell))
            if isinstance(trial, str):
                self._remember(cell, trial)
                return
            found.append(trial)
            if trial.seconds > QUICK or not self._is_made(maker, cell):
                break
        self._remember(scores[0], sorted(found, key=lambda trial: trial.seconds / trial.count)[len(found) // 2])

    def _tried(self, cell: Cell, count: int) -> Trial | str:
        """A score, after the maps that it reads."""
        inputs = [one for one in self.plan_cells("explain") if one.key in cell.inputs.values()]
        made = [self.probe.tried(one, count) for one in inputs]
        trouble = next((one for one in made if isinstance(one, str)), "")
        return trouble or self.probe.adaptive(cell, count)

    def _most(self, maker: Cell, cell: Cell) -> int:
        """Images to try a score on."""
        trial = self.trials[maker.key]
        if self._is_made(maker, cell):
            return trial.count
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
        flat = "flat" if self._is_flat(cell.inputs.get("maps", "")) else ""
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
