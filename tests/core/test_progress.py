import pytest

from xaibench import phases, progress
from xaibench.phases import Phases
from xaibench.progress import Lines


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = [100.0]
    monkeypatch.setattr(phases.time, "monotonic", lambda: now[0])
    assert progress.time is phases.time
    return now


def test_work_speaks_at_every_tenth_and_work_of_the_same_name_begins_anew(clock, capsys):
    lines = Lines()
    for begun in (100.0, 1000.0):  # the second one stops early, as the first did
        for done in range(1, 13):
            clock[0] = begun + 2 * done
            lines.step(f"training net: epoch {done}", done, 20)
    told = capsys.readouterr().err.splitlines()
    tenths = [f"[{10 * tenth:3d} %]" for tenth in range(1, 7)]
    assert [line.partition("]")[0] + "]" for line in told] == 2 * tenths
    assert told[5] == told[11] == "[ 60 %] training net: epoch 12  about 15 s to go"  # 22 s for 11 steps, 8 are left


def test_time_belongs_to_the_phase_that_ends(clock):
    spent = Phases()
    for name, seconds in (("weights", 5.0), ("explain", 1.0), ("score", 2.0), ("explain", 3.5)):
        clock[0] += seconds
        spent.ended(name)
    assert spent.seconds == {"weights": 5.0, "explain": 4.5, "score": 2.0}
    assert str(spent) == "time: weights 5.0 s, explain 4.5 s, score 2.0 s; 11.5 s in all"
