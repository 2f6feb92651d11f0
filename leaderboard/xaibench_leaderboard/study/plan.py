"""What a study is: the runs it takes, the tables of the paper, and what is known to differ. One TOML file each."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xaibench.errors import UsageError
from xaibench.references import Reference
from xaibench.references import parse as parse_reference
from xaibench_leaderboard.study.typed import made

if TYPE_CHECKING:
    from collections.abc import Sequence

SEEDS_AT_MOST = 100


@dataclass(frozen=True, kw_only=True)
class Part:
    """One set-up: models on a task, trained as often as there are seeds."""

    name: str
    models: tuple[str, ...]
    task: str
    explainers: tuple[str, ...] = ()  # none: the models' predictions are all that is wanted
    metrics: tuple[str, ...] = ()
    seeds: int = 1
    profile: Literal["quick", "standard", "paper"] = "standard"
    target: str = "predicted"
    limit: int | None = None
    says: str = ""  # what is particular to it, for the captions


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of the paper, or one of ours that the paper has no figures for."""

    name: str  # as the paper calls it; the figures stand under it in the recipes
    title: str
    kind: Literal["overall", "class", "explainer", "training", "ranks"]
    parts: tuple[str, ...]
    rows: tuple[str, ...] = ("*",)  # models, classes or explainers; "*": all that there are
    measures: tuple[str, ...]
    model: str = ""  # of which the classes or explainers are; "": of the only one
    causes: tuple[str, ...] = ()  # of what differs, by name
    shown: str = ""  # what the paper has instead of figures


@dataclass(frozen=True, kw_only=True)
class Quick:
    """What is cut down where there is no GPU. Every table says so."""

    why: str
    model: dict[str, Any] = field(default_factory=dict)  # parameters that all models get
    models: dict[str, dict[str, Any]] = field(default_factory=dict)  # name -> parameters that this one gets instead
    task: dict[str, Any] = field(default_factory=dict)
    seeds: int | None = None
    limit: int | None = None
    limits: dict[str, int] = field(default_factory=dict)  # of parts that cost more than the others
    profile: Literal["", "quick", "standard", "paper"] = ""
    parts: tuple[str, ...] = ()  # only these; none named: all
    drop: tuple[str, ...] = ()  # models, explainers and metrics that take too long, by name
    extra: tuple[Part, ...] = ()  # what is run as it stands, so that a cut can be judged


@dataclass(frozen=True, kw_only=True)
class Study:
    """One paper, or a question of our own."""

    name: str
    title: str
    paper: str = ""
    recipe: str = ""  # where the paper's figures stand of parts whose models follow none
    model: str = ""  # any model that takes the recipes: through it the paper's figures are found
    parts: tuple[Part, ...]
    tables: tuple[Table, ...] = ()
    causes: dict[str, str] = field(default_factory=dict)  # name -> what differs, and which way it pulls
    quick: Quick | None = None
    cut: bool = False  # whether `quick` was applied; no file says so

    def recipe_of(self, part: str) -> str:
        """The recipe that a part follows: what the paper says of one set-up, it does not say of another."""
        models = [model for one in self.parts if one.name == part for model in one.models]
        named = {str(parse_reference(model).params.get("recipe", "")) for model in models} - {""}
        return named.pop() if len(named) == 1 else self.recipe


def names() -> list[str]:
    """The studies that are built in."""
    return sorted(file.name.removesuffix(".toml") for file in _folder().iterdir() if file.name.endswith(".toml"))


def find(name: str) -> Study:
    """A study by its name, or from a TOML file."""
    if name.endswith(".toml"):
        file = Path(name).expanduser()
        if not file.is_file():
            raise UsageError(f"there is no study {file}")
        return parse(file.read_text(encoding="utf-8"), str(file))
    if name not in (known := names()):
        raise UsageError(f"there is no study {name!r}; there are: {', '.join(known)}; or give a .toml file")
    return parse((_folder() / f"{name}.toml").read_text(encoding="utf-8"), f"study {name}")


def _folder() -> Any:
    return resources.files("xaibench_leaderboard") / "study" / "plans"


