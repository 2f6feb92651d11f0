"""`import xaibench as xb`: the snippet everyone begins with, live objects, and names that cost nothing to import."""

import doctest
import gc
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import xaibench as xb
from tests.own.conftest import TOYS
from xaibench.errors import UsageError
from xaibench.own.fingerprints import Unstable, fingerprint
from xaibench.registry import create

SNIPPET = """
>>> import xaibench as xb
>>> board = xb.run(models=[net], explainers=EXPLAINERS, task=xb.task(TASK), **FEWER)
>>> board.table()  # doctest: +ELLIPSIS
Small on ...balanced accuracy...
>>> board.to_html("x.html").name
'x.html'
>>> list(board.scores.columns)  # a pandas DataFrame
['task', 'fold', 'model', 'explainer', 'metric', 'target', 'precision', 'id', 'patient', 'value', 'failed']
>>> set(board.scores.model)
{'Small'}
"""


class Small(nn.Module):
    def __init__(self, classes=2):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(4, classes)
        self.scale = 1.0

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3))) * self.scale


class Twice(Small):
    def forward(self, x):
        return 2 * super().forward(x)


def brightness(classifier, batch):
    """How bright."""
    return batch.images[:, 0]


def seeded(make=Small, **more):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make(**more)


@pytest.fixture
def net():
    return seeded()


@pytest.fixture
def run(place):
    """`xb.run` on the toy task, small and silent."""
    task = xb.task(f"{TOYS}:Blobs")

    def give(models, explainers, metrics="iou,energy", **options):
        options = {"limit": 4, "references": False, "audit": False, "progress": "none", "task": task, **options}
        return xb.run(models, explainers, metrics=metrics, **options)

    return give


# ------------------------------------------------------------ the snippet


def doctested(text, **names):
    runner, failures = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE), []
    test = doctest.DocTestParser().get_doctest(text, names, "snippet", None, 0)
    runner.run(test, out=failures.append)
    assert runner.failures == 0, "".join(failures)
    assert runner.tries == len(test.examples) > 0


def test_the_snippet_runs(place, net):
    doctested(SNIPPET, net=net, TASK=f"{TOYS}:Blobs", EXPLAINERS="gradcam,saliency", FEWER={"limit": 4})
    assert "Small" in (place / "x.html").read_text()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_snippet_runs_with_all_explainers_on_the_phantom(place):
    fewer = {"limit": 1, "audit": False}  # the audit knows nothing of the snippet, and takes minutes
    doctested(SNIPPET, net=seeded(classes=3), TASK="phantom", EXPLAINERS="all", FEWER=fewer)
    assert "captum-lime" in (place / "x.html").read_text()


# ------------------------------------------------------------ live objects


def test_live_objects_score_as_the_same_things_named_by_reference(run, net, place):
    torch.save(net.state_dict(), place / "w.pt")
    explainer, task = create("explainers", f"{TOYS}:Gradient").plugin, create("tasks", f"{TOYS}:Blobs").plugin
    metric = create("metrics", "energy").plugin
    live = run(net, explainer, metric, task=task)
    named = run("tests.own.test_api:Small@w.pt", f"{TOYS}:Gradient", "energy")
    assert len(live.scores) == 3  # of four images one has no lesion
    assert list(live.scores.value) == list(named.scores.value)
    assert live.predictions["logit of left"].tolist() == named.predictions["logit of left"].tolist()


def test_the_net_of_the_user_stays_as_it_is(run, net):
    net.train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    run(net, "gradcam,saliency")
    assert net.training
    assert all(parameter.requires_grad for parameter in net.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not net.features._forward_hooks


def test_a_function_is_an_explainer_and_a_class_or_function_a_model(run):
    def build(num_classes):
        return seeded(classes=num_classes)

    def answers(images):
        return images.mean((1, 2, 3)).unsqueeze(1) * torch.tensor([1.0, -1.0])

    board = run({"made": build, "class": Small, "black box": answers}, [brightness, "saliency"])
    status = board.summary.set_index(["model", "explainer", "metric"]).status
    assert status["made", "brightness", "iou"] == status["class", "saliency", "iou"] == "ok"
    assert status["black box", "brightness", "iou"] == "ok"
    assert status["black box", "saliency", "iou"] == "unsupported"


def test_the_same_objects_are_not_computed_again_and_changed_ones_are(run, net, tmp_path, capsys):
    def again(model):
        return run(model, brightness, out=tmp_path / "out", progress="plain") and capsys.readouterr().err

    assert "cached" not in again(net)
    lines = [line for line in again(net).splitlines() if line.startswith("[")]
    assert lines
    assert all("cached" in line for line in lines)
    net.scale = 2.0
    assert "cached" not in again(net)
    net.head.bias.data += 1
    assert "cached" not in again(net)


def test_two_of_one_name_are_refused_with_how_to_name_them(run):
    with pytest.raises(UsageError, match=r"several are called Small; give them names: models=\{'first'"):
        run([seeded(), seeded(Small)], "gradcam")
    board = run({"one": seeded(), "two": seeded(Twice)}, "saliency", "iou")
    assert sorted(set(board.scores.model)) == ["one", "two"]


@pytest.mark.parametrize("engine", ["processes", "ray(address=auto)"])
def test_live_objects_are_refused_by_engines_of_other_processes(run, net, engine):
    with pytest.raises(
        UsageError, match=r"works in other processes, and Small exists in this one alone.*engine='local'"
    ):
        run(net, "gradcam", engine=engine)


def test_a_live_object_of_another_session_is_told():
    with pytest.raises(UsageError, match="Small-0123 was an object of another Python session"):
        create("models", "live:Small-0123")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"models": 3}, r"models: a int is none\. Wanted is a reference .*torch\.nn\.Module"),
        ({"explainers": 3}, r"explainers: a int is none.*function \(classifier, batch\) -> heatmaps"),
        ({"metrics": brightness}, r"metrics: a function is none.*MetricCard"),
        ({"explainers": {"mine": "gradcam"}}, "only objects are given names"),
        ({"explainers": "gradcm"}, "did you mean gradcam"),
        ({"models": xb.explainer("gradcam")}, "gradcam is one of the explainers"),
    ],
)
def test_what_cannot_be_is_told(run, net, given, told):
    given = {"models": net, "explainers": "gradcam", **given}
    with pytest.raises(UsageError, match=told):
        run(given.pop("models"), given.pop("explainers"), **given)


