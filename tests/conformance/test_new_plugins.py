"""From nothing to a row on the board: what `xaibench new` writes is installed, checked, tested and ranked as it is."""

import ast
import json
import os
import subprocess
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

from xaibench.__main__ import call
from xaibench.errors import UsageError
from xaibench.scaffold.writing import draft, write

KINDS = ("explainer", "model", "metric", "task")


class Machine:
    """A virtual environment on top of the installed packages, with an empty folder to work in."""

    def __init__(self, folder):
        self.home, self.work = folder / "venv", folder / "work"
        venv.create(self.home, with_pip=False)
        self.work.mkdir()
        site = sysconfig.get_path("purelib", vars={"base": str(self.home), "platbase": str(self.home)})
        below = sysconfig.get_path("purelib")
        # addsitedir, for an editable installation is itself a .pth file in there.
        Path(site, "below.pth").write_text(f"import site; site.addsitedir({below!r})\n")
        self.python = self.home / ("Scripts" if os.name == "nt" else "bin") / "python"
        self.environment = {**os.environ, "XAIBENCH_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
        self.environment.pop("XAIBENCH_PLUGINS", None)
        self.environment.pop("PYTHONPATH", None)

    def run(self, *arguments):
        done = subprocess.run(
            [self.python, "-m", *arguments],
            cwd=self.work,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(map(str, arguments))}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_new_explainer_is_installed_checked_tested_and_ranked_without_an_edit(tmp_path):
    machine = Machine(tmp_path)
    machine.run("xaibench", "new", "explainer", "demo")
    machine.run("pip", "install", "-q", "--no-index", "--no-build-isolation", "--no-deps", "-e", "demo")

    (answer,) = json.loads(machine.run("xaibench", "check", "demo", "--json"))
    assert answer["ok"]
    assert {check["name"]: check["status"] for check in answer["checks"]}["elsewhere"] == "passed"
    assert answer["ran"] >= 25

    assert "passed" in machine.run("pytest", "-q", "demo", "-p", "no:cacheprovider")

    machine.run(
        "xaibench", "run", "--tasks", "phantom-tiny", "--models", "oracle-linear", "--explainers", "saliency,demo",
        "--limit", "12", "--no-audit", "--out", "out",
    )  # fmt: skip
    board = json.loads((machine.work / "out" / "results.json").read_text())
    (ranking,) = board["rankings"]
    assert sorted(standing["explainer"] for standing in ranking["standings"]) == ["demo", "saliency"]
    rows = [row for row in board["rows"] if row["explainer"] == "demo"]
    assert len(rows) >= 8
    assert {row["status"] for row in rows} == {"ok"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_keeps_every_promise(kind, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert call(["new", kind, "my-own"]) == 0
    assert call(["check", "my-own/my_own.py:MyOwn", "--skip", "elsewhere"]) == 0
    out = capfd.readouterr().out
    assert f"{kind} my-own/my_own.py:MyOwn" in out
    assert "failed" not in out.splitlines()[-1]


@pytest.mark.parametrize("kind", KINDS)
def test_the_way_without_installing_is_told_and_names_what_was_written(kind, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert call(["new", kind, "my-own"]) == 0
    target = f"{Path('my-own/my_own.py')}:MyOwn"
    assert f"Without installing it, in every command: {target} instead of my-own." in capfd.readouterr().out
    assert "`my_own.py:MyOwn` instead of `my-own`" in Path("my-own/README.md").read_text()


@pytest.mark.parametrize("kind", ["explainer", "task"])
def test_the_first_run_that_is_suggested_tells_methods_from_nothing(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call(["new", kind, "my-own"]) == 0
    words = draft(kind, "my-own").use.replace("my-own", "my-own/my_own.py:MyOwn").split()[1:]
    assert call([*words, "--metrics", "iou-matched", "--limit", "6", "--no-audit", "--out", "out"]) == 0
    rows = json.loads(Path("out/results.json").read_text())["rows"]
    found = {row["explainer"]: row["mean"] for row in rows if not row["reference"]}
    assert len(found) == {"explainer": 2, "task": 1}[kind]
    assert min(found.values()) > 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_distribution_names_its_plugin_and_its_tests_use_the_kit(kind, tmp_path):
    written = write(draft(kind, "second-try"), tmp_path / "second")
    assert sorted(str(file.relative_to(tmp_path / "second")) for file in written) == [
        "README.md", "pyproject.toml", "second_try.py", str(Path("tests/test_second_try.py")),
    ]  # fmt: skip
    project = tomllib.loads((tmp_path / "second" / "pyproject.toml").read_text())
    assert project["project"]["entry-points"] == {f"xaibench.{kind}s": {"second-try": "second_try:SecondTry"}}
    assert "@conformance(SecondTry)" in (tmp_path / "second" / "tests" / "test_second_try.py").read_text()
    assert "{{" not in "".join(file.read_text() for file in written)


def test_a_new_explainer_is_an_explainer_in_twenty_lines(tmp_path):
    write(draft("explainer", "short"), tmp_path / "short")
    tree = ast.parse((tmp_path / "short" / "short.py").read_text())
    (cls,) = (node for node in tree.body if isinstance(node, ast.ClassDef))
    assert cls.end_lineno - cls.lineno + 1 <= 24


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("My Explainer", "my-explainer"),
        ("GradTimesInput", "grad-times-input"),
        ("grad_cam_2", "grad-cam-2"),
        ("2nd-try", "nd-try"),
        ("--", "my-explainer"),
        ("Überlagert", "uberlagert"),
        ("x" * 41, "x" * 40),
    ],
)
def test_a_name_that_cannot_be_is_refused_with_one_that_can(name, instead):
    with pytest.raises(UsageError, match=f"for instance {instead}$"):
        draft("explainer", name)
    assert draft("explainer", instead).name == instead


def test_a_name_that_is_taken_is_refused():
    with pytest.raises(UsageError, match="there is an explainer 'gradcam' already; take for instance my-gradcam"):
        draft("explainer", "gradcam")
    assert draft("metric", "gradcam").name == "gradcam"


@pytest.mark.parametrize("name", ["random", "torch", "class"])
def test_a_name_whose_module_python_has_already_is_refused(name):
    with pytest.raises(UsageError, match=f"take for instance my-{name}"):
        draft("model", name)


def test_a_folder_that_exists_is_left_alone(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "mine.txt").write_text("mine")
    assert call(["new", "explainer", "demo"]) == 2
    assert "demo exists already" in capfd.readouterr().err
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == ["mine.txt"]
    assert call(["new", "explainer", "demo", "--folder", "other/place"]) == 0
    assert (tmp_path / "other" / "place" / "demo.py").is_file()


def test_a_kind_that_is_misspelt_is_told(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert call(["new", "explaner", "demo"]) == 2
    assert "did you mean explainer?" in capfd.readouterr().err
