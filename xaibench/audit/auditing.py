"""Hold one metric against the witness: does it rank, does it stay the same where nothing changed?

Ranking. On images whose evidence is known, the true region must score above itself under noise, that above itself
under more noise, that above noise alone, and the true region above the same shape in a wrong place. Each step is
checked as seen plainly and as seen otherwise (rescaled, flipped, doubled, quantised); its probability is that of the
mean order under resampling of patients, and must reach `SURE`.
Invariance. Values must not depend on the map's unit, on left and right, on pixel size, on the order or company of
images in a batch, or on the day; they must lie in the declared range; a failed map must be worth the worst value.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xaibench.audit.views import beside_loud_neighbours, doubled, flipped, quantised, rescaled
from xaibench.audit.witness import DISPLACED, LADDER, Witness
from xaibench.batching import is_out_of_memory
from xaibench.cases import taken
from xaibench.contracts import Curved
from xaibench.errors import Unsupported
from xaibench.isolation import isolated_randomness
from xaibench.normalise import invalid, normalise
from xaibench.seeds import derive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from xaibench.contracts import Case, Mask, Metric, Scores
    from xaibench.registry import Loaded

IMAGES = 48
SURE = 0.95
RESAMPLES = 2000
EXACT = 1e-6
# Rescaled maps are rounded, so that a few pixels tie which did not; doubling pixels moves tolerances and ties a little.
TOLERANCES = {"rescaled": 1e-5, "doubled": 0.02}

VIEWS: Mapping[str, Callable[[Case], Case]] = {
    "as they are": lambda case: case,
    "rescaled": rescaled,
    "flipped": flipped,
    "doubled": doubled,
    "quantised": quantised,
}
STEPS = ((LADDER[0], LADDER[1]), (LADDER[1], LADDER[2]), (LADDER[2], LADDER[3]), (LADDER[0], DISPLACED))


@dataclass(frozen=True)
class Check:
    """One thing that was asked of a metric."""

    name: str
    passed: bool
    detail: str
    probability: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"name": self.name, "passed": self.passed, "detail": self.detail, "probability": self.probability}


class Audit:
    """One metric before the witness."""

    def __init__(self, loaded: Loaded, witness: Witness) -> None:
        self.metric: Metric = loaded.plugin
        self.card = loaded.card
        self.witness = witness
        self._seen: dict[tuple[str, str], Scores] = {}

    def case(self, rung: str) -> Case:
        """The case of one rung, with what the metric's card asks for."""
        return self.witness.case(rung, self.card["variants"], "model" in self.card["needs"])

    def score(self, case: Case, rows: slice = slice(None)) -> Scores:
        """The metric's values, as the harness would ask for them."""
        if case.classifier is None:
            return self._scored(case, self.witness.gates[rows])
        # The provable model's gate belongs to one image, so a metric that runs it gets one at a time, as in a run.
        gates = self.witness.gates[rows]
        parts = [self._scored(taken(case, [row]), gates[row : row + 1]) for row in range(len(gates))]
        return np.concatenate(parts)

    def _scored(self, case: Case, gates: Mask) -> Scores:
        gate = self.witness.classifier.bind(gates.copy())  # reversed, one row would keep its negative stride
        with isolated_randomness(derive("audit", self.card["name"])), gate:
            answer = self.metric.score(case)
            return np.asarray(answer.values if isinstance(answer, Curved) else answer, dtype=np.float64)

    def seen(self, rung: str, view: str) -> Scores:
        """Values of a rung under a view, computed once."""
        if (rung, view) not in self._seen:
            self._seen[rung, view] = self.score(VIEWS[view](self.case(rung)))
        return self._seen[rung, view]

    def views(self) -> list[str]:
        """A network is not the same on a flipped or doubled image, so a metric that runs it need not be."""
        turned = {"flipped", "doubled"} if "model" in self.card["needs"] else set()
        return [name for name in VIEWS if name not in turned]

    # ------------------------------------------------------------------------------------------------------- ranking

    def ranking(self) -> Iterator[Check]:
        """Every step of the ladder under every view."""
        for view in self.views():
            for better, worse in STEPS:
                yield self._step(better, worse, view)

    def _step(self, better: str, worse: str, view: str) -> Check:
        sign = 1.0 if self.card["higher_is_better"] else -1.0
        gain = sign * (self.seen(better, view) - self.seen(worse, view))
        probability = probability_of_gain(gain, self.witness.patients)
        means = [float(np.nanmean(self.seen(rung, view))) for rung in (better, worse)]
        return Check(
            name=f"{better} above {worse}, {view}",
            passed=probability >= SURE,
            detail=f"means {means[0]:.4g} and {means[1]:.4g}, in order with probability {probability:.3f}",
            probability=probability,
        )

    # ---------------------------------------------------------------------------------------------------- invariance

    def invariance(self) -> Iterator[Check]:
        """What must not matter."""
        for rung in (LADDER[1], LADDER[3]):
            plain = self.seen(rung, "as they are")
            for view in (name for name in self.views() if name not in ("as they are", "quantised")):
                yield _same(f"{rung} {view}", plain, self.seen(rung, view), TOLERANCES.get(view, EXACT))
            yield _same(f"{rung} again", plain, self.score(self.case(rung)), 0.0)
        yield from self._batches()
        yield self._ties()

    def _batches(self) -> Iterator[Check]:
        case, plain = self.case(LADDER[1]), self.seen(LADDER[1], "as they are")
        last = len(plain) - 1
        alone = self.score(taken(case, [0]), slice(0, 1))
        yield _same("one image alone", plain[:1], alone, EXACT)
        loud = self.score(beside_loud_neighbours(case))
        yield _same("one image beside loud neighbours", plain[:1], loud[:1], EXACT)
        turned = self.score(taken(case, range(last, -1, -1)), slice(None, None, -1))
        yield _same("images in reverse order", plain, turned[::-1], EXACT)

    def _ties(self) -> Check:
        """The lesion and a place of its shape, equally bright: broken by position, the tie turns when flipped."""
        if "flipped" not in self.views():
            return Check("ties", True, "not asked: the metric runs the network")
        both = np.maximum(self.witness.maps(LADDER[0]), self.witness.maps(DISPLACED))
        case = replace(self.case(LADDER[0]), raw=both, maps=normalise(both))
        return _same("ties", self.score(case), self.score(flipped(case)), EXACT)

    # --------------------------------------------------------------------------------------------------------- range

    def range(self) -> Iterator[Check]:
        """Values lie where the card says, and failed maps are worth the worst."""
        low, high = self.card["lowest"], self.card["highest"]
        for rung in (*LADDER, DISPLACED):
            values = self.seen(rung, "as they are")
            inside = (low is None or np.nanmin(values) >= low - EXACT) and (
                high is None or np.nanmax(values) <= high + EXACT
            )
            shown = f"from {np.nanmin(values):.4g} to {np.nanmax(values):.4g}, declared {low} to {high}"
            yield Check(f"range of {rung}", bool(inside), shown)
        if self.card["uses_map"]:
            yield self._failed_maps()

    def _failed_maps(self) -> Check:
        zeros, nans = np.zeros((2, 8, 8), np.float32), np.full((2, 8, 8), np.nan, np.float32)
        caught = all(invalid(zeros)) and all(invalid(nans))
        bad_end = self.card["lowest"] if self.card["higher_is_better"] else self.card["highest"]
        passed = caught and self.card["worst"] == bad_end
        shown = f"all-zero and NaN maps are {'caught' if caught else 'scored'}; worst is {self.card['worst']}"
        return Check("failed maps score worst", passed, f"{shown}, the bad end of the range {bad_end}")


