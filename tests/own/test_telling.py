"""What a run says of a network that is no plugin: its weights, what it is fed, and what its outputs stand for."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tests.own.conftest import BLOBS
from xaibench.own.fitting import Fitted, Options
from xaibench.own.telling import fed, outputs
from xaibench.registry import create


class Ordered:
    """A task whose classes can be put in another order."""

    shape = (1, 224, 192)

    def __init__(self, classes="malignant,normal"):
        self.classes = tuple(classes.split(","))


def notes(reference):
    return list(create("models", reference).plugin.notes(create("tasks", BLOBS).plugin))


def fitted(options, channels=None, dealt=()):
    return Fitted(nn.Flatten(), options, channels, dealt)


def test_every_output_is_told_with_its_class_and_how_to_turn_them():
    assert outputs(fitted(Options()), Options(), Ordered()) == (
        "outputs: 0 malignant, 1 normal (the task's order); "
        'classes="normal,malignant" on the task or outputs="1,0" on the model changes it'
    )


def test_a_task_whose_order_cannot_be_given_is_not_said_to_take_one():
    task = SimpleNamespace(classes=("left", "right"))
    told = outputs(fitted(Options()), Options(), task)
    assert told == 'outputs: 0 left, 1 right (the task\'s order); outputs="1,0" on the model changes it'


def test_outputs_that_were_given_are_told_as_given():
    options = Options(outputs="-,3")
    told = outputs(fitted(options, dealt=options.picked()), options, Ordered())
    assert told == "outputs: - malignant, 3 normal (as outputs= says)"


@pytest.mark.parametrize(
    ("options", "channels", "told"),
    [
        (Options(), 1, "fed: 1 channel, 224 x 192, values 0 to 1, no mean and std"),
        (
            Options(mean="imagenet", std="imagenet", resize=96),
            3,
            "fed: 3 channels, 96 x 96, values 0 to 1, normalised by mean imagenet and std imagenet",
        ),
        (Options(std=0.5), None, "fed: 1 channel, 224 x 192, values 0 to 1, normalised by std 0.5"),
    ],
)
def test_what_the_network_is_fed_is_told(options, channels, told):
    assert fed(fitted(options, channels), options, Ordered()) == told


@pytest.mark.parametrize("name", ["build", "Small"])
def test_a_network_that_is_built_without_a_file_of_weights_is_told_as_such(place, name):
    said = f"no weights from a file: it is as net.py:{name} builds it (net.py:{name}@weights.pt loads some)"
    assert said in notes(f"net.py:{name}")


def test_nothing_is_said_of_weights_that_come_from_a_file_or_with_the_network(place):
    network = create("models", "net.py:build").plugin.build(create("tasks", BLOBS).plugin)
    torch.save(network.inner.state_dict(), place / "weights.pt")
    for reference in ("net.py:build@weights.pt", "net.py:net", "net.py:brightness"):
        assert not [note for note in notes(reference) if "no weights" in note]


def test_a_run_says_all_of_it(bench):
    ended, _ = bench("net.py:build", "gradcam", "iou")
    for told in ("fed: 1 channel, 16 x 16", "outputs: 0 ", "no weights from a file"):
        assert ended.err.count(told) == 1
