"""Maps of one film: made, timed and counted one explainer at a time; what cannot be had says why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from xaibench import variants
from xaibench.batching import is_out_of_memory
from xaibench.clock import now
from xaibench.contracts import Batch
from xaibench.errors import Unsupported
from xaibench.isolation import isolated_randomness
from xaibench.normalise import invalid
from xaibench.planning import explain_verdict, label_of
from xaibench.registry import Broken
from xaibench.workbench import Setting, Workbench, gate_masks, union

if TYPE_CHECKING:
    from xaibench.contracts import Floats, Sample, Status
    from xaibench.explaining.subject import Subject
    from xaibench.normalise import SignPolicy
    from xaibench.registry import Loaded


@dataclass(frozen=True, eq=False)
class Explanation:
    """One map, or why there is none."""

    explainer: str
    status: Status
    reason: str = ""
    raw: Floats | None = None  # [H, W], as the explainer gave it; there even if it failed by being flat
    seconds: float | None = None
    forward: int | None = None  # images that went through the network
    backward: int | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Terms:
    """What else decides a map."""

    target: int
    seed: int
    sign: SignPolicy


def explain_film(subject: Subject, explainer: Loaded | Broken, sample: Sample, terms: Terms) -> Explanation:
    """The map of one explainer. Whatever a plugin raises ends this map and no other."""
    status, reason = _verdict(subject, explainer, sample)
    if status != "ok" or isinstance(explainer, Broken):
        return Explanation(label_of(explainer), status, reason)
    try:
        return _made(subject, explainer, sample, terms)
    except Unsupported as error:
        return Explanation(explainer.label, "unsupported", str(error))
    except Exception as error:  # a plugin may raise anything
        failure: Status = "oom" if is_out_of_memory(error) else "failed"
        return Explanation(explainer.label, failure, f"{type(error).__name__}: {' '.join(str(error).split())}")


def _verdict(subject: Subject, explainer: Loaded | Broken, sample: Sample) -> tuple[Status, str]:
    if isinstance(explainer, Broken):
        return "unavailable", explainer.error
    if "masks" in explainer.card["needs"] and not sample.lesions:
        return "unsupported", f"{explainer.name} draws where the lesions are: give them with --mask"
    return explain_verdict(subject.model, explainer, variants.PLAIN, subject.classifier.classes)


def _made(subject: Subject, explainer: Loaded, sample: Sample, terms: Terms) -> Explanation:
    classifier = subject.classifier
    batch = _batch(subject, explainer, sample, terms)
    before = (classifier.counters.forward, classifier.counters.backward)
    with isolated_randomness(batch.seeds[0]), classifier.bind(gate_masks([sample], subject.model.card["sees"])):
        started = now(classifier.device)
        maps = explainer.plugin.explain(classifier, batch)
        seconds = now(classifier.device) - started
    plain = maps.detach().float().cpu().numpy() if isinstance(maps, torch.Tensor) else maps
    array = np.array(plain, dtype=np.float32)
    flaw = invalid(array, terms.sign, (1, *sample.image.shape[1:]))[0]
    return Explanation(
        explainer.label,
        "failed" if flaw else "ok",
        flaw,
        array[0] if array.ndim == 3 else None,
        seconds,
        classifier.counters.forward - before[0],
        classifier.counters.backward - before[1],
        batch.seeds[0],
    )


def _batch(subject: Subject, explainer: Loaded, sample: Sample, terms: Terms) -> Batch:
    """A batch of one, with evidence only for the explainers whose card asks for it."""
    needs, device = explainer.card["needs"], subject.classifier.device
    return Batch(
        images=torch.from_numpy(sample.image)[None].to(device),
        targets=torch.tensor([terms.target], device=device),
        ids=(sample.entry.id,),
        # The seed that a benchmark gives a sample of this name: the same film, the same map.
        seeds=(variants.map_seed(variants.PLAIN, terms.seed, sample.entry.id),),
        masks=union(sample.lesions, sample.image.shape[1:])[None] if "masks" in needs else None,
        prior=_prior(subject) if "prior" in needs else None,
    )


def _prior(subject: Subject) -> Floats:
    """Where lesions usually are, as the training images of the task have it."""
    bench = Workbench(Setting(Path(), str(subject.classifier.device), 1, ""))
    return bench.prior(subject.task.reference, subject.fold)
