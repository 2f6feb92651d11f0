"""The engine `slurm`, with submitit's own stand-in for a queue: jobs are processes of this machine."""

import pytest

pytest.importorskip("submitit")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_jobs_make_the_maps_and_scores_that_local_makes_and_a_death_in_one_costs_its_cell(place):
    calm, queued = place("calm"), place("queued")
    assert calm.answer(explainers="Gradient,Noise")["exit_code"] == 0
    folder = queued.out.with_name("jobs")
    answer = queued.answer(
        f"slurm(jobs=2,images=32,cluster=local,folder='{folder}')", explainers="Gradient,Noise,Faulty(how=killed)"
    )
    assert queued.endings(answer)["killed"][1].startswith("the worker was killed by SIGKILL")
    assert [cell["status"] for cell in answer["cells"]].count("failed") == 2, "the map, and the score that needs it"
    assert {labels: queued.scores().get(labels) for labels in calm.scores()} == calm.scores()
    assert {path: queued.maps().get(path) for path in calm.maps()} == calm.maps()
