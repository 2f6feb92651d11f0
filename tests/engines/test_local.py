"""What the engine `local` survives of what plugins do to the process it shares with them."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def rough(place):
    bench = place("rough")
    trace = bench.out.with_name("traces")
    explainers = ",".join(f'Faulty(how={how},trace="{trace}")' for how in ("fork", "garbage", "settings", "nothing"))
    answer = bench.answer(explainers=explainers, more=["--limit", "8"])
    return bench, answer, [line.split() for line in trace.read_text().splitlines()]


def test_misdeeds_that_leave_the_process_alive_reach_no_other_cell_and_no_answer(rough):
    bench, answer, lines = rough
    ends = bench.endings(answer)
    assert {status for status, _ in ends.values()} == {"ok"}
    assert "threads of torch changed from 1 to 3; default dtype changed from torch.float32" in ends["settings"][1]
    after = [rest for _, how, *rest in lines if how == "nothing"]
    assert after
    assert all(rest == ["1", "torch.float32", str(Path.cwd())] for rest in after)


def test_a_child_that_comes_back_to_us_ends_itself_and_there_is_one_run(rough):
    bench, answer, lines = rough
    forkers = {number for number, how, *_ in lines if how == "fork"}
    others = {number for number, how, *_ in lines if how != "fork"}
    assert len(others) == 1, "the children did no other cell"
    assert bench.gone_within(10, map(int, forkers))
    assert answer["returncode"] == 0
    assert len(list((bench.out / "runs").glob("*.json"))) == 1


def test_a_time_limit_that_local_cannot_keep_is_refused(place):
    process = place("limit").start("local", more=["--timeout", "5"])
    _, err = process.communicate(timeout=300)
    assert process.returncode == 2
    assert "takes no parameters, but was given timeout" in err
