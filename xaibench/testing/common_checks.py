"""Promises of every kind of plugin."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from xaibench import variants
from xaibench.contracts import ExplainerNeed, MetricNeed
from xaibench.errors import UsageError, XaibenchError
from xaibench.factories import is_factory, is_literal, signature
from xaibench.references import UNQUOTED_TARGET
from xaibench.testing.checks import KINDS, promise
from xaibench.testing.subjects import one
from xaibench.testing.verdicts import Broken, NotAsked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

PATIENCE = 300  # seconds for another process to make the plugin and use it
CHOICES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "explainers": {"sign": ("positive", "signed"), "reference": ("", "floor", "ceiling")},
}
SUBSETS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "explainers": {"needs": get_args(ExplainerNeed)},
    "metrics": {"needs": get_args(MetricNeed)},
    "models": {"needs": ("masks",), "provides": ("gradients", "cam_layer", "attention")},
}


@promise(*KINDS)
def card(trial: Any) -> None:
    """The card holds what the contract asks for, and nothing that it does not know."""
    kind, values = trial.subject.kind, trial.made.card
    for problem in (*_general(values), *_choices(kind, values), *_of_metric(kind, values)):
        raise Broken(problem)


def _general(values: Mapping[str, Any]) -> Iterator[str]:
    if not values["name"] or not UNQUOTED_TARGET.fullmatch(values["name"]):
        yield f"card.name is {values['name']!r}: give a name without commas, quotes and parentheses"
    if not str(values["summary"]).strip():
        yield "card.summary is empty: say in one line what it is"
    if type(values["version"]) is not int or values["version"] < 1:
        yield f"card.version is {values['version']!r}: it counts from 1"


def _choices(kind: str, values: Mapping[str, Any]) -> Iterator[str]:
    for name, allowed in CHOICES.get(kind, {}).items():
        if values[name] not in allowed:
            yield f"card.{name} is {values[name]!r}: it may be {_listed(allowed)}"
    for name, allowed in SUBSETS.get(kind, {}).items():
        unknown = [value for value in values[name] if value not in allowed]
        if unknown or isinstance(values[name], str):
            yield f"card.{name} is {values[name]!r}: it is a set of {_listed(allowed)}"


def _of_metric(kind: str, values: Mapping[str, Any]) -> Iterator[str]:
    if kind != "metrics":
        return
    low, high = _bounds(values)
    if low >= high:
        yield f"card.lowest is {values['lowest']}, card.highest {values['highest']}: the one lies below the other"
    if list(values["curve"]) != sorted(set(values["curve"])):
        yield "card.curve must name its places from left to right, each once"
    for name in values["variants"]:
        try:
            variants.parse(name)
        except UsageError as error:
            yield f"card.variants: {error}"


def _bounds(values: Mapping[str, Any]) -> tuple[float, float]:
    low, high = values["lowest"], values["highest"]
    return -np.inf if low is None else low, np.inf if high is None else high


def _listed(values: tuple[str, ...]) -> str:
    return ", ".join(map(repr, values))


@promise(*KINDS)
def parameters(trial: Any) -> None:
    """Every parameter has a default that can be typed: a number, a text, true, false or none."""
    factory = trial.subject.factory
    if not is_factory(factory):
        raise NotAsked("it is an object, made without parameters")
    given = _given(trial)
    for name, parameter in signature(factory).parameters.items():
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            continue
        if name in given and parameter.default is parameter.empty:
            continue  # the plugin is called by it, as in torchvision:vgg11
        if parameter.default is parameter.empty:
            raise Broken(f"parameter {name} has no default: nobody can use the plugin by its name alone")
        if not is_literal(parameter.default):
            raise Broken(
                f"the default of {name} is {parameter.default!r}, which no reference can spell, "
                "so that it is missing from the record of what was run"
            )


def _given(trial: Any) -> Mapping[str, Any]:
    """The parameters it was made with, if it could be."""
    try:
        params: Mapping[str, Any] = trial.made.params
    except XaibenchError:
        return {}
    return params


@promise(*KINDS, after=("card", "works"), late=True)
def quiet(trial: Any) -> None:
    """Nothing is printed to stdout, which belongs to results; warnings and logs may go to stderr."""
    _ = trial.first
    if trial.watch.printed:
        raise Broken(f"it prints {trial.watch.printed[:60]!r} to stdout: use the logging or warnings module")


@promise(*KINDS, after=("card", "works"), late=True)
def generators(trial: Any) -> None:
    """The global random generators of Python, numpy and torch are left as they were."""
    _ = trial.first
    if trial.watch.generators:
        raise Broken(
            f"it draws from, or seeds, {_several(trial.watch.generators)}: make a generator from a seed you are given, "
            "as numpy.random.default_rng(seed) or torch.Generator().manual_seed(seed)"
        )


@promise(*KINDS, after=("card", "works"), late=True)
def settings(trial: Any) -> None:
    """Global settings of torch and numpy (gradients, threads, number type, determinism) are left as they were."""
    _ = trial.first
    if trial.watch.settings:
        raise Broken(f"it leaves {_several(trial.watch.settings)} changed: put it back, best by a `with` block")


def _several(names: set[str]) -> str:
    return ", ".join(sorted(names))


@promise(*KINDS, after=("card", "works", "same-again"), late=True)
def elsewhere(trial: Any) -> None:
    """Made again by its reference in another process, it gives the same: runs are spread over processes."""
    subject = trial.subject
    if not subject.reference:
        raise NotAsked("it is not at the top of a module or file, so no other process could make it")
    here, there = trial.evidence(), _found_elsewhere(subject)
    for name, expected in here.items():
        if not _same(expected, there[name]):
            raise Broken(
                f"its {name} are others in another process: does it depend on hash(), id(), the time, the order of a "
                "set, or on what was done before?"
            )


def _same(here: NDArray[Any], there: NDArray[Any]) -> bool:
    if here.dtype.kind != "f" or here.shape != there.shape:
        return np.array_equal(here, there)
    scale = np.abs(here).max(initial=0)
    return np.allclose(here, there, rtol=1e-5, atol=1e-5 * float(scale), equal_nan=True)


def _found_elsewhere(subject: Any) -> dict[str, NDArray[Any]]:
    with tempfile.TemporaryDirectory(prefix="xaibench-check-") as folder:
        request, answer = Path(folder, "request.json"), Path(folder, "answer.npz")
        asked = {"kind": subject.kind, "reference": subject.reference, "profile": subject.profile}
        request.write_text(json.dumps(asked), encoding="utf-8")
        path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
        done = subprocess.run(  # noqa: S603  # our own interpreter on our own module
            [sys.executable, "-P", "-m", "xaibench.testing.elsewhere", str(request), str(answer)],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line[:1].strip()] or ["no word"]
            raise Broken(f"another process cannot use this {one(subject.kind)} as {subject.reference}: {said[-1]}")
        with np.load(answer, allow_pickle=False) as found:
            return dict(found)
