"""How a network is trained: the numbers, apart from the code that follows them. One TOML file per published set-up."""

from __future__ import annotations

import tomllib
import types
from dataclasses import dataclass, field, fields, is_dataclass, replace
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from xaibench.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What is done to training images, each drawn anew every time it is seen."""

    mirror: bool = False  # left to right, half of them: breasts come in pairs
    upend: bool = False  # upside down, half of them
    quarter_turns: bool = False  # none to three
    rotate: float = 0.0  # degrees, at most, either way
    brightness: float = 0.0  # share of the range, at most, up or down
    contrast: float = 0.0  # share, at most, more or less


@dataclass(frozen=True, kw_only=True)
class Freezing:
    """Which layers learn. Layers are modules with parameters of their own, counted from the input, without the head."""

    ratio: float = 0.0  # share of them that never learns; normalisation statistics stay too
    gradual: bool = False  # the rest joins group by group, from the head on
    groups: int = 4  # into which the rest is divided
    every: int = 1  # epochs from one group to the next


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Supervised training by cross-entropy."""

    name: str
    summary: str = ""
    paper: str = ""
    epochs: int
    batch_size: int
    learning_rate: float  # of the head; at its highest, if there is a schedule
    group_rate: float | None = None  # of the last group of layers before the head; None: as the head
    decay: float = 1.0  # from a group to the one before it
    optimiser: Literal["adam", "adamw"] = "adamw"
    schedule: Literal["constant", "one-cycle", "cyclic"] = "one-cycle"
    warm_up: float = 0.3  # of one-cycle: part of the steps in which the learning rate rises
    cycle: int = 4  # of cyclic: epochs from low to low
    weight_decay: float = 0.0  # of the weights; biases and norms have none
    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] = ()  # of the loss, in the order of the classes
    per_class: int = 0  # images of each class in an epoch, drawn again if there are fewer; 0: all as they are
    patience: int = 0  # epochs without gain after which training ends; 0: it never does
    min_delta: float = 0.0  # what counts as a gain
    watch: Literal["val_balanced_accuracy", "val_loss"] = "val_balanced_accuracy"  # what tells the best epoch
    augmentation: Augmentation = Augmentation()
    freezing: Freezing = Freezing()
    # What else belongs to a published set-up. The training does not look at these.
    model: str = ""  # references as on the command line
    task: str = ""
    strict: str = ""  # the task without the leaks of the published protocol
    repeats: int = 1
    reported: dict[str, Any] = field(default_factory=dict)  # figures of the paper
    open: tuple[str, ...] = ()  # what it leaves open or contradicts, and what was chosen


def checked(recipe: Recipe, *, epochs: int | None) -> Recipe:
    """The recipe with the number of epochs that a user asks for."""
    if epochs is None:
        return recipe
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
        raise UsageError(f"epochs={epochs!r} is not possible: give a whole number from 1, or leave it to the recipe")
    return replace(recipe, epochs=epochs)


def find(name: str) -> Recipe:
    """A recipe by its name, or from a TOML file."""
    if name.endswith(".toml"):
        file = Path(name).expanduser()
        if not file.is_file():
            raise UsageError(f"there is no recipe {file}")
        return parse(file.read_text(encoding="utf-8"), str(file))
    if name not in (known := names()):
        near = get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(f"there is no recipe {name!r}{hint} There are: {', '.join(known)}; or give a .toml file")
    file = _folder() / f"{name}.toml"
    return parse(file.read_text(encoding="utf-8"), f"recipe {name}")


def names() -> list[str]:
    """The recipes that are built in."""
    return sorted(file.name.removesuffix(".toml") for file in _folder().iterdir() if file.name.endswith(".toml"))


def _folder() -> Any:
    return resources.files("xaibench_models") / "recipe_files"


def parse(text: str, where: str) -> Recipe:
    """Read a recipe; whatever it holds that is not known, or not of its type, is named."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where} is not TOML: {error}") from error
    recipe: Recipe = _made(Recipe, table, where)
    _sound(recipe, where)
    return recipe


def _made(kind: type[Any], table: dict[str, Any], where: str) -> Any:
    """A dataclass from a table."""
    types_of, known = get_type_hints(kind), [one.name for one in fields(kind)]
    for name in table:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(f"{where}: {name!r} is unknown{hint} Known are: {', '.join(known)}")
    values = {name: _fitted(value, types_of[name], f"{where}: {name}") for name, value in table.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise UsageError(f"{where}: {error}") from error


def _fitted(value: Any, kind: Any, where: str) -> Any:
    if is_dataclass(kind):
        if not isinstance(value, dict):
            raise UsageError(f"{where} is {value!r}; it is a table")
        return _made(kind, value, where)  # type: ignore[arg-type]
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        if not isinstance(value, list):
            raise UsageError(f"{where} is {value!r}; it is a list")
        return tuple(_fitted(one, inner, where) for one in value)
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise UsageError(f"{where} is {value!r}; it is one of {', '.join(map(repr, get_args(kind)))}")
        return value
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(one for one in get_args(kind) if one is not type(None))
    plain = get_origin(kind) or kind
    if plain is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, plain) or (plain is int and isinstance(value, bool)):
        raise UsageError(f"{where} is {value!r}; it is of type {plain.__name__}")
    return value


def _sound(recipe: Recipe, where: str) -> None:
    """Refuse numbers that cannot be meant."""
    ranges = {
        "epochs": (recipe.epochs, 1, 100_000),
        "batch_size": (recipe.batch_size, 1, 100_000),
        "learning_rate": (recipe.learning_rate, 1e-9, 100),
        "warm_up": (recipe.warm_up, 0, 1),
        "cycle": (recipe.cycle, 2, 100_000),
        "group_rate": (recipe.learning_rate if recipe.group_rate is None else recipe.group_rate, 1e-9, 100),
        "decay": (recipe.decay, 0, 1),
        "weight_decay": (recipe.weight_decay, 0, 100),
        "label_smoothing": (recipe.label_smoothing, 0, 1),
        "min_delta": (recipe.min_delta, 0, 1000),
        **{f"class_weights[{at}]": (weight, 0, 1e6) for at, weight in enumerate(recipe.class_weights)},
        "per_class": (recipe.per_class, 0, 10**7),
        "patience": (recipe.patience, 0, 100_000),
        "repeats": (recipe.repeats, 1, 1000),
        "freezing.ratio": (recipe.freezing.ratio, 0, 1),
        "freezing.groups": (recipe.freezing.groups, 1, 1000),
        "freezing.every": (recipe.freezing.every, 1, 100_000),
        "augmentation.rotate": (recipe.augmentation.rotate, 0, 180),
        "augmentation.brightness": (recipe.augmentation.brightness, 0, 1),
        "augmentation.contrast": (recipe.augmentation.contrast, 0, 1),
    }
    for name, (value, low, high) in ranges.items():
        if not low <= value <= high:
            raise UsageError(f"{where}: {name} is {value}; give a number from {low} to {high}")
