"""Call a plugin's factory with the parameters a user gave, after holding them against its signature."""

from __future__ import annotations

import difflib
import inspect
import math
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from xaibench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from xaibench.references import Value

VALUE_TYPES: dict[str, type] = {"int": int, "float": float, "bool": bool, "str": str}
KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def is_factory(fetched: Any) -> bool:
    """A class or function makes plugins; an object with a card is one."""
    return (
        isinstance(fetched, type) or inspect.isroutine(fetched) or (callable(fetched) and not hasattr(fetched, "card"))
    )


def signature(factory: Callable[..., Any]) -> inspect.Signature:
    """The signature, with annotations as types where they can be evaluated."""
    try:
        return inspect.signature(factory, eval_str=True)
    except (NameError, AttributeError, TypeError, SyntaxError):  # names imported for type checkers only
        return inspect.signature(factory)


def bind(factory: Callable[..., Any], given: Mapping[str, Value], who: str) -> dict[str, Any]:
    """Parameters to call the factory with: those given, fitted to their annotations. UsageError if they cannot be."""
    known = signature(factory).parameters
    anything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
    allowed = {name: parameter for name, parameter in known.items() if parameter.kind in KEYWORD}
    for name in given:
        if name not in allowed and not anything:
            raise UsageError(unknown_parameter(name, list(allowed), who))
    missing = [name for name, one in allowed.items() if one.default is one.empty and name not in given]
    if missing:
        raise UsageError(f"{who} needs a value for {', '.join(missing)}: name({missing[0]}=...)")
    return {
        name: fit(value, allowed[name].annotation, name, who) if name in allowed else value
        for name, value in given.items()
    }


def defaults(factory: Callable[..., Any]) -> dict[str, Any]:
    """The parameters that have a default, in the order of the signature."""
    return {
        name: parameter.default
        for name, parameter in signature(factory).parameters.items()
        if parameter.kind in KEYWORD and parameter.default is not parameter.empty
    }


def unknown_parameter(name: str, allowed: list[str], who: str) -> str:
    """Say which parameters there are, the nearest first."""
    if not allowed:
        return f"{who} takes no parameters, but was given {name}"
    near = difflib.get_close_matches(name, allowed, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{who} has no parameter {name}{hint}\n  Its parameters: {', '.join(allowed)}"


def fit(value: Value, annotation: Any, name: str, who: str) -> Value:
    """The value as its annotation wants it (1 is 1.0 where only floats are expected), or a UsageError."""
    if accepts(value, annotation):
        return value
    if type(value) is int and accepts(float(value), annotation):
        return float(value)
    wanted = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    hint = f'; to pass it as text, put it in quotes: {name}="{value}"' if accepts("", annotation) else ""
    raise UsageError(f"{who}: parameter {name} is {value!r}, but must be {wanted}{hint}")


def accepts(value: Value, annotation: Any) -> bool:
    """Whether a value is of an annotated simple type. Annotations beyond simple ones accept everything."""
    if isinstance(annotation, str):
        annotation = VALUE_TYPES.get(annotation, Any)
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return any(accepts(value, choice) for choice in get_args(annotation))
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in get_args(annotation))
    if annotation in (None, NoneType):
        return value is None
    return annotation not in VALUE_TYPES.values() or type(value) is annotation


def literals(params: Mapping[str, Any]) -> dict[str, Value]:
    """The parameters that a reference can spell. Others can only be defaults: their factory is their record."""
    return {name: value for name, value in params.items() if is_literal(value)}


def is_literal(value: Any) -> bool:
    """Whether a value is a plain finite one."""
    return value is None or type(value) in (bool, int, str) or (type(value) is float and math.isfinite(value))
