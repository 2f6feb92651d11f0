"""Film after film through the same network and explainers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from xaibench.errors import UsageError
from xaibench.explaining.maps import Explanation, Terms, explain_film
from xaibench.explaining.subject import Subject, probabilities
from xaibench.guard import Guard
from xaibench.selection import POLICIES, expand_target, target_of
from xaibench.workbench import gate_masks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from xaibench.explaining.films import Film
    from xaibench.normalise import SignPolicy
    from xaibench.registry import Broken, Loaded


@dataclass(frozen=True, eq=False)
class Explained:
    """One film with what the network says of it and what the explainers say of that."""

    name: str  # of its own among the films of one call
    path: Path
    film: Film
    probabilities: Sequence[float]
    target: int  # index of the class that is explained
    explanations: Sequence[Explanation]


@dataclass
class Session:
    """A network, explainers and terms. `make` gives the network anew: an explainer that changed it harms no other."""

    make: Callable[[], Subject]
    explainers: Sequence[Loaded | Broken]
    target: str
    seed: int
    sign: SignPolicy
    subject: Subject = field(init=False)

    def __post_init__(self) -> None:
        self.subject = self.make()
        self._guard = Guard(self.subject.classifier.network)
        self.policy = _one_class(self.target, self.subject.classifier.classes)

    def explain(self, name: str, path: Path, film: Film, tell: Callable[[str], None]) -> Explained:
        """Everything about one film; `tell` hears which explainer is at work."""
        if self.subject.gated and not film.sample.lesions:
            msg = f"{self.subject.model.name} sees no more than a mask allows: give one with --mask"
            raise UsageError(msg)
        with self.subject.classifier.bind(gate_masks([film.sample], self.subject.model.card["sees"])):
            shares = probabilities(self.subject, film.sample)
        likely = max(range(len(shares)), key=shares.__getitem__)
        target = target_of(self.policy, self.subject.classifier.classes, 0, likely)
        terms = Terms(target, self.seed, self.sign)
        made = []
        for explainer in self.explainers:
            one = self._guarded(explainer, film, terms)
            tell(f"{name}: {one.explainer}" + (f" {one.status}: {one.reason}" if one.reason else ""))
            made.append(one)
        return Explained(name, path, film, shares, target, tuple(made))

    def _guarded(self, explainer: Loaded | Broken, film: Film, terms: Terms) -> Explanation:
        found = explain_film(self.subject, explainer, film.sample, terms)
        if not (changed := self._guard.changes()):
            return found
        self.subject = self.make()
        self._guard = Guard(self.subject.classifier.network)
        return Explanation(found.explainer, "failed", f"it changed the model: {changed}")


def _one_class(policy: str, classes: Sequence[str]) -> str:
    """`predicted`, or one class; a film from outside has no truth, and a sheet shows one class."""
    if policy in POLICIES and policy not in (*classes, "predicted"):
        msg = (
            f"--target {policy}: nothing is known of the truth of a film; give predicted or one of {', '.join(classes)}"
        )
        raise UsageError(msg)
    return expand_target(policy, classes)[0]
