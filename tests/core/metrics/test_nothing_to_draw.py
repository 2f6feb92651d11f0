"""An explainer that draws the lesions has not failed on an image without any: there it has no value."""

from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from xaibench.__main__ import call
from xaibench.results import load_results

TOYS = Path(__file__).parents[1] / "toy_plugins.py"
TRUTHS = ("roi", "roi-grid", "roi-degraded")


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    out = tmp_path_factory.mktemp("truths") / "out"
    options = ["--models", f"{TOYS}:Trained", "--tasks", f"{TOYS}:Blobs(count=12)", "--out", str(out), "--no-audit"]
    options += ["--explainers", ",".join((*TRUTHS, "constant", "saliency")), "--metrics", "deletion(steps=4),seconds"]
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        assert call(["run", *options, "--no-references"]) == 0
    return {(one.labels["explainer"], one.labels["metric"]): one for one in load_results(out).scores}


@pytest.mark.parametrize("explainer", TRUTHS)
def test_the_truth_is_scored_only_where_there_is_one(scores, explainer):
    found = scores[explainer, "deletion(steps=4)"]
    assert not {name[-1] for name in found.ids} & set("789")  # toys that end so have no lesion
    assert len(found.ids) == 9
    assert not any(found.failed)


def test_any_other_empty_map_fails_everywhere(scores):
    found = scores["constant", "deletion(steps=4)"]
    assert len(found.ids) == 12
    assert all(found.failed)
    assert set(found.values) == {1.0}  # the worst there is


def test_explainers_that_look_at_the_network_are_scored_on_all_images(scores):
    assert len(scores["saliency", "deletion(steps=4)"].ids) == 12
