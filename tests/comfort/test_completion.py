"""What a shell offers while someone types."""

import os
import shutil
import subprocess
import sys

import pytest

from xaibench.discovery import discover

HEAVY = ("torch", "numpy", "matplotlib", "pandas")
ASK = """
import sys
from xaibench.__main__ import call
try:
    call([])
finally:
    print("|".join(name for name in {heavy!r} if name in sys.modules), file=sys.stderr)
"""


def offered(line, cwd):
    """What bash is offered at the end of a line, and which heavy modules that took."""
    words = line.split(" ")
    asked = {"_XAIBENCH_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", ASK.format(heavy=HEAVY)],
        env={**os.environ, **asked},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return [row.partition(",")[2] for row in done.stdout.splitlines()], done.stderr.strip()


def names(group):
    return [plugin.name for plugin in discover() if plugin.group == group]


def test_commands_are_offered_with_those_of_plugins(tmp_path):
    found, heavy = offered("xaibench e", tmp_path)
    assert {"env", "export", "evaluate", "explain"} <= set(found)
    assert heavy == ""


def test_the_last_name_of_a_list_is_completed_and_what_stands_before_it_is_kept(tmp_path):
    found, heavy = offered("xaibench run --explainers gradcam,smoothg", tmp_path)
    assert found == ["gradcam,smoothgrad"]
    assert heavy == ""


@pytest.mark.parametrize("option", ["models", "tasks", "metrics"])
def test_every_plugin_of_the_kind_is_offered_and_no_other(option, tmp_path):
    found, heavy = offered(f"xaibench run --{option} ", tmp_path)
    assert sorted(found) == sorted(names(option))
    assert heavy == ""


def test_a_film_is_explained_with_a_model_by_name(tmp_path):
    found, heavy = offered("xaibench explain film.png --model resnet", tmp_path)
    assert {"resnet18", "resnet50"} <= set(found)
    assert heavy == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_asks_this_program(shell, xaibench):
    code, script, _ = xaibench("completion", shell)
    assert code == 0
    assert f"_XAIBENCH_COMPLETE={shell}_complete" in script


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_bash_takes_the_script(xaibench):
    _, script, _ = xaibench("completion", "bash")
    done = subprocess.run(
        ["bash", "-c", f"{script}\ncomplete -p xaibench"], capture_output=True, text=True, check=False, timeout=60
    )
    assert "_xaibench_completion" in done.stdout, done.stderr


def test_an_unknown_shell_is_told_which_there_are(xaibench):
    code, _, said = xaibench("completion", "tcsh")
    assert code == 2
    assert "zsh" in said


def test_a_command_that_cannot_be_imported_is_offered_and_harms_no_other(tmp_path, monkeypatch):
    info = tmp_path / "site" / "exploding-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: exploding\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[xaibench.commands]\nexplode = exploding:command\n")
    (tmp_path / "site" / "exploding.py").write_text("raise RuntimeError('imported while someone types')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"), prepend=os.pathsep)
    found, heavy = offered("xaibench exp", tmp_path)
    assert {"explode", "explain", "export"} <= set(found)
    assert heavy == ""
