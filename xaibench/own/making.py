"""From what was named as a model, but is no plugin, to a model plugin."""

from __future__ import annotations

import copy
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xaibench.errors import UsageError
from xaibench.factories import bind, defaults, fit, literals, unknown_parameter
from xaibench.own.builders import (
    TOLD,
    is_function_of_images,
    is_network,
    is_network_class,
    is_plugin_like,
    keywords,
    required,
    surely_builds,
    takes_anything,
    told,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from xaibench.contracts import Task
    from xaibench.own.model import OwnModel
    from xaibench.references import Value

    Call = Callable[[Callable[..., Any], Mapping[str, Any]], Any]


@dataclass(frozen=True)
class Own:
    """A model plugin made around a network, and the parameters that make it again."""

    plugin: OwnModel
    params: Mapping[str, Any]


def own_model(fetched: Any, given: Mapping[str, Value], who: str, name: str, call: Call) -> Own | None:
    """The plugin for a network, a class or function that builds one, or a function of images; None for anything else.

    `call` calls what the user named, and tells its mistakes as theirs.
    """
    if is_plugin_like(fetched) or not (is_network(fetched) or is_network_class(fetched) or inspect.isroutine(fetched)):
        return None
    if is_network(fetched):
        return _made(who, name, lambda _: copy.deepcopy(fetched), given)
    if is_function_of_images(fetched, given):
        return _black_box(fetched, given, who, name)
    own, options = _split(fetched, given)
    if not surely_builds(fetched, own) and (required(fetched, own) or not is_network(_looked_at(fetched, own, call))):
        return None
    _refuse(fetched, own, options, who)
    known = keywords(fetched)
    fitted = {key: fit(value, known[key].annotation, key, who) if key in known else value for key, value in own.items()}
    params = {key: value for key, value in literals(defaults(fetched)).items() if key not in TOLD}
    return _made(
        who,
        name,
        lambda task: _built(fetched, fitted, task, who, call),
        options,
        params | fitted,
        builds_anew="checkpoint" not in own,
    )


def _made(
    who: str,
    name: str,
    make: Callable[[Task], Any],
    options: Mapping[str, Value],
    params: Mapping[str, Any] | None = None,
    *,
    builds_anew: bool = False,
) -> Own:
    from xaibench.own.fitting import Options  # torch comes in here, for networks alone
    from xaibench.own.model import OwnModel

    said = bind(Options, {key.removesuffix("_"): value for key, value in options.items()}, who)
    plugin = OwnModel(name, make, Options(**said), builds_anew=builds_anew)
    return Own(plugin, {**(params or {}), **options})


def _black_box(function: Callable[..., Any], options: Mapping[str, Value], who: str, name: str) -> Own:
    from xaibench.own.fitting import Options
    from xaibench.own.model import FunctionNetwork, OwnModel

    plugin = OwnModel(name, lambda _: FunctionNetwork(function), Options(**bind(Options, options, who)), frozenset())
    return Own(plugin, dict(options))


def option_names() -> list[str]:
    """What can be said of any network."""
    from xaibench.own.fitting import Options

    return list(keywords(Options))


def _split(builder: Callable[..., Any], given: Mapping[str, Value]) -> tuple[dict[str, Value], dict[str, Value]]:
    """What the builder takes itself, and what is said of the network; `cam_layer_` is ours where it has a cam_layer."""
    known, options = keywords(builder), option_names() if takes_anything(builder) else list(given)
    own = {name: value for name, value in given.items() if name in known or name.removesuffix("_") not in options}
    return own, {name: value for name, value in given.items() if name not in own}


def _looked_at(builder: Callable[..., Any], own: Mapping[str, Value], call: Call) -> Any:
    """Whether a function makes networks or plugins is known only when it has made one."""
    from xaibench.isolation import isolated_randomness  # brings torch, which a network brings anyway

    with isolated_randomness(0):
        return call(builder, own)


def _built(builder: Callable[..., Any], own: Mapping[str, Any], task: Task, who: str, call: Call) -> Any:
    wanted = {name: one for name, one in keywords(builder).items() if name not in own}
    network = call(builder, {**own, **told(task, wanted)})
    if not is_network(network):
        raise UsageError(f"{who} returns a {type(network).__name__}; a torch.nn.Module is wanted")
    return network


def _refuse(builder: Callable[..., Any], own: Mapping[str, Value], options: Mapping[str, Value], who: str) -> None:
    """Parameters that nobody takes, and those that only the user can give."""
    known, sayable = keywords(builder), option_names()
    for name in options:
        if name not in sayable and not (name.endswith("_") and name[:-1] in sayable and name[:-1] in known):
            raise UsageError(unknown_parameter(name, [*known, *(one for one in sayable if one not in known)], who))
    if missing := [name for name in required(builder, own) if name not in TOLD]:
        raise UsageError(
            f"{who} needs a value for {', '.join(missing)}: name({missing[0]}=...). "
            f"Of itself a builder is given what it takes of {', '.join(TOLD)}."
        )
