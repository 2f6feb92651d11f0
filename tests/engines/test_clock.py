"""What the wall clock may do without harm."""

import time

import pytest

from xaibench.progress import Silent
from xaibench.results import load_results
from xaibench.runner import Request, Terms, run


@pytest.fixture
def toys(request):
    folder = request.path.parents[1] / "core"
    return folder / "toy_plugins.py"


def test_a_clock_that_is_set_back_between_two_runs_does_not_make_the_older_one_count(tmp_path, toys, monkeypatch):
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))

    def once(version):
        run(
            Request(
                models=f"{toys}:Learnless", tasks=f"{toys}:Blobs(count=8)", explainers=f"{toys}:Noise", metrics="iou",
                terms=Terms(seed=version), references=False, audit=False, out=tmp_path / "out",
            ),
            Silent(), [],
        )  # fmt: skip

    once(1)
    (first,) = load_results(tmp_path / "out").scores
    (record,) = (tmp_path / "out" / "runs").glob("*.json")
    year = time.gmtime().tm_year
    record.rename(record.with_name(record.name.replace(str(year), str(year + 1), 1)))  # as if run a year ahead
    once(2)
    (second,) = load_results(tmp_path / "out").scores
    assert second.key != first.key, "the same labels, another seed: the later run counts"
