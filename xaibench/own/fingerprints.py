"""A digest of an object that lives in a session: the same for the same code and state, also in another session."""

from __future__ import annotations

import dis
import hashlib
import inspect
import sys
import types
from pathlib import Path
from typing import Any

PLAIN = (type(None), bool, int, float, complex, str, bytes, Path)
BESIDE = ("_hooks", "_hooks_with_kwargs", "_hooks_always_called")  # of networks; a copy of them is made without


class Unstable(Exception):  # noqa: N818  # it says what an object is, not what went wrong
    """Something that no digest can tell from another."""


def fingerprint(thing: Any) -> str:
    """The digest; `Unstable` if there is something in the object that has none."""
    return _Walk().digest(thing)


class _Walk:
    """One object with all that hangs on it; each part is looked at once."""

    def __init__(self) -> None:
        self.seen: dict[int, tuple[int, Any]] = {}  # the part itself is kept, so that its id stays its own

    def digest(self, thing: Any) -> str:
        """Hash what describes the thing."""
        if isinstance(thing, PLAIN):
            return _hash(type(thing).__name__, repr(thing))
        if id(thing) in self.seen:
            return _hash("again", str(self.seen[id(thing)][0]))
        self.seen[id(thing)] = len(self.seen), thing
        return _hash(*self.described(thing))

    def described(self, thing: Any) -> list[str]:
        """What tells this thing from others of its kind."""
        if isinstance(thing, (list, tuple)):
            return [type(thing).__name__, *map(self.digest, thing)]
        if isinstance(thing, (set, frozenset)):
            return ["set", *sorted(map(self.digest, thing))]
        if isinstance(thing, dict):
            return ["dict", *(self.digest(key) + self.digest(value) for key, value in thing.items())]
        if isinstance(thing, types.ModuleType):
            return ["module", thing.__name__]
        if hasattr(thing, "detach") and hasattr(thing, "cpu"):
            return self.described(thing.detach().cpu().float().numpy())
        if hasattr(thing, "tobytes") and hasattr(thing, "dtype"):
            return [str(thing.dtype), str(thing.shape), hashlib.blake2b(thing.tobytes()).hexdigest()]
        if isinstance(thing, types.CodeType):
            return self.code(thing)
        if isinstance(thing, (types.FunctionType, types.MethodType)):
            return self.function(thing)
        if isinstance(thing, type):
            return self.type(thing)
        if isinstance(thing, (types.BuiltinFunctionType, property, staticmethod, classmethod)):
            return self.wrapped(thing)
        if not hasattr(thing, "__dict__"):
            raise Unstable(f"a {type(thing).__name__}")
        state = {name: value for name, value in vars(thing).items() if not name.endswith(BESIDE) and name != "training"}
        return [self.digest(type(thing)), self.digest(state)]

    def wrapped(self, thing: Any) -> list[str]:
        """Functions of C by name, others by what is in them."""
        if isinstance(thing, types.BuiltinFunctionType):
            return [thing.__module__ or "", thing.__qualname__]
        parts = [getattr(thing, name, None) for name in ("__func__", "fget", "fset")]
        return [type(thing).__name__, *map(self.digest, parts)]

    def type(self, thing: type) -> list[str]:
        """Installed classes by name, others by their code and that of their bases."""
        named = [thing.__module__, thing.__qualname__]
        if _installed(thing):
            return named
        own = {
            name: value for name, value in vars(thing).items() if not name.startswith("__") or inspect.isfunction(value)
        }
        own = {name: value for name, value in own.items() if name != "_abc_impl"}
        return [*named[1:], *map(self.digest, thing.__bases__), self.digest(own)]

    def function(self, thing: Any) -> list[str]:
        """Installed functions by name, others by their code, and the values it refers to."""
        if isinstance(thing, types.MethodType):
            return ["method", self.digest(thing.__func__), self.digest(thing.__self__)]
        if _installed(thing):
            return [thing.__module__, thing.__qualname__]
        names = sorted(_globals(thing.__code__) & thing.__globals__.keys())
        used = {name: thing.__globals__[name] for name in names}
        cells = [cell.cell_contents for cell in thing.__closure__ or ()]
        return [*map(self.digest, (thing.__code__, thing.__defaults__, thing.__kwdefaults__, cells, used))]

    def code(self, thing: types.CodeType) -> list[str]:
        """What is done; neither where the file lies nor on which line."""
        return [thing.co_code.hex(), repr(thing.co_names), repr(thing.co_varnames), *map(self.digest, thing.co_consts)]


def _globals(code: types.CodeType) -> set[str]:
    """Names that code takes from its module."""
    own = {step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return own.union(*(_globals(const) for const in code.co_consts if isinstance(const, types.CodeType)))


def _installed(thing: Any) -> bool:
    """Whether its code belongs to a library rather than to the user."""
    module = sys.modules.get(thing.__module__ or "")
    file = getattr(module, "__file__", None)
    if module is None or thing.__module__ == "__main__":
        return False
    top = thing.__module__.partition(".")[0]
    return file is None or "site-packages" in file or top in sys.stdlib_module_names or top.startswith("xaibench")


def _hash(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
