"""The command, called as the program calls it, in an empty folder with a cache of its own."""

import pytest

from xaibench.__main__ import call


@pytest.fixture(autouse=True)
def own_place(monkeypatch, tmp_path):
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("XAIBENCH_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def xaibench(capsys):
    """Run `xaibench ...`; returns exit code, stdout and stderr."""

    def run(*arguments):
        capsys.readouterr()
        code = call([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run
