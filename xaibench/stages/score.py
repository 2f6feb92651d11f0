"""Numbers: stored maps become cases, cases become one value per image."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from xaibench.cases import taken
from xaibench.contracts import Case, Curved
from xaibench.errors import Damaged, Unsupported
from xaibench.isolation import isolated_randomness
from xaibench.normalise import invalid, normalise
from xaibench.seeds import derive
from xaibench.variants import parse
from xaibench.workbench import gate_masks, regions_of, stack, union

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xaibench.contracts import Cell, Metric, Sample, Scores
    from xaibench.store import Shard
    from xaibench.workbench import Workbench

    Scored: TypeAlias = tuple[float | None, list[float | None] | None]


def score(cell: Cell, bench: Workbench) -> None:
    """Score and store all samples of the cell that the metric applies to."""
    metric: Metric = bench.plugin("metrics", cell.references["metric"]).plugin
    for span in bench.todo(cell):
        shards = {name: _input(bench, cell, name, span) for name in cell.inputs}
        try:
            record = _score_span(cell, bench, metric, span, shards)
        except Damaged as error:
            bench.set_aside_damaged(shards.values())
            msg = "a file of heatmaps is not what was written: it is set aside, and the same command makes it again"
            raise Damaged(msg) from error
        bench.store.commit(cell.key, span, record)


def _score_span(
    cell: Cell, bench: Workbench, metric: Metric, span: tuple[int, int], shards: dict[str, Shard]
) -> dict[str, Any]:
    card = cell.cards["metric"]
    samples = bench.samples(cell, bench.entries(cell, *span))
    flaws = _flaws(cell, shards)
    right = _right(shards["prediction"])
    applies = [
        applicable(card, sample) and (one or "correct" not in card["needs"]) and shows(cell.cards["explainer"], sample)
        for sample, one in zip(samples, right, strict=True)
    ]
    valid = [row for row, sample_applies in enumerate(applies) if sample_applies and not flaws[row]]
    found = dict(zip(valid, _values(cell, bench, metric, samples, shards, valid), strict=True))
    values = {row: value for row, (value, _) in found.items()}
    curves = [found[row][1] if row in found else None for row in range(len(samples))]
    return {
        "ids": [sample.entry.id for sample in samples],
        "patients": [sample.entry.patient for sample in samples],
        "applies": applies,
        "lesion_share": [float(union(sample.lesions, sample.image.shape[1:]).mean()) for sample in samples],
        "flaws": flaws,
        "values": [values.get(row, card["worst"] if flaws[row] else None) for row in range(len(samples))],
        "environment": bench.setting.environment,
        **({"curves": curves} if card["curve"] else {}),
    }


def applicable(card: Mapping[str, Any], sample: Sample) -> bool:
    """Whether a metric has a meaning for this sample."""
    needs, region = card["needs"], card["region"]
    if ("mask" in needs and not has_lesion(sample)) or ("normal" in needs and has_lesion(sample)):
        return False
    return not region or (region in sample.regions and bool(sample.regions[region].any()))


def shows(card: Mapping[str, Any], sample: Sample) -> bool:
    """Whether an explainer has anything to show: one that draws the truth has not failed where there is none."""
    return "masks" not in card["needs"] or has_lesion(sample)


def has_lesion(sample: Sample) -> bool:
    """Whether a lesion is marked."""
    return any(mask.any() for mask in sample.lesions)


def _right(shard: Shard) -> list[bool]:
    """Which images the model classifies correctly."""
    said = np.array(shard.column("logits"), dtype=np.float64).argmax(axis=1)
    return [truth == int(one) for truth, one in zip(shard.column("truth"), said, strict=True)]


def _input(bench: Workbench, cell: Cell, name: str, span: tuple[int, int]) -> Shard:
    shard = bench.store.shard(cell.inputs[name], *span)
    if shard is None:
        trouble = bench.store.troubles(cell.inputs[name]) or {}
        cause = trouble.get("reason", "they were never made")
        msg = f"no {name} to score: {cause}"
        raise Unsupported(cause) if trouble.get("status") == "unsupported" else RuntimeError(msg)
    return shard


def _flaws(cell: Cell, shards: dict[str, Shard]) -> list[str]:
    """Why a map cannot be scored, per image; a metric that does not look at maps scores them all."""
    card, sign = cell.cards["metric"], cell.identity["sign"]
    if not card["uses_map"]:
        return [""] * len(shards["maps"].column("ids"))
    flaws = [invalid(shards["maps"].maps(), sign)]
    for name in card["variants"]:
        # A spoilt network that shows nothing has answered: only what is no number at all fails there.
        maps, lenient = shards[name].maps(), parse(name).may_be_flat
        flaws.append(
            [
                "" if lenient and np.isfinite(one).all() else flaw
                for one, flaw in zip(maps, invalid(maps, sign), strict=True)
            ]
        )
    return [next(filter(None, several), "") for several in zip(*flaws, strict=True)]


def _values(
    cell: Cell,
    bench: Workbench,
    metric: Metric,
    samples: Sequence[Sample],
    shards: dict[str, Shard],
    rows: list[int],
) -> list[Scored]:
    """The metric's answers for the given rows."""
    if not rows:
        return []
    chosen = [samples[row] for row in rows]
    case = _case(cell, bench, chosen, shards, rows)
    if case.classifier is None or bench.batch_size(cell) > 1:
        return _score_case(cell, bench, metric, case, chosen)
    # A network whose gate belongs to one image is given to the metric with one image at a time.
    parts = [_score_case(cell, bench, metric, taken(case, [row]), chosen[row : row + 1]) for row in range(len(rows))]
    return [answer for part in parts for answer in part]