def _same(name: str, one: Scores, other: Scores, tolerance: float) -> Check:
    """Equal values, undefined ones included."""
    if one.shape != other.shape:
        return Check(name, False, f"{len(other)} values instead of {len(one)}")
    same = np.isclose(one, other, rtol=tolerance, atol=tolerance, equal_nan=True)
    worst = float(np.nanmax(np.abs(one - other), initial=0.0)) if not np.isnan(one - other).all() else float("nan")
    return Check(name, bool(same.all()), "the same" if same.all() else f"differs by up to {worst:.4g}")


def probability_of_gain(gain: Scores, patients: list[str]) -> float:
    """How often the mean gain is positive when patients are drawn again; undefined values count as no gain."""
    names, owner = np.unique(patients, return_inverse=True)
    total = np.bincount(owner, weights=np.nan_to_num(gain), minlength=len(names))
    size = np.bincount(owner, minlength=len(names))
    rng = np.random.default_rng(derive("audit", len(names)))
    weights = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES)
    # Sums that are zero but for rounding are no gain.
    return float(np.mean((weights @ total) / (weights @ size) > EXACT))


def audit_metric(loaded: Loaded, witness: Witness) -> dict[str, Any]:
    """The verdict on one metric: pass, fail, descriptive (claims no quality), or not audited, with every check."""
    if why := _no_witness(loaded):
        return not_audited(why)
    audit = Audit(loaded, witness)
    try:
        checks = [*audit.range(), *audit.invariance(), *(audit.ranking() if loaded.card["claims_quality"] else ())]
    except Unsupported as error:
        return not_audited(str(error))
    except (Exception, SystemExit) as error:  # a metric of a stranger may raise anything
        return {
            "verdict": "fail",
            "reason": f"{type(error).__name__}: {error}",
            "checks": [],
            "transient": is_out_of_memory(error),
        }
    failed = [check for check in checks if not check.passed]
    return {
        "verdict": "fail" if failed else "pass" if loaded.card["claims_quality"] else "descriptive",
        "reason": _reason(failed),
        "checks": [check.as_dict() for check in checks],
    }


def not_audited(why: str) -> dict[str, Any]:
    """The verdict where nothing can be known."""
    return {"verdict": "not audited", "reason": why, "checks": []}


def _no_witness(loaded: Loaded) -> str:
    if "normal" in loaded.card["needs"]:
        return "it is measured on images without a lesion, where no map is known to be better"
    if "additive" in loaded.card["needs"]:
        return "it is measured on maps that promise a sum, and the maps whose order is known promise none"
    return f"its region, {loaded.card['region']}, is not what the provable model sees" if loaded.card["region"] else ""


def _reason(failed: list[Check]) -> str:
    if not failed:
        return ""
    more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    return f"{failed[0].name}: {failed[0].detail}{more}"
