"""TorchScript, exported and ONNX files: the same numbers as the network they were made of, or a plain no."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from tests.own.conftest import BLOBS
from xaibench.classifier import TorchClassifier
from xaibench.errors import UsageError
from xaibench.heatmaps import heatmaps_of
from xaibench.registry import create, installed_only, select

SIDE = 16


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))


class ChannelsLast(Small):
    def forward(self, x):
        return super().forward(x.permute(0, 3, 1, 2))


def seeded(make):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return make().eval()


def to_onnx(network, images, file, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch has a newer exporter, which takes longer
        torch.onnx.export(network, (images,), str(file), dynamo=False, input_names=["x"], **options)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One small network in every kind of file."""
    folder, network = tmp_path_factory.mktemp("files"), seeded(Small)
    images, batch = torch.rand(2, 1, SIDE, SIDE), {0: torch.export.Dim("batch", min=1)}
    torch.save(network.state_dict(), folder / "weights.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(network, images).save(folder / "script.pt")
    torch.export.save(torch.export.export(network, (images,), dynamic_shapes=(batch,)), folder / "free.pt2")
    torch.export.save(torch.export.export(network, (images,)), folder / "two.pt2")
    to_onnx(network, images, folder / "free.onnx", dynamic_axes={"x": {0: "batch"}})
    to_onnx(network, images, folder / "two.onnx")
    to_onnx(seeded(ChannelsLast), images.permute(0, 2, 3, 1), folder / "last.onnx", dynamic_axes={"x": {0: "batch"}})
    return folder


@pytest.fixture
def files(made, place):
    for file in made.iterdir():
        shutil.copy(file, place)
    return place


@pytest.fixture
def task(place):
    return create("tasks", BLOBS).plugin


REFERENCES = ["torchscript:script.pt", "exported:free.pt2", "exported:two.pt2"]
REFERENCES += ["onnx:free.onnx", "onnx:two.onnx", "onnx:last.onnx"]


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_kind_of_file_answers_as_the_network_does_for_any_number_of_images(files, task, reference, count):
    images = torch.rand(count, 1, SIDE, SIDE)
    network = create("models", reference).plugin.build(task)
    with torch.inference_mode():
        assert torch.allclose(network(images), seeded(Small)(images), atol=1e-5)


@pytest.mark.parametrize("reference", REFERENCES)
def test_masked_passes_of_every_kind_of_file_agree_with_the_network(files, task, reference):
    masks, image = torch.rand(7, SIDE, SIDE), torch.rand(1, SIDE, SIDE)
    own, plain = create("models", reference).plugin.build(task), seeded(Small)
    found, expected = (
        TorchClassifier(network, task.classes, None).masked(image, masks, torch.zeros(1, 1, 1))
        for network in (own, plain)
    )
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("reference", ["torchscript:script.pt", "exported:free.pt2", "exported:two.pt2"])
def test_gradients_come_through_where_they_are_promised(files, task, reference):
    images = torch.rand(3, 1, SIDE, SIDE)
    gradients = []
    for network in (create("models", reference).plugin.build(task), seeded(Small)):
        given = images.clone().requires_grad_()
        gradients.append(torch.autograd.grad(network(given)[:, 1].sum(), given)[0])
    assert torch.allclose(*gradients, atol=1e-6)


def test_what_a_file_cannot_give_is_unsupported_and_says_why(files, bench):
    models = "torchscript:script.pt,exported:free.pt2,exported:two.pt2,onnx:two.onnx"
    ended, results = bench(models, "gradcam,saliency,occlusion", "iou,mprt")
    found = {
        tuple(one.labels[n] for n in ("model", "explainer", "metric")): (one.status, one.reason)
        for one in results.scores
    }
    status = {key: status for key, (status, _) in found.items()}
    assert ended.code == 0
    assert status["exported(file=free.pt2)", "gradcam", "mprt"] == "ok"
    assert status["exported(file=two.pt2)", "gradcam", "iou"] == "unsupported"
    assert status["exported(file=two.pt2)", "saliency", "iou"] == "ok"
    assert status["torchscript(file=script.pt)", "saliency", "iou"] == "ok"
    assert status["torchscript(file=script.pt)", "saliency", "mprt"] == "unsupported"
    assert status["onnx(file=two.onnx)", "occlusion", "iou"] == "ok"
    assert found["onnx(file=two.onnx)", "saliency", "iou"] == ("unsupported", "onnx has no gradients")
    assert "fixes the batch at 2" in ended.err


def test_networks_of_the_same_weights_are_not_taken_for_each_other_when_they_are_spoilt(files, bench):
    (files / "two.py").write_text(
        "from tests.own.test_exchange import Small\n\n\nclass Double(Small):\n"
        "    def forward(self, x):\n        return super().forward(x) * x.mean((1, 2, 3))[:, None]\n"
    )
    both = bench("tests.own.test_exchange:Small@weights.pt,two.py:Double@weights.pt", "occlusion", "mprt")[1]
    alone = bench("two.py:Double@weights.pt", "occlusion", "mprt", out="alone")[1]
    assert both.scores[1].values == alone.scores[0].values != both.scores[0].values


def by_labels(results):
    return {tuple(one.labels[name] for name in ("model", "explainer", "metric")): one for one in results.scores}


def forward_only():
    """Every method that needs nothing but answers, but for other libraries' versions of them."""
    found = [one for one in select("explainers", "all", "quick") if not one.card["needs"] and not one.card["reference"]]
    return [one.name for one in found if one.card["default"]] + ["sliding-window"]


@pytest.mark.slow
def test_an_onnx_export_of_resnet18_scores_as_the_torch_network_with_every_forward_only_method(place, bench):
    network = seeded(lambda: resnet18(num_classes=2))
    torch.save(network.state_dict(), place / "resnet18.pt")
    to_onnx(network, torch.rand(1, 3, SIDE, SIDE), place / "resnet18.onnx", dynamic_axes={"x": {0: "batch"}})
    methods = forward_only()
    ended, results = bench(
        "torchvision.models:resnet18@resnet18.pt(num_classes=2),onnx:resnet18.onnx",
        ",".join(methods), "iou,auprc,deletion,insertion,road,average-drop", limit=2,
    )  # fmt: skip
    assert ended.code == 0, ended.err
    maps = {labels["model"]: {} for labels in (found.labels for found in heatmaps_of(Path("out")))}
    for found in heatmaps_of(Path("out")):
        maps[found.labels["model"]][found.labels["explainer"]] = found.maps
    torch_maps, onnx_maps = maps.values()
    assert set(torch_maps) >= {"rise", "occlusion", "lime", "kernel-shap", "feature-ablation"}
    for name, expected in torch_maps.items():
        scale = np.abs(expected).max()
        assert np.abs(onnx_maps[name] - expected).max() <= 1e-4 * max(scale, 1), name
    scores = by_labels(results)
    for (model, explainer, metric), one in scores.items():
        if model.startswith("torchvision"):
            other = scores["onnx(file=resnet18.onnx)", explainer, metric]
            assert one.status == other.status == "ok"
            assert np.allclose(one.values, other.values, atol=1e-4), (explainer, metric)


@pytest.mark.parametrize("reference", ["torchscript:net.py", "exported:net.py", "onnx:net.py"])
def test_another_kind_of_file_is_told(place, task, reference):
    with pytest.raises(UsageError, match=r"net\.py (is no|was not)"):
        create("models", reference).plugin.build(task)


@pytest.mark.parametrize("reference", ["torchscript:script.pt", "exported:free.pt2", "onnx:free.onnx"])
def test_files_are_not_opened_where_the_reference_is_a_strangers(files, reference):
    with installed_only("this folder is a stranger's"), pytest.raises(UsageError, match="hold code, and this folder"):
        create("models", reference)


@pytest.mark.parametrize("kind", ["torchscript", "exported", "onnx"])
def test_a_missing_file_is_told(place, kind):
    with pytest.raises(UsageError, match=f"{kind}: there is no file nothing"):
        create("models", f"{kind}:nothing")


def test_a_pickled_network_is_no_network_of_ours(place, task):
    torch.save(nn.Linear(2, 2), place / "whole.pt")
    for kind in ("torchscript", "exported"):
        with pytest.raises(UsageError, match=r"whole\.pt"):
            create("models", f"{kind}:whole.pt").plugin.build(task)


def test_an_onnx_file_with_its_weights_beside_is_another_when_they_change(files, task):
    loaded = create("models", "onnx:free.onnx")
    before = loaded.plugin.build(task).state_dict()["inner.content"].clone()
    name = "graph"  # stands in every such file, and so may be the name of one beside it
    assert name.encode() in (files / "free.onnx").read_bytes() or b"torch" in (files / "free.onnx").read_bytes()
    for other in ("graph", "torch", "main_graph"):
        (files / other).write_bytes(b"weights")
    assert not torch.equal(before, loaded.plugin.build(task).state_dict()["inner.content"])
