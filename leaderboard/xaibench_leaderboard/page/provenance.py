"""Where numbers come from: the exact parameters behind a name, as the cells of the results folder record them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xaibench.errors import UsageError
from xaibench.references import Reference, parse
from xaibench.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xaibench.contracts import Result, Results

ABSOLUTE = " [absolute]"  # how a run that counts negative evidence marks its rows
KINDS = ("task", "model", "explainer", "metric")
BOARD = ("task", "fold", "model", "target", "precision")


@dataclass
class Provenance:
    """What the cells record: of the plugins by kind and label, of the boards by their labels."""

    plugins: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    seeds: dict[tuple[str, ...], int] = field(default_factory=dict)

    def plugin(self, kind: str, label: str) -> dict[str, Any]:
        """For the page: the reference with every parameter bound, so that no profile can change them."""
        identity = self.plugins.get((kind, label), {})
        params = identity.get("params") or {}
        given = _given(label) if any(map(_is_file, params.values())) else {}
        return {
            "exact": exact(label, bound(params, given)),
            "params": readable(params, given),
            "distribution": str(identity.get("distribution", "")),
        }

    def seed(self, labels: Mapping[str, str]) -> int:
        """The seed of a board; 0 where nothing is recorded."""
        return self.seeds.get(board_place(labels), 0)


def provenance_of(results: Results) -> Provenance:
    """Of everything that has a finished cell, what its first one says."""
    store, found = Store(results.folder), Provenance()
    if not results.folder.is_dir():
        return found
    for result in results.scores:
        wanted = [(kind, result.labels.get(kind, "")) for kind in KINDS]
        if result.status == "ok" and (
            board_place(result.labels) not in found.seeds or any(one not in found.plugins for one in wanted)
        ):
            _note(found, result, wanted, (store.description(result.key) or {}).get("identity", {}))
    return found


def _note(found: Provenance, result: Result, wanted: list[tuple[str, str]], identity: Mapping[str, Any]) -> None:
    found.seeds.setdefault(board_place(result.labels), int(identity.get("seed", 0)))
    for kind, label in wanted:
        found.plugins.setdefault((kind, label), identity.get(kind, {}))


def board_place(labels: Mapping[str, str]) -> tuple[str, ...]:
    """What a board is called, in a fixed order."""
    return tuple(labels.get(name, "") for name in BOARD)


def _is_file(value: object) -> bool:
    """A file is recorded by what it holds, not by where it lay."""
    return isinstance(value, dict) and "content" in value


def _given(label: str) -> Mapping[str, Any]:
    """What a label says of the parameters; nothing where it is no reference."""
    try:
        return parse(label.removesuffix(ABSOLUTE)).params
    except UsageError:
        return {}


def bound(params: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as a command takes them: of a file where it lay; one that nobody named comes by itself."""
    plain = {name: given.get(name) if _is_file(value) else value for name, value in params.items()}
    return {name: value for name, value in plain.items() if not (_is_file(params[name]) and value is None)}


def readable(params: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters for a reader: of a file its name, or what it holds where nobody named it."""
    return {name: _named(value, given.get(name)) if _is_file(value) else value for name, value in params.items()}


def _named(file: Mapping[str, Any], given: object) -> str:
    return Path(str(given)).name if given else f"file {str(file['content'])[:12]}"


def exact(label: str, params: Mapping[str, Any]) -> str:
    """The label with all parameters; the label itself where none is recorded."""
    plain = label.removesuffix(ABSOLUTE)
    return str(Reference(plain.partition("(")[0], params)) if params else plain
