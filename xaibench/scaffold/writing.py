"""Write the distribution of a new plugin."""

from __future__ import annotations

import importlib.resources
import importlib.util
import keyword
import re
import shutil
import unicodedata
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import jinja2

from xaibench.discovery import discover
from xaibench.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST = 40
SUMMARIES = {
    "explainer": "The gradient of the class score, weighed by the pixel",
    "model": "Two convolutions and a linear layer",
    "task": "Bright squares on noise",
    "metric": "The share of the map that lies on the lesions",
}
USES = {
    "explainer": "xaibench run --tasks phantom-tiny --models oracle-lesion --explainers saliency,{name} --limit 20",
    "model": "xaibench run --tasks phantom-tiny --models {name} --explainers gradcam,saliency --limit 20",
    "task": "xaibench run --tasks {name} --models oracle-lesion --explainers saliency --limit 20",
    "metric": "xaibench run --tasks phantom-tiny --models oracle-lesion --explainers saliency --metrics default,{name}",
}


@dataclass(frozen=True)
class Draft:
    """What the templates are filled with."""

    kind: str
    name: str
    module: str
    cls: str
    distribution: str
    summary: str
    article: str
    use: str
    uninstalled: str


def draft(kind: str, name: str) -> Draft:
    """The names that follow from a plugin's name. UsageError if it cannot be one."""
    checked(kind, name)
    module, cls = name.replace("-", "_"), "".join(part.capitalize() for part in name.split("-"))
    return Draft(
        kind=kind,
        name=name,
        module=module,
        cls=cls,
        distribution=f"xaibench-{name}",
        summary=SUMMARIES[kind],
        article="An" if kind == "explainer" else "A",
        use=USES[kind].format(name=name),
        uninstalled=f"{module}.py:{cls}",
    )


def checked(kind: str, name: str) -> None:
    """Refuse what is no name, and what is taken."""
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        raise UsageError(
            f"{name!r} cannot be the name of a plugin: give small letters, digits and single dashes, a letter first, "
            f"{LONGEST} characters at most; for instance {nearest(kind, name)}"
        )
    taken = {plugin.name for plugin in discover() if plugin.group == f"{kind}s"}
    if name in taken:
        raise UsageError(f"there is {_article(kind)} {kind} {name!r} already; take for instance {free(kind, name)}")
    if not _is_free_module(name):
        raise UsageError(
            f"{name!r} would need a module {name.replace('-', '_')!r}, and Python has one by that name already; "
            f"take for instance {free(kind, name)}"
        )


def nearest(kind: str, name: str) -> str:
    """A name that can be, as near as possible."""
    plain = unicodedata.normalize("NFKD", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name)).encode("ascii", "ignore")
    parts = re.findall("[a-z0-9]+", plain.decode().lower())
    near = "-".join(parts)[:LONGEST].strip("-").lstrip("0123456789-")
    return free(kind, near or f"my-{kind}")


def free(kind: str, name: str) -> str:
    """A name that nothing has yet."""
    taken = {plugin.name for plugin in discover() if plugin.group == f"{kind}s"}
    tries = [name, f"my-{name}", *(f"my-{name}-{number}" for number in range(2, 99))]
    return next(one for one in tries if one not in taken and _is_free_module(one))


def _is_free_module(name: str) -> bool:
    module = name.replace("-", "_")
    found = None if keyword.iskeyword(module) else importlib.util.find_spec(module)
    # A mere folder of that name has no origin, and a module goes before it.
    return not keyword.iskeyword(module) and (found is None or found.origin is None)


def _article(kind: str) -> str:
    return "an" if kind == "explainer" else "a"


def must_be_new(folder: Path) -> None:
    """Refuse a folder that exists."""
    if folder.exists():
        raise UsageError(f"{folder} exists already; give another name, or --folder with one that does not exist")


def write(what: Draft, folder: Path) -> list[Path]:
    """Write the files into a folder that does not exist yet, all of them or none."""
    must_be_new(folder)
    files = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{what.module}.py": f"{what.kind}.py",
        f"tests/test_{what.module}.py": "test.py",
    }
    texts = {name: rendered(template, what) for name, template in files.items()}
    try:
        for name, text in texts.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return [folder / name for name in texts]


def rendered(template: str, what: Draft) -> str:
    """One file."""
    source = importlib.resources.files("xaibench.scaffold") / "templates" / f"{template}.j2"
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)  # noqa: S701  # Python and TOML, no HTML
    return environment.from_string(source.read_text(encoding="utf-8")).render(asdict(what))
