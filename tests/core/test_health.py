import time

import pytest

from xaibench.discovery import Plugin, discover
from xaibench.health import GRACE, check, examine


@pytest.fixture
def crashing(installed):
    """Seven plugins in order, of which four end or stop their process, each in its own way."""
    installed("crashes")
    return [plugin for plugin in discover() if plugin.distribution == "crashes"]


def test_a_plugin_that_ends_or_stops_the_process_is_blamed_alone_and_shown_where(crashing):
    health = {plugin.name: result for plugin, result in examine(crashing, timeout=3).items()}
    assert {name for name, result in health.items() if result.ok} == {"a-well", "c-well", "g-well"}
    assert health["b-exits"].error == "Crash: it ends the process with exit code 7"
    assert health["d-quits"].error == "SystemExit: go away"
    assert health["e-hangs"].error == "Timeout: it does not finish loading within 3 seconds"
    assert health["f-dies"].error == "Crash: it ends the process with signal SIGSEGV"
    assert 'crashes_hang.py", line 5' in health["e-hangs"].traceback
    assert 'crashes_signal.py", line 6' in health["f-dies"].traceback


def test_a_slow_plugin_has_its_own_time_not_that_of_all(tmp_path, monkeypatch):
    card = "card = SimpleNamespace(name='slow', summary='Slow')\n    def render(self, results, folder): ..."
    source = f"import time\nfrom types import SimpleNamespace\ntime.sleep(1.2)\nclass Slow:\n    {card}\n"
    slow = []
    for name in ("slow_one", "slow_two", "slow_three"):
        (tmp_path / f"{name}.py").write_text(source)
        slow.append(Plugin("reports", name, f"{name}:Slow", "slow", "1"))
    monkeypatch.syspath_prepend(tmp_path)
    before = time.monotonic()
    assert all(result.ok for result in examine(slow, timeout=2).values())
    assert time.monotonic() - before > 2 + GRACE  # or else they had enough time together


def test_what_needs_a_parameter_or_data_is_not_broken(tmp_path, monkeypatch):
    (tmp_path / "needy.py").write_text(
        "from xaibench.errors import DataError\ndef layered(layer): ...\ndef fetched(): raise DataError('no data')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    needy = [Plugin("explainers", name, f"needy:{name}", "needy", "1") for name in ("layered", "fetched")]
    assert [result.ok for result in examine(needy).values()] == [True, True]


def test_a_command_must_be_one_of_click(installed):
    installed("good", "nowhere")
    corners, present = (
        Plugin("commands", "c", value, "d", "1") for value in ("corner_explainer:corners", "points_nowhere:PRESENT")
    )
    health = examine([corners, present])
    assert health[corners].ok
    assert "is no click.Command but a int" in health[present].error


def test_nothing_is_examined_where_nothing_is_asked():
    assert examine([]) == {}


def test_a_result_in_the_cache_is_the_one_that_was_found(installed):
    installed("good", "raises")
    strangers = [plugin for plugin in discover() if not plugin.builtin]
    first = examine(strangers)
    assert examine(strangers) == first == examine(strangers, fresh=True)
    assert {plugin.name for plugin, result in first.items() if not result.ok} == {"raiser", "raise-command"}


def test_the_summary_is_that_of_the_card(installed):
    installed("namesake")
    (plugin,) = [plugin for plugin in discover() if not plugin.builtin]
    assert check(plugin) == "Another corner"
