"""Networks that are no plugins: what is made of them, what they are told, and how mistakes are."""

import re

import pytest
import torch
from torch import nn

from tests.own.conftest import BLOBS
from xaibench.errors import DataError, XaibenchError
from xaibench.own.fitting import Fitted, Options
from xaibench.registry import create


@pytest.fixture
def task(place):
    return create("tasks", BLOBS).plugin


def built(reference, task):
    torch.manual_seed(0)
    return create("models", reference).plugin.build(task)


def pictures(channels=1, count=3):
    return torch.rand(count, channels, 16, 16, generator=torch.Generator().manual_seed(1))


# ------------------------------------------------------------ what is taken for a network


@pytest.mark.parametrize("name", ["build", "Small", "net", "counted", "binary", "colour", "scaled", "told"])
def test_builders_classes_and_instances_become_models_with_a_logit_per_class(task, name):
    loaded = create("models", f"net.py:{name}")
    assert loaded.plugin.build(task)(pictures()).shape == (3, 2)
    assert loaded.label == f"net.py:{name}"
    assert loaded.card["trained"] is False
    assert set(loaded.card["provides"]) == {"gradients", "cam_layer"}


def test_a_builder_is_told_of_the_task_what_its_signature_asks(task):
    network = built("net.py:told", task)
    assert network.inner.told == (("left", "right"), 16, 1, "mine")


def test_a_reference_makes_the_same_network_again_though_the_task_decided_its_size(task):
    loaded = create("models", "net.py:Small(width=7)")
    again = create("models", loaded.reference)
    assert again.reference == loaded.reference
    assert "num_classes" not in loaded.reference
    assert again.plugin.build(task).inner.head.weight.shape == (2, 7)


def test_what_a_user_gives_wins_over_what_the_task_would_say(task):
    network = built("net.py:Small(channels=3, width=2)", task)
    assert network.inner.features[0].weight.shape == (2, 3, 3, 3)


def test_a_builder_keeps_its_own_parameter_of_a_name_that_we_use_too(task):
    loaded = create("models", "net.py:told(cam_layer=theirs, cam_layer_=features.0)")
    assert loaded.plugin.build(task).inner.told[-1] == "theirs"
    assert loaded.plugin.cam_layer(task) == "inner.features.0"
    assert create("models", loaded.reference).plugin.cam_layer(task) == "inner.features.0"


def test_an_instance_stays_as_its_owner_has_it(task):
    loaded = create("models", "net.py:net")
    network = loaded.plugin.build(task)
    network.inner.head.weight.data.zero_()
    assert loaded.plugin.build(task).inner.head.weight.abs().sum() > 0


def test_a_function_of_images_is_a_black_box(task):
    loaded = create("models", "net.py:brightness")
    images = pictures()
    assert loaded.card["provides"] == []
    assert torch.allclose(loaded.plugin.build(task)(images)[:, 1], 2 * images.mean((1, 2, 3)))
    assert loaded.plugin.cam_layer(task) is None


# ------------------------------------------------------------ weights


def test_a_checkpoint_goes_into_what_a_builder_makes(task, place):
    state = built("net.py:build", task).inner.state_dict()
    state["head.bias"] = torch.tensor([5.0, -5.0])
    torch.save(state, place / "w.pt")
    for reference in ("net.py:build(checkpoint=w.pt)", "net.py:build@w.pt"):
        network = built(reference, task)
        assert network.inner.head.bias.tolist() == [5.0, -5.0]
    with pytest.raises(DataError, match=r"4 of another shape|of another shape"):
        built("net.py:Small(checkpoint=w.pt, width=3)", task)


def test_a_pickled_network_is_refused_unread(task, place):
    torch.save(nn.Linear(2, 2), place / "whole.pt")
    with pytest.raises(DataError, match="no weights that can be read safely"):
        built("net.py:build@whole.pt", task)


def test_new_weights_in_the_same_file_are_new_cells_and_the_same_ones_are_not(bench, place, task):
    torch.save(built("net.py:build", task).inner.state_dict(), place / "w.pt")
    first = bench("net.py:build@w.pt", "saliency", "iou")[1].predictions[0]
    assert "cached" in bench("net.py:build@w.pt", "saliency", "iou")[0].err
    torch.save({name: value + 1 for name, value in torch.load(place / "w.pt").items()}, place / "w.pt")
    second = bench("net.py:build@w.pt", "saliency", "iou")[1].predictions[0]
    assert first.key != second.key
    assert first.logits != second.logits


# ------------------------------------------------------------ pixels


def test_pixels_are_prepared_as_is_said(task):
    network = Fitted(nn.Flatten(), Options(mean="0.5 0.25 0", std=0.5, channels=3), 3, ())
    answer = network.answer(torch.full((1, 1, 1, 1), 0.75))
    assert answer.tolist() == [[0.5, 1.0, 1.5]]


