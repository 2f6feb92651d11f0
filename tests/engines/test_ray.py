"""The engine `ray`, on clusters of this machine: nodes and heads that die under a run."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

pytest.importorskip("ray")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
WORK = {"explainers": "Gradient,Noise", "metrics": "iou,energy"}
SLOW = {"explainers": "Faulty(seconds=0.4),Gradient,Noise", "metrics": "iou,energy"}


class Cluster:
    """Two nodes; what is asked of them is done when `ask` returns."""

    def __init__(self, process):
        self.process = process
        said = (line.strip() for line in process.stdout)
        self.address = next((line for line in said if line.replace(":", "").replace(".", "").isdigit()), "")
        assert self.address, "the cluster did not start"

    @property
    def engine(self):
        return f"ray(address='{self.address}',images=32)"

    def ask(self, what):
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        assert any(line.strip() == "done" for line in self.process.stdout)


@contextmanager
def cluster():
    """A cluster that is gone at the end, whatever the test did to it."""
    process = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("cluster.py")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True,
    )  # fmt: skip
    with process:
        try:
            yield Cluster(process)
        finally:
            process.stdin.close()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def calm(place):
    """What `local` makes of it, on one thread."""
    bench = place("calm")
    assert bench.answer(**WORK)["exit_code"] == 0
    return bench


def raylets():
    """The processes of this machine that make it a node of some cluster."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if b"raylet/raylet" in path.read_bytes():
                found.add(int(path.parent.name))
    return found


def wait_for_maps(bench, process):
    deadline = time.monotonic() + 200
    while not bench.maps() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.poll() is None, process.communicate()[1]


def test_a_node_that_dies_under_a_run_changes_no_score_and_a_dead_head_loses_nothing_finished(place, calm):
    bench = place("nodes")
    with cluster() as one:
        process = bench.start(one.engine, **SLOW)
        wait_for_maps(bench, process)
        one.ask("kill the second node")
        _, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        engine = bench.last_run()["engine"]
        assert engine["lost"] >= 1, "an actor was on the node that died"
        assert engine["threads"] == [1]
        assert {labels: bench.scores().get(labels) for labels in calm.scores()} == calm.scores()
        assert {path: bench.maps().get(path) for path in calm.maps()} == calm.maps()


def test_a_dead_head_ends_the_run_in_time_and_a_new_one_goes_on(place):
    bench, choice = place("heads"), {"explainers": "Gradient,Faulty(seconds=3)", "metrics": "iou"}
    with cluster() as one:
        process = bench.start(one.engine, **choice)
        wait_for_maps(bench, process)
        one.ask("kill the head")
        _, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert f"the head of the Ray cluster, {one.address}, is lost" in err
    assert bench.last_run()["status"] == "ended"
    finished = bench.shards()
    with cluster() as other:
        assert bench.answer(other.engine, **choice)["exit_code"] == 0
    assert {path: bench.shards().get(path) for path in finished} == finished, "finished work was done again"
    assert len(bench.scores()) == 2


@pytest.fixture(scope="module")
def rough(place):
    """Misdeeds on a cluster that the run itself starts."""
    bench, before = place("rough"), raylets()
    explainers = "Faulty(how=killed),Faulty(how=hang),Faulty(how=settings),Faulty(how=garbage),Gradient"
    return (
        bench,
        bench.answer("ray(workers=2,timeout=40,retries=1)", explainers=explainers, more=["--limit", "8"]),
        before,
    )


def test_a_cell_that_kills_its_actor_or_hangs_fails_alone(rough):
    bench, answer, _ = rough
    assert answer["exit_code"] == 1
    ends = bench.endings(answer)
    assert ends["killed"][0] == "failed"
    assert "was lost 2 times" in ends["killed"][1]
    assert ends["hang"] == ("timeout", "took longer than the 40 s that a cell may take (timeout=40)")
    assert "threads of torch changed from 1 to 3" in ends["settings"][1]
    assert ends["garbage"][0] == ends[""][0] == "ok"


def test_a_cluster_that_a_run_has_started_ends_with_it(rough):
    bench, _, before = rough
    assert bench.gone_within(20, raylets() - before)


def test_no_cluster_at_the_address_is_a_mistake_that_is_told(place):
    process = place("nowhere").start("ray(address='127.0.0.1:1')")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 2
    assert "no Ray cluster at address '127.0.0.1:1'" in err
