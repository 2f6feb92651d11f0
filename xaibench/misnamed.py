"""What to say where a file or a folder was given in the place of a plugin's name. Reads files, runs none."""

from __future__ import annotations

import ast
from pathlib import Path

from xaibench.cards import MEMBERS
from xaibench.discovery import parsed
from xaibench.references import Reference


def misnamed(group: str, target: str) -> str:
    """How to name what is in a file or a folder; nothing if the target is neither."""
    path = Path(target).expanduser()
    if target.endswith(".py") and path.is_file():
        names = plugins_in(path.read_text(encoding="utf-8", errors="replace"), group) or ["NAME"]
        return f"{target} is a file: name what is in it, {' or '.join(f'{target}:{name}' for name in names)}"
    if group == "tasks" and path.is_dir():
        named = str(Reference("folder", {"path": target}))
        mark = "'" if '"' in named else '"'
        return f"{target} is a folder: --tasks {mark}{named}{mark}"
    return ""


def plugins_in(source: str, group: str) -> list[str]:
    """The classes of a source that look like plugins of a group: by their card and a method, else by their card.

    A network needs no card: for models these are all public classes and functions.
    """
    tree = parsed(source)
    body = tree.body if tree else []
    public = [
        node for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_")
    ]
    if group == "models":
        return [node.name for node in public]
    carded = [node for node in public if isinstance(node, ast.ClassDef) and _has_card(node)]
    return [node.name for node in carded if _methods(node) & {*MEMBERS.get(group, ())}] or [
        node.name for node in carded
    ]


def _has_card(node: ast.ClassDef) -> bool:
    """Whether `card` or `self.card` is assigned anywhere in a class."""
    stored = (one for one in ast.walk(node) if isinstance(getattr(one, "ctx", None), ast.Store))
    return any(getattr(one, "id", "") == "card" or getattr(one, "attr", "") == "card" for one in stored)


def _methods(node: ast.ClassDef) -> set[str]:
    return {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