def test_colour_is_averaged_for_a_network_of_grey_images():
    network = Fitted(nn.Flatten(), Options(), 1, ())
    assert network.answer(torch.tensor([0.1, 0.2, 0.6]).view(1, 3, 1, 1)).item() == pytest.approx(0.3)


def test_images_are_brought_to_the_side_that_is_asked():
    network = Fitted(nn.Flatten(), Options(resize=8), None, ())
    assert network.answer(pictures()).shape == (3, 64)


def test_a_network_of_colour_is_given_grey_images_thrice(task):
    network = built("net.py:colour", task)
    images = pictures()
    assert torch.equal(network(images), network.inner(images.expand(-1, 3, -1, -1)))
    assert "grey images are given as three equal channels" in "\n".join(
        create("models", "net.py:colour").plugin.notes(task)
    )


# ------------------------------------------------------------ outputs


def test_one_output_is_the_logit_of_the_second_class(task):
    network = built("net.py:binary", task)
    logits = network(pictures())
    assert logits[:, 0].tolist() == [0, 0, 0]
    assert torch.equal(logits[:, 1], network.inner(pictures())[:, 0])
    assert torch.allclose(logits.softmax(1)[:, 1], network.inner(pictures())[:, 0].sigmoid())


def test_outputs_can_be_dealt_to_classes_and_a_class_may_have_none(task):
    network = built('net.py:many(outputs="-,3")', task)
    logits = network(pictures())
    assert logits[:, 0].tolist() == [0, 0, 0]
    assert torch.equal(logits[:, 1], network.inner(pictures())[:, 3])


def test_probabilities_become_logits_whose_softmax_they_are(task):
    network = built("net.py:probable(answers=probabilities)", task)
    assert torch.allclose(network(pictures()).softmax(1), network.inner(pictures()), atol=1e-5)
    assert "look like probabilities" in "\n".join(create("models", "net.py:probable").plugin.notes(task))


def test_the_probability_of_a_label_becomes_its_log_odds():
    network = Fitted(nn.Flatten(), Options(answers="probabilities"), None, (None, 0))
    assert network(torch.full((1, 1, 1, 1), 0.8))[0].tolist() == pytest.approx(
        [0, torch.logit(torch.tensor(0.8)).item()]
    )


# ------------------------------------------------------------ CAM layers


def test_the_cam_layer_is_chosen_told_and_can_be_another(bench, task):
    ended, results = bench("net.py:build,net.py:build(cam_layer=features.0)", "gradcam", "iou")
    assert "net.py:build on " in ended.err
    assert "layer for CAM methods: features; cam_layer=NAME takes another" in ended.err
    assert len(ended.err.split("layer for CAM methods")) == 2  # told once, and not of the one that was given
    assert [result.status for result in results.scores] == ["ok", "ok"]
    assert results.scores[0].key != results.scores[1].key


def test_without_a_layer_cams_are_unsupported_and_the_rest_runs(bench):
    ended, results = bench("net.py:build(cam_layer=none)", "gradcam,saliency", "iou")
    assert ended.code == 0
    found = {result.labels["explainer"]: result.status for result in results.scores}
    assert found == {"gradcam": "unsupported", "saliency": "ok"}


def test_an_unknown_layer_is_told_with_those_that_there_are(bench):
    ended, _ = bench("net.py:build(cam_layer=layer4)", "gradcam", "iou")
    assert ended.code == 1
    assert "CAM layer 'inner.layer4' is not a module" in ended.err


# ------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("net.py:many", r"net\.py:many has 5 outputs, but task blobs has 2 classes \(left, right\).*outputs=\"-,0\""),
        ('net.py:many(outputs="1,7")', r"has 5 outputs \(0 to 4\), and task blobs has 2 classes \(left, right\)"),
        ('net.py:many(outputs="1,x")', r"outputs='1,x': give the output of every class in order"),
        ("net.py:breaks", r"fails on an image of task blobs, \[1, 1, 16, 16\]: RuntimeError.*resize=PIXELS"),
        ("net.py:build(chanels=3)", r"has no parameter chanels; did you mean channels\?.*num_classes, .*mean"),
        ("net.py:build(channels=2)", "channels=2: give 1"),
        ("net.py:build(std=0)", "std=0.0: must be above 0"),
        ('net.py:build(mean="1 2")', "mean='1 2': give one number, three"),
        ("net.py:Small(width=wide)", "parameter width is 'wide', but must be int"),
        ("net.py:needy", "needs a value for depth"),
        ("net.py:text", "has no `card`"),
        ("net.py:build@nowhere.pt", "there is no file nowhere.pt"),
    ],
)
def test_mistakes_are_told_with_what_to_do(task, reference, told):
    with pytest.raises(XaibenchError) as caught:
        create("models", reference).plugin.build(task)
    assert re.search(told, str(caught.value), re.DOTALL), caught.value
