"""The kit as pytest sees it, and as it sees the plugins that come with xaibench."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from xaibench.contracts import ExplainerCard
from xaibench.errors import Unsupported, UsageError
from xaibench.testing import Examination, PlantedTask, at_hand, checks_of, conformance, named

HERE = Path(__file__).parent
ELSEWHERE = ("elsewhere",)  # takes seconds; tried for one plugin of each kind

TESTS = """
from bad_explainers import Sound, IsFlat
from xaibench.testing import conformance

FEW = ("card", "contrast", "adds-up")

@conformance(Sound, only=FEW)
def test_sound(check):
    check()

@conformance(IsFlat, only=FEW)
def test_flat(check):
    check()

@conformance(IsFlat, only=FEW, expect_fail={"contrast": "it is meant to be flat"})
def test_declared(check):
    check()

@conformance(Sound, only=FEW, expect_fail={"contrast": "it was flat once"})
def test_surprise(check):
    check()
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stranger")
    (folder / "bad_explainers.py").write_text((HERE / "bad_explainers.py").read_text())
    (folder / "test_mine.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False).stdout


@pytest.mark.parametrize(
    ("test", "outcome"),
    [
        ("test_sound[card]", "PASSED"),
        ("test_sound[contrast]", "PASSED"),
        ("test_flat[card]", "PASSED"),
        ("test_flat[contrast]", "FAILED"),
        ("test_declared[contrast]", "XFAIL"),
        ("test_surprise[contrast]", "FAILED"),
    ],
)
def test_each_check_is_a_test_of_its_own(report, test, outcome):
    assert re.search(rf"^{outcome} test_mine.py::{re.escape(test)}", report, re.MULTILINE), report


def test_a_failure_says_the_promise_and_why_and_shows_no_traceback_of_ours(report):
    assert "the map of image 0 is flat: every value is 0; it would count as failed" in report
    assert "it is kept: take it off the list" in report
    assert "examination.py" not in report


def test_a_promise_that_was_not_made_is_skipped_with_the_reason(report):
    assert re.search(r"SKIPPED \[\d\] .*: the card does not say additive", report)


def test_parameters_of_a_reference_belong_inside_it():
    with pytest.raises(UsageError, match=r"as in smoothgrad\(samples=\.\.\.\)"):
        conformance("smoothgrad", params={"samples": 3})


def test_a_check_that_does_not_exist_is_refused():
    with pytest.raises(UsageError, match=r"there is no check 'finit' of explainers; did you mean finite\?"):
        conformance("saliency", skip=["finit"])


@conformance("saliency")
def test_saliency(check):
    check()


@conformance("iou(threshold=0.3)")
def test_iou(check):
    check()


@conformance("oracle-lesion")
def test_oracle_lesion(check):
    check()


@conformance("phantom-tiny")
def test_phantom_tiny(check):
    check()


@conformance(PlantedTask, params={"channels": 3, "width": 40}, skip=("parameters", *ELSEWHERE))
def test_planted_task(check):
    """Its classes are a tuple, which no reference spells: it is a toy."""
    check()


# ----------------------------------------------------------------------------------- what comes with xaibench

# One of each way to be made; tests/adapters/test_promises.py tries all.
EXPLAINERS = ["gradcam", "hmc-attention", "attention-gradient", "integrated-gradients", "deeplift", "random", "roi"]
EXPLAINERS += ["tissue-prior", "smoothgrad", "eigencam", "mean-of"]
METRICS = ["iou", "auprc", "pointing-game", "false-alarms", "ll-score", "entropy", "file-size", "deletion", "road"]
METRICS += ["energy-marker", "seconds", "stability", "max-sensitivity", "mprt", "class-sensitivity", "completeness"]
MODELS = ["oracle-linear", "oracle-marker", "oracle-saturated", "vit(layers=2, heads=2, width=32)"]


@pytest.mark.parametrize("reference", [*EXPLAINERS, *METRICS, *MODELS, "phantom", "phantom-shortcut"])
def test_what_comes_with_xaibench_keeps_its_promises(reference):
    verdicts = list(Examination(named(reference), skip=ELSEWHERE))
    assert {verdict.name: verdict.reason for verdict in verdicts if not verdict.good} == {}
    assert sum(verdict.ran for verdict in verdicts) >= len(checks_of(named(reference).kind)) / 2


class Stranger(nn.Module):
    """A network that is none of the toys."""

    cam_layer = "features"

    def __init__(self, channels):
        super().__init__()
        self.features, self.head = nn.Conv2d(channels, 5, 3, stride=2), nn.Linear(5, 3)

    def forward(self, images):
        return self.head(self.features(images).mean(dim=(2, 3)))


class ForStrangers:
    """Explains one kind of network alone."""

    card = ExplainerCard(name="for-strangers", summary="for strangers", family="gradient", needs={"gradients"})

    def explain(self, classifier, batch):
        if not isinstance(classifier.network.inner, Stranger):
            raise Unsupported("this network is no Stranger")
        images = batch.images.clone().requires_grad_()
        scores = classifier.logits(images).gather(1, batch.targets[:, None])
        return (torch.autograd.grad(scores.sum(), images)[0] * batch.images).abs().sum(dim=1)


@conformance(ForStrangers, network=Stranger, skip=ELSEWHERE)
def test_an_explainer_of_some_networks_alone_brings_one(check):
    check()


def test_an_explainer_that_refuses_every_toy_is_told_so_and_not_passed():
    verdict = Examination(at_hand(ForStrangers)).verdict("works")
    assert verdict.status == "skipped"
    assert "not tried, for `needs`" in verdict.reason
    needs = Examination(at_hand(ForStrangers)).verdict("needs")
    assert needs.status == "failed"
    assert "it refuses every toy network, so nothing was tried: ToyCNN: this network is no Stranger" in needs.reason


def test_a_network_to_be_tried_on_is_for_explainers():
    with pytest.raises(UsageError, match="is for explainers; iou is of the metrics"):
        Examination(named("iou"), network=Stranger)


def test_importing_the_kit_imports_no_pytest_and_no_plugin():
    code = "import sys, xaibench.testing; print(*{'pytest', 'xaibench_adapters', 'captum'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
