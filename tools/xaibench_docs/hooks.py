"""What mkdocs is told beyond mkdocs.yml: pages that are written from the code, and the order of what is there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File

from xaibench_docs import catalogue, commands, pictures
from xaibench_docs.plugins import GROUPS, described

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).parents[2]
CONTRACTS = "plugins/contracts.md"
COMMANDS = "commands.md"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The navigation: what mkdocs.yml names and is there, and below `NAME/` whatever lies in that folder."""
    config.nav = [entry for item in config.nav or [] if (entry := _present(item, Path(config.docs_dir)))]
    return config


def _present(item: Any, docs: Path) -> Any:
    """A branch of the navigation without pages that do not exist."""
    if isinstance(item, str):
        return item if (docs / item).is_file() or item in GENERATED else None
    ((title, below),) = item.items()
    if isinstance(below, list):
        kept = [entry for one in below if (entry := _present(one, docs))]
        return {title: kept} if kept else None
    if below.endswith("/"):
        kept = _group(below[:-1]) if below[:-1] in GROUPS else _folder(docs, below)
        return {title: kept} if kept else None
    return {title: below} if _present(below, docs) else None


def _folder(docs: Path, name: str) -> list[str]:
    return sorted(str(path.relative_to(docs).as_posix()) for path in (docs / name).rglob("*.md"))


def _group(group: str) -> list[Any]:
    """The catalogue of one kind: its list, then family by family."""
    families: dict[str, list[Any]] = {}
    for one in described(group):
        families.setdefault(one.family, []).append({one.name: one.page})
    below: list[Any] = [f"{group}/index.md"]
    for family in sorted(families):
        below += [{family: families[family]}] if family else families[family]
    return below


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Put in what is generated; what people wrote about a plugin becomes part of its page."""
    docs = Path(config.docs_dir)
    for name, content in generated(docs):
        if present := files.get_file_from_path(name):
            files.remove(present)
        files.append(File.generated(config, name, content=content))
    return files


def generated(docs: Path) -> Iterator[tuple[str, str | bytes]]:
    """Every page and picture that the code makes."""
    for group in GROUPS:
        yield f"{group}/index.md", catalogue.index_of(group, written(docs, f"{group}/index.md"))
        for one in described(group):
            yield one.page, catalogue.page_of(one, written(docs, one.page))
    yield COMMANDS, commands.page()
    yield CONTRACTS, _contracts()
    yield from pictures.drawn()


GENERATED = (COMMANDS, CONTRACTS)


def written(docs: Path, page: str) -> str:
    """What people wrote, if anything."""
    path = docs / page
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _contracts() -> str:
    code = (ROOT / "xaibench" / "contracts.py").read_text(encoding="utf-8")
    return f"# The contracts\n\nThe file `xaibench/contracts.py`, whole.\n\n```python\n{code}```\n"
