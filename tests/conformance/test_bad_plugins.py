"""Every check has plugins that break its promise and no other; sound plugins break none."""

from pathlib import Path

import pytest

from xaibench.loading import load_file
from xaibench.testing import KINDS, Examination, at_hand, checks_of

MODULES = {kind: load_file(Path(__file__).with_name(f"bad_{kind}.py")) for kind in KINDS}
BAD = [
    pytest.param(plugin, broken, id=f"{kind}-{plugin.__name__}")
    for kind, module in MODULES.items()
    for plugin, broken in module.BAD
]
SOUND = [pytest.param(plugin, id=f"{kind}-{plugin.__name__}") for kind in KINDS for plugin in MODULES[kind].SOUND]
ANOTHER_PROCESS = "elsewhere"  # takes seconds, and nothing here depends on it but what is bad by it


def verdicts_on(plugin, skip=()):
    return list(Examination(at_hand(plugin), skip=skip))


@pytest.mark.parametrize(("plugin", "broken"), BAD)
def test_a_bad_plugin_is_caught_by_the_check_of_its_promise_alone(plugin, broken):
    verdicts = verdicts_on(plugin, () if broken == ANOTHER_PROCESS else (ANOTHER_PROCESS,))
    assert {verdict.name: verdict.reason for verdict in verdicts if not verdict.good}.keys() == {broken}


@pytest.mark.parametrize("kind", KINDS)
def test_every_check_has_a_bad_plugin(kind):
    assert {broken for _, broken in MODULES[kind].BAD} == set(checks_of(kind))


@pytest.mark.parametrize("plugin", SOUND)
def test_a_sound_plugin_breaks_no_promise(plugin):
    assert [verdict.reason for verdict in verdicts_on(plugin, (ANOTHER_PROCESS,)) if not verdict.good] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_plugin_is_the_same_in_another_process_which_finds_it_by_its_file(kind):
    verdict = Examination(at_hand(MODULES[kind].Sound)).verdict(ANOTHER_PROCESS)
    assert (verdict.status, verdict.reason) == ("passed", "")


@pytest.mark.parametrize("kind", KINDS)
def test_every_promise_is_one_sentence(kind):
    for check in checks_of(kind).values():
        assert check.promise
        assert len(check.promise) <= 130
        assert not check.promise.endswith(".")


@pytest.mark.parametrize("kind", KINDS)
def test_a_check_rests_on_checks_that_come_before_it(kind):
    names = list(checks_of(kind))
    for check in checks_of(kind).values():
        assert all(names.index(other) < names.index(check.name) for other in check.after)