# ------------------------------------------------------------ the board


def test_the_board_holds_numbers_predictions_maps_and_shows_itself(run, net):
    board = run({"<b>net</b>": net}, [brightness, "constant"])
    assert isinstance(board.scores, pd.DataFrame)
    assert board.scores[board.scores.explainer == "constant"].failed.all()
    means = board.summary.set_index(["explainer", "metric"])["mean"]
    assert means["brightness", "iou"] == pytest.approx(
        board.scores.query("explainer == 'brightness' and metric == 'iou'").value.mean()
    )
    assert len(board.predictions) == 4
    assert set(board.predictions.predicted) <= {"left", "right"}
    (maps,) = board.maps(explainer="brightness")
    assert maps.maps.shape == (4, 16, 16)
    assert maps.maps.dtype == np.float32
    assert "<table" in board._repr_html_()
    assert "<b>" not in board._repr_html_()
    assert "1 models and 2 explainers" in repr(board)


def test_a_board_is_read_from_any_results_folder_and_a_temporary_one_goes_with_it(run, net, tmp_path):
    run(net, "gradcam", out=tmp_path / "out")
    assert xb.Board(tmp_path / "out").summary.status.tolist() == ["ok", "ok"]
    board = run(net, "gradcam")
    folder = board.folder
    assert folder.is_dir()
    del board
    gc.collect()
    assert not folder.exists()


# ------------------------------------------------------------ names


def test_public_names_are_all_there_and_listed():
    assert set(xb.__all__) <= set(dir(xb))
    for name in xb.__all__:
        assert getattr(xb, name) is not None
    assert sorted(xb.__all__) == xb.__all__
    assert "gradcam" in xb.explainers()
    assert "resnet50" in xb.models()
    assert "phantom" in xb.tasks()
    assert "iou" in xb.names("metrics")
    assert xb.model("resnet50").card["name"] == "resnet50"
    with pytest.raises(AttributeError, match="no attribute 'explaner'"):
        xb.explaner  # noqa: B018


def test_importing_costs_nothing():
    code = "import sys, xaibench; print(*({'torch', 'numpy', 'pandas', 'click', 'rich'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


# ------------------------------------------------------------ identities


def test_a_fingerprint_is_the_same_in_another_session():
    code = (
        "import torch; from tests.own.test_api import *;"
        "print(fingerprint(seeded()), fingerprint(brightness), fingerprint(create('explainers', 'lime').plugin))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    own = [seeded(), brightness, create("explainers", "lime").plugin]
    assert done.stdout.split() == [fingerprint(one) for one in own]


def test_code_state_and_what_is_referred_to_all_count():
    def made(factor, closure=0):
        names = {"factor": factor}
        exec("def f(x, k=closure_default):\n    return x * factor + k", names | {"closure_default": 0}, names)  # noqa: S102
        return names["f"]

    same, other = seeded(), seeded()
    assert fingerprint(same) == fingerprint(other)
    assert fingerprint(seeded(Twice)) != fingerprint(same)
    other.scale = 3
    assert fingerprint(other) != fingerprint(same)
    assert fingerprint(lambda x: x + 1) != fingerprint(lambda x: x + 2)
    assert fingerprint({"a": 1}) != fingerprint({"a": 1.0})
    assert fingerprint(frozenset("abc")) == fingerprint(frozenset("cba"))
    ring = []
    ring.append(ring)
    assert fingerprint(ring)


def test_what_has_no_fingerprint_is_of_one_run_alone_and_it_is_said(run, net, capsys):
    class Holds:
        card = xb.ExplainerCard(name="holds", summary="a generator", family="gradient")

        def __init__(self):
            self.stream = (number for number in range(3))

        def explain(self, classifier, batch):
            return batch.images[:, 0]

    with pytest.raises(Unstable):
        fingerprint(Holds())
    run(net, Holds(), progress="plain")
    assert "holds holds a generator" in capsys.readouterr().err
