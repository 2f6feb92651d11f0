import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).with_name("security_tools.py")
spec = importlib.util.spec_from_file_location(TOOLS.stem, TOOLS)  # tests are no package: this makes it importable
sys.modules[TOOLS.stem] = tools = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tools)


class Attack:
    """Whoever unpickles it leaves a file behind."""

    def __init__(self, sign):
        self.sign = sign

    def __reduce__(self):
        return (Path.touch, (self.sign,))


@pytest.fixture
def sign(tmp_path):
    """A file that is there only if foreign code ran."""
    return tmp_path / "code-has-run"


@pytest.fixture
def attack(sign):
    return Attack(sign)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A results folder; copy it before doing harm to it."""
    folder = tmp_path_factory.mktemp("finished") / "out"
    done = tools.call(*tools.RUN, "--out", folder)
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def foreign(finished, tmp_path):
    """The results of somebody else."""
    return Path(shutil.copytree(finished, tmp_path / "foreign"))
