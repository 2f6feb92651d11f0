import subprocess
import sys

import click
import pytest

from xaibench import __version__
from xaibench.__main__ import call
from xaibench.cli.main import cli
from xaibench.errors import BrokenPlugin, DataError, NothingSelected, UsageError


@pytest.fixture
def verb(monkeypatch):
    """Add a verb of the core for one test."""

    def add(function, name="verb"):
        command = click.command(name)(function)
        monkeypatch.setattr(type(cli), "get_command", lambda self, context, called: command)
        monkeypatch.setitem(cli.verbs, name, None)

    return add


def test_help_tells_all_verbs_and_exit_codes(command):
    done = command("--help")
    assert done.returncode == 0
    for word in ("run", "plan", "list", "info", "plugins", "env", "audit", "leaderboard"):
        assert f"\n  {word} " in done.stdout
    for code in ("0  ", "1  ", "2  ", "3  ", "4  ", "130  "):
        assert f"\n    {code}" in done.stdout


def test_help_describes_a_strangers_verb_without_running_it(installed, command):
    installed("good", "raises")
    done = command("--help")
    assert done.returncode == 0
    assert "List the corners there are." in done.stdout
    assert "Neither does this." in done.stdout
    assert done.stderr == ""


def test_help_says_which_verb_points_nowhere(tmp_path, command):
    info = tmp_path / "site" / "lost-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: lost\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[xaibench.commands]\nlost = lost_module:command\n")
    done = command("--help", site=info.parent)
    assert "broken: points nowhere: there is no module lost_module" in done.stdout


def test_a_strangers_verb_works_and_a_broken_one_ends_with_4(installed, command):
    installed("good", "raises")
    assert command("corners").stdout == "top-left\nbottom-right\n"
    done = command("raise-command")
    assert done.returncode == 4
    assert "RuntimeError: vendorlib 9 is needed, but 3 is installed" in done.stderr


def test_a_verb_that_is_no_command_is_broken(tmp_path, command):
    info = tmp_path / "site" / "odd-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: odd\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[xaibench.commands]\nodd = os:getcwd\nlist = os:getcwd\n")
    done = command("odd", site=info.parent)
    assert done.returncode == 4
    assert "is no click.Command" in done.stderr
    assert command("list", "engines", site=info.parent).returncode == 0
    assert command("odd:list", site=info.parent).returncode == 4


def test_two_strangers_with_one_verb_are_told_apart(tmp_path, command):
    for name in ("one", "two"):
        info = tmp_path / "site" / f"{name}-1.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Name: {name}\nVersion: 1\n")
        (info / "entry_points.txt").write_text("[xaibench.commands]\nsame = verbs:same\n")
    (tmp_path / "site" / "verbs.py").write_text("import click\nsame = click.command()(lambda: print('done'))\n")
    done = command("same", site=tmp_path / "site")
    assert done.returncode == 2
    assert "command 'same' is ambiguous: say one:same or two:same" in done.stderr
    assert command("two:same", site=tmp_path / "site").stdout == "done\n"


def test_an_unknown_verb_is_answered_with_the_nearest(command):
    done = command("lst")
    assert done.returncode == 2
    assert "there is no command 'lst'; did you mean list?" in done.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [(UsageError, 2), (DataError, 2), (NothingSelected, 3), (BrokenPlugin, 4), (KeyboardInterrupt, 130)],
)
def test_an_error_is_one_message_and_its_exit_code(verb, capsys, error, code):
    def fail():
        raise error("what went wrong")

    verb(fail)
    assert call(["verb"]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.strip() == ("interrupted" if error is KeyboardInterrupt else "error: what went wrong")


def test_a_bug_is_not_dressed_up_as_a_users_mistake(verb):
    def fail():
        raise LookupError("a bug")

    verb(fail)
    with pytest.raises(LookupError):
        call(["verb"])


def test_exit_codes_come_from_exits_and_not_from_what_a_verb_returns(verb):
    verb(lambda: 7, "returns")
    assert call(["returns"]) == 0
    verb(lambda: click.get_current_context().exit(1), "exits")
    assert call(["exits"]) == 1


@pytest.mark.parametrize("arguments", [["--unheard"], ["list", "--unheard"], ["run", "--seed", "x"], []])
def test_a_wrong_option_or_none_ends_with_2(command, arguments):
    done = command(*arguments)
    assert done.returncode == 2
    assert "Usage: xaibench" in done.stderr


def test_the_script_and_the_module_are_the_same_command(command):
    script = subprocess.run(["xaibench", "--version"], capture_output=True, text=True, check=False, env=venv_path())
    assert script.stdout == command("--version").stdout == f"xaibench, version {__version__}\n"


def venv_path():
    return {"PATH": str(sys.prefix + "/bin")}
