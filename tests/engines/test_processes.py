"""The engine `processes`, as users start it: real processes, real deaths."""

import signal
import time
from pathlib import Path

import pytest

from xaibench.engines.seat import GRACE_SECONDS

pytestmark = pytest.mark.timeout(600)  # they start many processes, which a busy machine takes its time for
ENGINE = "processes(workers=2,images=32)"


@pytest.fixture(scope="module")
def calm(place):
    """What `local` makes of it, on one thread."""
    bench = place("calm")
    assert bench.answer(explainers="Gradient,Noise", metrics="iou,energy")["exit_code"] == 0
    return bench


@pytest.fixture(scope="module")
def shared(place, calm):
    """The same work by two processes, large cells cut into parts."""
    bench = place("shared")
    trace = bench.out.with_name("who")
    slow = f'Faulty(seconds=0.2,trace="{trace}")'
    answer = bench.answer(ENGINE, explainers=f"Gradient,Noise,{slow}", metrics="iou,energy")
    return bench, answer, [line.split() for line in trace.read_text().splitlines()]


def test_processes_make_the_cells_keys_scores_and_map_bytes_that_local_makes(calm, shared):
    bench, answer, _ = shared
    assert answer["exit_code"] == 0
    mine, theirs = bench.scores(), calm.scores()
    assert len(theirs) == 4
    assert {labels: mine.get(labels) for labels in theirs} == theirs
    assert len(calm.maps()) == 6  # three shards of two explainers
    assert {path: bench.maps().get(path) for path in calm.maps()} == calm.maps()


def test_a_large_cell_is_shared_out_and_every_worker_has_one_thread(shared):
    bench, answer, lines = shared
    assert len({number for number, *_ in lines}) == 2, "one cell, two processes"
    assert {threads for _, _, threads, *_ in lines} == {"1"}
    engine = bench.last_run()["engine"]
    assert (engine["workers"], engine["threads"], engine["replaced"]) == (2, [1], 0)
    assert "workers 2, threads [1]" in answer["err"]
    explained = [cell for cell in answer["cells"] if cell["kind"] == "explain"]
    assert len(explained) == 3, "a cell in parts is one cell still"


BAD = ("exit-hard", "segfault", "killed", "hang", "leak", "leave", "fork", "leave-a-child", "garbage", "settings")


@pytest.fixture(scope="module")
def rough(place):
    """All misdeeds in one run, each followed by others' work."""
    bench = place("rough")
    trace = bench.out.with_name("traces")
    explainers = ",".join(f'Faulty(how={how},trace="{trace}")' for how in BAD)
    engine = "processes(workers=2,timeout=30,memory=1)"
    answer = bench.answer(
        engine, explainers=f"{explainers},Faulty(how=nothing,device=meta),Gradient", more=["--limit", "8"]
    )
    return bench, answer, [line.split() for line in trace.read_text().splitlines()]


def test_what_kills_a_worker_costs_its_cell_alone_and_has_a_name(rough):
    _, answer, _ = rough
    assert answer["exit_code"] == answer["returncode"] == 1
    ends = rough[0].endings(answer)
    assert ends["exit-hard"] == ("failed", "the worker ended with exit code 9")
    assert ends["segfault"] == ("failed", "the worker was killed by SIGSEGV")
    assert ends["killed"] == (
        "failed",
        "the worker was killed by SIGKILL (from outside, or by a system that was short of memory)",
    )
    assert ends["leave"] == ("failed", "SystemExit: 3")
    assert ends["nothing"][0] == "failed", "maps on a device that holds no numbers"
    assert ends[""][0] == "ok", "the gradient, last in the line"


def test_what_hangs_is_ended_in_time_and_what_leaks_before_it_fills_the_machine(rough):
    bench, answer, _ = rough
    ends = bench.endings(answer)
    assert ends["hang"] == ("timeout", "took longer than the 30 s that a cell may take (timeout=30)")
    status, reason = ends["leak"]
    assert status == "oom"
    assert "more than the 1 a worker may use (memory=1)" in reason