def _score_case(cell: Cell, bench: Workbench, metric: Metric, case: Case, samples: Sequence[Sample]) -> list[Scored]:
    seed = derive("score", cell.identity["seed"], cell.cards["metric"]["name"], *case.seeds)
    gate = case.classifier.bind(gate_masks(samples, cell.cards["model"]["sees"])) if case.classifier else nullcontext()
    guard = bench.guard(cell) if case.classifier else None
    with isolated_randomness(seed), gate:
        answer = metric.score(case)
    if guard and (changed := guard.changes()):
        bench.forget_classifiers()
        msg = f"{cell.labels['metric']} changed the model: {changed}"
        raise RuntimeError(msg)
    return _answers(answer, cell, len(samples))


def _answers(answer: Any, cell: Cell, count: int) -> list[Scored]:
    """Value and curve of every image, checked."""
    metric, places = cell.labels["metric"], cell.cards["metric"]["curve"]
    curved = isinstance(answer, Curved)
    if curved != bool(places):
        returned, card = ("a curve", "has no") if curved else ("no curve", "names the places of its")
        msg = f"{metric} returned {returned}, but its card {card} `curve`"
        raise ValueError(msg)
    values = _checked(answer.values if curved else answer, metric, (count,))
    curves = _checked(answer.curves, metric, (count, len(places))) if curved else [None] * count
    return list(zip(values, curves, strict=True))


def _checked(values: Any, metric: str, shape: tuple[int, ...]) -> list[Any]:
    """Plain numbers; what is undefined is None."""
    array = np.asarray(values, dtype=np.float64)
    if array.shape != shape:
        asked = "one per image" if len(shape) == 1 else "one per image and place on the curve"
        msg = f"{metric} returned values of shape {array.shape} for {shape[0]} images; {asked} is asked"
        raise ValueError(msg)
    if np.isinf(array).any():
        msg = f"{metric} returned an infinite value; NaN stands for undefined"
        raise ValueError(msg)
    plain = array.astype(object)
    plain[np.isnan(array)] = None
    return list(plain.tolist())


def _case(
    cell: Cell,
    bench: Workbench,
    samples: Sequence[Sample],
    shards: dict[str, Shard],
    rows: list[int],
) -> Case:
    maps, sign, card = shards["maps"], cell.identity["sign"], cell.cards["metric"]
    raw = maps.maps()[rows]
    shape = raw.shape[1:]
    logits = _column(shards["prediction"], "logits", rows).astype(np.float32)
    return Case(
        maps=normalise(raw, sign) if card["uses_map"] else raw,
        raw=raw,
        images=stack(samples),
        masks=np.stack([union(sample.lesions, shape) for sample in samples]),
        lesions=tuple(sample.lesions for sample in samples),
        regions=regions_of(samples),
        labels=np.array([sample.entry.label for sample in samples]),
        targets=_column(maps, "targets", rows).astype(np.int64),
        predictions=logits.argmax(axis=1),
        logits=logits,
        seeds=tuple(maps.column("seeds")[row] for row in rows),
        seconds=_column(maps, "seconds", rows),
        forward=_column(maps, "forward", rows),
        backward=_column(maps, "backward", rows),
        peak_bytes=_column(maps, "peak_bytes", rows) if "peak_bytes" in maps.record else None,
        bare_seconds=_bare_seconds(cell, bench, shards, len(rows)),
        variants={name: normalise(shards[name].maps()[rows], sign) for name in card["variants"]},
        classifier=bench.classifier(cell) if "model" in card["needs"] else None,
    )


def _bare_seconds(cell: Cell, bench: Workbench, shards: dict[str, Shard], count: int) -> Scores | None:
    """The least time per sample of any pass of the predictions; None if the maps were made elsewhere than these."""
    if cell.cards["metric"]["family"] != "cost":
        return None
    place = tuple(shards["maps"].record.get(name) for name in ("environment", "device"))
    least = bench.least_seconds(cell.inputs["prediction"], cell.count).get(place)
    return None if least is None else np.full(count, least)


def _column(shard: Shard, name: str, rows: list[int]) -> Scores:
    return np.array(shard.column(name), dtype=np.float64)[rows]
