import importlib.util
import sys
from pathlib import Path

import pytest

from xaibench.idling import sleep_soon

sleep_soon()  # as the command does, before anything loads PyTorch


@pytest.fixture(scope="session")
def speed():
    """The module that times, which is a program as well."""
    spec = importlib.util.spec_from_file_location("speed", Path(__file__).with_name("speed.py"))
    module = sys.modules["speed"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