def test_a_plugin_that_forks_leaves_no_second_worker_and_no_process_behind(rough):
    bench, answer, lines = rough
    ends = bench.endings(answer)
    assert ends["fork"][0] == ends["leave-a-child"][0] == "ok"
    assert bench.gone_within(5, {int(number) for number, *_ in lines})


def test_what_plugins_print_on_whatever_level_stays_out_of_the_answer(rough):
    _, answer, _ = rough  # that it could be parsed is the proof
    for level in ("by print", "below print", "below Python"):
        assert f"garbage {level}" in answer["err"]


def test_settings_that_a_plugin_leaves_changed_are_put_back_and_told(rough):
    bench, answer, lines = rough
    status, reason = bench.endings(answer)["settings"]
    assert status == "ok"
    for what in ("threads of torch changed from 1 to 3", "default dtype", "deterministic", "working folder"):
        assert what in reason
    others = {tuple(rest) for _, how, *rest in lines if how != "settings"}
    assert others == {("1", "torch.float32", str(Path.cwd()))}


def test_after_all_misdeeds_the_good_maps_are_whole_and_the_bad_have_a_record(rough, calm):
    bench, _, _ = rough
    good = {
        values for labels, (_, values) in calm.scores().items() if "Gradient" in str(labels) and "iou" in str(labels)
    }
    mine = [values for labels, (_, values) in bench.scores().items() if "Gradient" in str(labels)]
    (whole,) = good
    assert mine == [whole[: len(mine[0])]]
    row = {cell["labels"]["explainer"]: cell for cell in bench.last_run()["cells"] if cell["kind"] == "explain"}
    assert any("SIGSEGV" in cell["reason"] for cell in row.values())
    troubles = [path.read_text() for path in bench.out.glob("cells/*/*/trouble.json")]
    assert any("SIGSEGV" in text for text in troubles)
    assert any('"timeout"' in text for text in troubles)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 130)])
def test_a_driver_that_is_ended_takes_its_workers_along_and_loses_nothing(place, calm, number, code):
    bench = place(f"ended-{number}")
    process = bench.start(ENGINE, explainers="Gradient(seconds=0.4),Gradient,Noise", metrics="iou,energy")
    deadline = time.monotonic() + 120
    while not bench.maps() and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = bench.workers_of(process.pid)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert len(workers) == 2
    assert process.returncode == code
    assert bench.gone_within(5, workers)
    finished = bench.shards()
    if number == signal.SIGTERM:
        assert "to go on: xaibench run" in err
        assert bench.last_run()["status"] == "interrupted"
        assert any('"interrupted"' in path.read_text() for path in bench.out.glob("cells/*/*/trouble.json"))
    assert bench.answer(ENGINE, explainers="Gradient,Noise", metrics="iou,energy")["exit_code"] == 0
    assert {path: bench.shards().get(path) for path in finished} == finished, "finished work was done again"
    assert {labels: bench.scores().get(labels) for labels in calm.scores()} == calm.scores()


def test_after_the_grace_period_a_worker_that_ignores_the_end_is_ended_too(place):
    """Slurm sends SIGTERM, waits for a while, and kills: by then we must have gone, with a record."""
    bench = place("grace")
    trace = bench.out.with_name("hanging")
    process = bench.start("processes(workers=1)", explainers=f'Faulty(how=hang,trace="{trace}")', more=["--limit", "8"])
    deadline = time.monotonic() + 120
    while not trace.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)  # from the trace to the deafness
    workers, sent = bench.workers_of(process.pid), time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - sent > 0.9 * GRACE_SECONDS, "it was given time to write down what it had"
    assert bench.gone_within(5, workers)
    assert bench.last_run()["status"] == "interrupted"


@pytest.mark.slow
def test_two_drivers_with_workers_on_one_folder_both_end_well(place, calm):
    bench = place("both")
    choice = {"explainers": "Gradient,Noise", "metrics": "iou,energy"}
    both = [bench.start("processes(workers=1,images=32)", **choice, more=["--json"]) for _ in range(2)]
    for process in both:
        process.communicate(timeout=500)
    assert [process.returncode for process in both] == [0, 0]
    assert bench.scores() == calm.scores()
    assert bench.maps() == calm.maps()
    assert not list((bench.out / "tmp").iterdir())
