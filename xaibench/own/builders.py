"""Tell functions that build a network from factories of plugins, and call them with what their signature takes."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from xaibench.factories import KEYWORD, signature

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from xaibench.contracts import Task

# What a task tells a builder that asks for it by one of these names.
COUNT = ("num_classes", "n_classes")
NAMES = ("classes", "class_names")
CHANNELS = ("channels", "in_channels", "in_chans")
SIDE = ("size", "image_size", "img_size")
TOLD = (*COUNT, *NAMES, *CHANNELS, *SIDE)
IMAGES = ("images", "image", "x", "batch", "inputs")  # the one argument of a function that is a network itself


def told(task: Task, wanted: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """What a task has to say to parameters of these names. `classes` are names, unless their type or default is int."""
    channels, rows, columns = task.shape
    side = rows if rows == columns else (rows, columns)
    values = {COUNT: len(task.classes), NAMES: tuple(task.classes), CHANNELS: channels, SIDE: side}
    found = {name: value for group, value in values.items() for name in group if name in wanted}
    counted = [name for name in NAMES if name in wanted and _is_number(wanted[name])]
    return {**found, **dict.fromkeys(counted, len(task.classes))}


def _is_number(parameter: inspect.Parameter) -> bool:
    return parameter.annotation in (int, "int") or type(parameter.default) is int


def keywords(builder: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters that can be given by name."""
    return {name: one for name, one in signature(builder).parameters.items() if one.kind in KEYWORD}


def takes_anything(builder: Callable[..., Any]) -> bool:
    """Whether parameters of any name can be given."""
    return any(one.kind is one.VAR_KEYWORD for one in signature(builder).parameters.values())


def required(builder: Callable[..., Any], given: Mapping[str, Any]) -> list[str]:
    """Parameters without a default that nobody has given."""
    return [name for name, one in keywords(builder).items() if one.default is one.empty and name not in given]


def is_network(thing: Any) -> bool:
    """Whether something is a torch network; torch itself is not imported to find out."""
    return is_network_class(type(thing))


def is_network_class(thing: Any) -> bool:
    """Whether a class makes torch networks."""
    return isinstance(thing, type) and any(
        base.__name__ == "Module" and base.__module__.startswith("torch.nn.modules") for base in thing.__mro__
    )


def is_plugin_like(thing: Any) -> bool:
    """Whether something says of itself that it is a model plugin, or makes one."""
    return hasattr(thing, "card") or (isinstance(thing, type) and hasattr(thing, "build") and hasattr(thing, "prepare"))


def is_function_of_images(thing: Any, given: Mapping[str, Any]) -> bool:
    """Whether a function takes images rather than settings: it is a network itself, though one without gradients."""
    return inspect.isroutine(thing) and required(thing, given)[:1] != [] and required(thing, given)[0] in IMAGES


def surely_builds(thing: Any, given: Mapping[str, Any]) -> bool:
    """Whether something makes a network for all that can be seen without calling it."""
    if is_network_class(thing):
        return True
    if not inspect.isroutine(thing):
        return False
    missing = required(thing, given)
    return is_network_class(signature(thing).return_annotation) or (bool(missing) and set(missing) <= set(TOLD))
