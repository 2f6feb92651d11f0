"""Strangers' distributions, installed where a test wants them; and the command, run as a user runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[1] / "plugin"


def install_into(site: Path, *folders: str) -> Path:
    """Do what an installer does with the folders of tests/plugin: copy the modules, write the metadata."""
    site.mkdir(exist_ok=True)
    for folder in folders:
        source = PLUGINS / folder
        project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        modules = [Path(shutil.copy(file, site)) for file in source.glob("*.py")]
        write_metadata(site, project, modules)
    return site


def write_metadata(site: Path, project: dict, modules: list[Path]) -> None:
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    groups = project["entry-points"]
    lines = [f"[{group}]\n" + "".join(f"{n} = {v}\n" for n, v in points.items()) for group, points in groups.items()]
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    (info / "entry_points.txt").write_text("\n".join(lines))
    files = [*modules, info / "METADATA", info / "entry_points.txt", info / "RECORD"]
    (info / "RECORD").write_text("".join(f"{file.relative_to(site)},,\n" for file in files))


@pytest.fixture(autouse=True)
def quiet_surroundings(monkeypatch, tmp_path):
    """No test reads the developer's own plugin list or cache."""
    monkeypatch.delenv("XAIBENCH_PLUGINS", raising=False)
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def forgotten_modules(tmp_path):
    """No test sees a module that another test has written and imported."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install folders of tests/plugin for this process and for the command; returns where they went."""

    def install(*folders: str) -> Path:
        site = install_into(tmp_path / "site", *folders)
        monkeypatch.syspath_prepend(site)
        monkeypatch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)
        return site

    return install


@pytest.fixture
def command(tmp_path):
    """Run `xaibench ...` in a process of its own, in an empty folder, with `site` first on its path."""

    def run(*arguments: str, site: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(filter(None, [str(site or ""), os.environ.get("PYTHONPATH", "")]))
        return subprocess.run(
            [sys.executable, "-P", "-m", "xaibench", *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path, **environment},
            timeout=120,
            check=False,
        )

    return run
