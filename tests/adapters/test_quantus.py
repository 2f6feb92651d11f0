"""Quantus behind our contract: every metric known, one image at a time, seeded, and no failure hidden."""

import dataclasses
import importlib.util
import random
import subprocess
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch

from xaibench.__main__ import call
from xaibench.audit.auditing import audit_metric
from xaibench.audit.witness import Witness
from xaibench.cases import taken
from xaibench.errors import Unsupported, UsageError
from xaibench.isolation import isolated_randomness
from xaibench.registry import create
from xaibench.results import load_results
from xaibench_adapters.quantus_metrics import METRICS, Quantus, number, step

TOYS = Path(__file__).parents[1] / "core" / "toy_plugins.py"
MAKER = Path(__file__).parents[2] / "tools" / "xaibench_docs" / "quantus_page.py"
# IROF fails with every numpy since 2.4, as the page says.
RUNNING = [name for name, known in METRICS.items() if not known.unsupported and name != "IROF"]
CHEAP = {"MonotonicityCorrelation": {"nr_samples": 3}, "FaithfulnessCorrelation": {"nr_runs": 5}}


@pytest.fixture(scope="module")
def page():
    spec = importlib.util.spec_from_file_location("quantus_page", MAKER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def case(page):
    """Two grey images with lesions, and a small network."""
    one, rng = page.case(1), np.random.default_rng(5)
    twice = taken(one, [0, 0])
    return dataclasses.replace(
        twice,
        images=rng.random(twice.images.shape, dtype=np.float32),
        maps=rng.random(twice.maps.shape, dtype=np.float32),
        seeds=(1, 2),
    )


def made(name):
    return Quantus(name, steps=8, **CHEAP.get(name, {}))


@pytest.fixture(scope="module")
def library():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from quantus.helpers.constants import AVAILABLE_METRICS
    return {kind.__name__: kind for family in AVAILABLE_METRICS.values() for kind in family.values()}


def test_every_metric_of_the_library_is_known_with_its_direction(library):
    assert {name: known.higher_is_better for name, known in METRICS.items()} == {
        name: kind.score_direction.name == "HIGHER" for name, kind in library.items()
    }
    assert len(METRICS) == 37


def test_a_metric_is_named_after_a_colon():
    loaded = create("metrics", "quantus:PointingGame")
    assert (loaded.label, loaded.params["metric"]) == ("quantus(metric=PointingGame)", "PointingGame")
    assert loaded.card["needs"] == ["mask"]
    assert not loaded.card["default"]


def test_the_library_is_not_imported_to_describe_a_metric():
    code = "import sys; from xaibench.registry import create; create('metrics', 'quantus'); "
    code += "print('quantus' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_the_page_says_what_happens_today(page):
    assert page.rewritten(page.PAGE.read_text()) == page.PAGE.read_text(), (
        "run: python tools/xaibench_docs/quantus_page.py"
    )


@pytest.mark.parametrize("name", RUNNING)
def test_values_are_seeded_and_independent_of_neighbours_and_of_global_generators(case, name):
    both = made(name).score(case)
    assert both.shape == (2,)
    with isolated_randomness(123):  # another state of the global generators
        alone = [made(name).score(taken(case, [row]))[0] for row in (1, 0)][::-1]
    np.testing.assert_array_equal(both, alone)


def test_global_generators_are_left_as_they_were(case):
    def states():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

    before = states()
    for name in ("FaithfulnessCorrelation", "MonotonicityCorrelation", "Infidelity"):
        made(name).score(case)
    assert states() == before


def test_a_failure_of_the_library_is_raised_in_its_own_words(case):
    with pytest.raises(ValueError, match="'k' must be smaller than input size"):
        Quantus("TopKIntersection", k=5000).score(case)


@pytest.mark.parametrize("name", [name for name, known in METRICS.items() if known.unsupported])
def test_what_cannot_be_had_says_why(case, name):
    with pytest.raises(Unsupported, match=f"{name} (calls the explainer again|compares the images|asks for maps of)"):
        Quantus(name).score(case)


def test_an_audit_does_not_fail_what_cannot_be_had():
    witness = Witness(create("tasks", "phantom(size=64)").plugin, 2)
    found = audit_metric(create("metrics", "quantus:Focus"), witness)
    assert (found["verdict"], found["reason"]) == ("not audited", f"Focus {METRICS['Focus'].unsupported}")


@pytest.mark.parametrize("wrong", [{"metric": "Pointing"}, {"steps": 0}])
def test_parameters_that_cannot_be_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Quantus(**wrong)


def test_options_reach_the_library(case):
    one, all_of_them = (Quantus("TopKIntersection", k=k).score(case) for k in (1, 1023))
    assert set(one) <= {0, 1}
    np.testing.assert_allclose(all_of_them, case.masks.sum(axis=(1, 2)) / 1023, atol=1 / 1023)


def test_steps_divide_the_pixels():
    assert step(224 * 224, 64) == 784
    assert step(30, 64) == 1
    assert step(7, 3) == 7


def test_answers_become_numbers():
    assert number([np.True_]) == 1
    assert number([[1.0, 0.5, 0.0]]) == 0.5
    assert number({1: 1.0, 50: 0.0, 99: 0.0}) == 0.25  # the area under 1, 0, 0
    assert np.isnan(number([float("nan")]))


def test_a_missing_library_is_named_with_the_extra_that_brings_it(case, monkeypatch):
    monkeypatch.setitem(sys.modules, "quantus", None)
    with pytest.raises(UsageError, match=r"pip install 'xaibench\[quantus\]'"):
        made("Sparseness").score(case)


def test_in_a_run_failures_are_statuses_and_the_other_metrics_have_values(tmp_path):
    metrics = "quantus:Sparseness,quantus:MaxSensitivity,quantus:TopKIntersection"
    options = ["--models", f"{TOYS}:Trained", "--tasks", f"{TOYS}:Blobs(count=8)", "--explainers", f"{TOYS}:Noise"]
    options += ["--metrics", metrics, "--no-references", "--no-audit", "--out", str(tmp_path / "out")]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        patch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))
        assert call(["run", *options]) == 1
    found = {result.labels["metric"]: result for result in load_results(tmp_path / "out").scores}
    statuses = {name.partition("=")[2].rstrip(")"): result.status for name, result in found.items()}
    assert statuses == {"Sparseness": "ok", "MaxSensitivity": "unsupported", "TopKIntersection": "failed"}
    reasons = " ".join(result.reason for result in found.values())
    assert "calls the explainer again" in reasons
    assert "'k' must be smaller than input size" in reasons