def parse(text: str, where: str) -> Study:
    """Read a study; what refers to something that is not there is refused."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where} is not TOML: {error}") from error
    study = made(Study, table, where)
    parts = (*study.parts, *(study.quick.extra if study.quick else ()))
    known = {part.name for part in parts}
    for one in study.tables:
        if unknown := set(one.parts) - known:
            raise UsageError(
                f"{where}: {one.name} wants the part {min(unknown)}; there are: {', '.join(sorted(known))}"
            )
        if unknown := set(one.causes) - set(study.causes):
            raise UsageError(f"{where}: {one.name} names the cause {min(unknown)}, which is not explained")
    if len(known) < len(parts):
        raise UsageError(f"{where}: two parts have one name")
    if study.quick:
        _check_cuts(study, study.quick, where)
    return study


def _check_cuts(study: Study, cut: Quick, where: str) -> None:
    """Refuse to cut what is not there."""
    models = {parse_reference(model).target for part in study.parts for model in part.models}
    rows = {parse_reference(one).target for part in study.parts for one in (*part.explainers, *part.metrics)}
    parts = {part.name for part in study.parts}
    for key, named, known in (
        ("models", cut.models, models),
        ("drop", cut.drop, models | rows),
        ("limits", cut.limits, parts),
        ("parts", cut.parts, parts),
    ):
        if unknown := sorted(set(named) - known):
            raise UsageError(f"{where}: quick.{key} names {unknown[0]!r}; there are: {', '.join(sorted(known))}")


def reduced(study: Study) -> Study:
    """The study cut down as its file says."""
    cut = study.quick
    if cut is None:
        raise UsageError(f"study {study.name} has no quick form: nothing of it takes long")
    kept = [_cut(part, cut) for part in study.parts if not cut.parts or part.name in cut.parts]
    return with_parts(replace(study, cut=True), (*kept, *cut.extra))


def with_parts(study: Study, parts: tuple[Part, ...]) -> Study:
    """The study with these parts, and the tables that have something to show then."""
    known = {part.name for part in parts}
    tables = [replace(one, parts=tuple(name for name in one.parts if name in known)) for one in study.tables]
    return replace(study, parts=parts, tables=tuple(table for table in tables if table.parts))


def whole(study: Study) -> Study:
    """The study as the paper made it."""
    return with_parts(study, study.parts)


def only(study: Study, names: Sequence[str]) -> Study:
    """The study with nothing but these parts; none named: all of it."""
    known = {part.name for part in study.parts}
    if unknown := sorted(set(names) - known):
        raise UsageError(f"study {study.name} has no part {unknown[0]!r}; there are: {', '.join(sorted(known))}")
    return with_parts(study, tuple(part for part in study.parts if part.name in names)) if names else study


def _cut(part: Part, cut: Quick) -> Part:
    limits = [one for one in (part.limit, cut.limits.get(part.name, cut.limit)) if one]
    return replace(
        part,
        models=tuple(_cut_model(model, cut) for model in _kept(part.models, cut)),
        task=with_params(part.task, cut.task),
        explainers=_kept(part.explainers, cut),
        metrics=_kept(part.metrics, cut),
        seeds=min(part.seeds, cut.seeds or part.seeds),
        limit=min(limits) if limits and part.explainers else part.limit,
        profile=cut.profile or part.profile,
    )


def _cut_model(model: str, cut: Quick) -> str:
    return with_params(model, {**cut.model, **cut.models.get(parse_reference(model).target, {})})


def _kept(references: tuple[str, ...], cut: Quick) -> tuple[str, ...]:
    return tuple(one for one in references if parse_reference(one).target not in cut.drop)


def with_params(text: str, params: dict[str, Any]) -> str:
    """A reference with more parameters."""
    reference = parse_reference(text)
    return str(Reference(reference.target, {**reference.params, **params}))


def repeated(study: Study, seeds: int | None) -> Study:
    """With fewer or more trainings of everything that is trained more than once."""
    if seeds is None:
        return study
    if not 1 <= seeds <= SEEDS_AT_MOST:
        raise UsageError(f"--repeats {seeds}: give 1 to {SEEDS_AT_MOST}")
    parts = tuple(replace(part, seeds=seeds) if part.seeds > 1 else part for part in study.parts)
    return replace(study, parts=parts)


def reductions(study: Study, parts: Sequence[str] | None = None) -> list[str]:
    """What was cut, in words; of these parts alone, if any are named."""
    cut = study.quick
    if cut is None or not study.cut:
        return []
    told = [f"{name}={value} of every model" for name, value in cut.model.items()]
    told += [f"but {one}" for one in _exceptions(cut, [part for part in study.parts if _among(part, parts)])]
    told += [f"{name}={value} of the task" for name, value in cut.task.items()]
    told += [f"at most {cut.seeds} trainings of each"] if cut.seeds else []
    told += [f"explanations of the first {cut.limit} test images of each fold"] if cut.limit else []
    told += [
        f"of {part} only the first {limit} test images"
        for part, limit in cut.limits.items()
        if parts is None or part in parts
    ]
    told += [f"explainers at profile {cut.profile}"] if cut.profile else []
    told += [f"without {', '.join(cut.drop)}"] if cut.drop else []
    told += [f"as they stand: {'; '.join(part.name for part in cut.extra)}"] if cut.extra else []
    return told + ([f"only the parts {', '.join(cut.parts)}"] if cut.parts else [])


def _among(part: Part, names: Sequence[str] | None) -> bool:
    return names is None or part.name in names


def _exceptions(cut: Quick, parts: Sequence[Part]) -> list[str]:
    """What single models of these parts get instead."""
    there = {parse_reference(model).target for part in parts for model in part.models}
    return [
        f"{name}={value} of {model}"
        for model, some in cut.models.items()
        if model in there
        for name, value in some.items()
    ]
