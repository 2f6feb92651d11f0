"""What is frozen stays as it is, to the last bit; what is to learn learns, from when it is to."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from xaibench.contracts import Workshop
from xaibench_models.freezing import layers_of, rates, set_learning
from xaibench_models.recipes import Augmentation, Freezing, find
from xaibench_models.resnet import ResNet18
from xaibench_models.trainer import train


def network():
    """Ten layers with parameters, two of them the head."""
    torch.manual_seed(0)
    body = [layer for _ in range(4) for layer in (nn.Conv2d(1, 1, 3, padding=1), nn.BatchNorm2d(1))]
    made = nn.Sequential(*body, nn.Flatten())
    made.add_module("fc", nn.Sequential(nn.Linear(256, 8), nn.ReLU(), nn.Linear(8, 3)))
    return made


def names(net, modules):
    known = {module: name for name, module in net.named_modules()}
    return [known[module] for module in modules]


def divided(net, **how):
    layers = layers_of(net, ("fc.",), Freezing(**how))
    return names(net, layers.frozen), [names(net, group) for group in layers.groups], names(net, layers.head)


@pytest.mark.parametrize(("ratio", "count"), [(0, 0), (0.25, 2), (0.5, 4), (0.7, 6), (1, 8)])
def test_the_ratio_is_the_share_of_layers_from_the_input_without_the_head(ratio, count):
    frozen, groups, head = divided(network(), ratio=ratio)
    assert frozen == [str(at) for at in range(count)]
    assert [name for group in groups for name in group] == [str(at) for at in range(count, 8)]
    assert head == ["fc.0", "fc.2"]


def test_the_rest_is_divided_from_the_head_on():
    _, groups, _ = divided(network(), ratio=0.125, groups=3)
    assert groups == [["1"], ["2", "3", "4"], ["5", "6", "7"]]


def test_layers_of_a_resnet_are_counted_in_the_order_of_use():
    class Task:
        shape, classes = (1, 32, 32), ("a", "b")

    net = ResNet18().build(Task())
    frozen = names(net, layers_of(net, ResNet18.head, Freezing(ratio=0.5)).frozen)
    assert frozen[:3] == ["conv1", "bn1", "layer1.0.conv1"]
    assert len(frozen) == 20  # of 20 convolutions and 20 norms
    assert not any(name.startswith("layer4") for name in frozen)


class Task:
    """Noise; what is learned from it does not matter."""

    card = type("Card", (), {"name": "noise"})
    shape, classes, folds = (1, 16, 16), ("a", "b", "c"), 1

    def entries(self, split, fold):
        from xaibench.contracts import Entry

        return [Entry(f"{split}{at}", f"{split}{at}", at % 3) for at in range(12)]

    def load(self, entry):
        import numpy as np

        from xaibench.contracts import Sample

        return Sample(entry, np.random.default_rng(len(entry.id) + entry.label).random(self.shape, dtype=np.float32))


def trained(folder, epochs=2, **how):
    """State before and after, and the curve."""
    net = network()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    recipe = replace(
        find("quick"), epochs=epochs, batch_size=6, learning_rate=0.05, augmentation=Augmentation(), watch="val_loss",
        schedule="constant", weight_decay=0.1, freezing=Freezing(**how),
    )  # fmt: skip
    report = train(net, Task(), 0, Workshop(folder, "cpu", 3, lambda *_: None), recipe, "net", ("fc.",))
    last = torch.load(next(folder.iterdir()), weights_only=True)["state_dict"]
    after = {name: last[f"network.{name}"] for name in before}
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    return changed, report["curve"], net


@pytest.mark.parametrize("ratio", [0, 0.25, 0.5, 0.75, 1])
def test_frozen_layers_do_not_change_neither_weights_nor_statistics_and_all_others_do(tmp_path, ratio):
    changed, curve, net = trained(tmp_path, ratio=ratio)
    frozen = {f"{at}." for at in range(round(8 * ratio))}
    everything = set(net.state_dict())
    expected = {name for name in everything if not name.startswith(tuple(frozen)) or not frozen}
    assert changed == expected
    learning = sum(1 for name, _ in net.named_parameters() if name in expected)
    assert [row["learning"] for row in curve] == [learning, learning]


def test_gradual_unfreezing_follows_its_schedule(tmp_path):
    _, curve, _ = trained(tmp_path, epochs=6, ratio=0.5, gradual=True, groups=2, every=2)
    # The head has 4 parameters; each group one convolution and one norm, with 4. The first half never joins.
    assert [row["learning"] for row in curve] == [4, 4, 8, 8, 12, 12]


def test_layers_that_have_not_joined_yet_are_as_they_were(tmp_path):
    changed, _, _ = trained(tmp_path, epochs=1, gradual=True)
    assert changed == {"fc.0.weight", "fc.0.bias", "fc.2.weight", "fc.2.bias"}


def test_set_learning_names_what_learns_and_keeps_the_mode_of_other_norms():
    net = network().train()
    layers = layers_of(net, ("fc.",), Freezing(ratio=0.5))
    found = set_learning(net, layers.learning(Freezing(ratio=0.5), 0))
    assert found == [name for name, _ in net.named_parameters() if name[0] not in "0123"]
    assert [net[at].training for at in (1, 3, 5, 7)] == [False, False, True, True]


def test_rates_fall_from_the_head_to_the_input():
    recipe = replace(find("quick"), learning_rate=1e-4, group_rate=3e-5, decay=0.5)
    layers = layers_of(network(), ("fc.",), Freezing(ratio=0.25, groups=3))
    found = [rate for _, rate in rates(layers, recipe)]
    assert found == pytest.approx([7.5e-6, 1.5e-5, 3e-5, 1e-4])
    assert [rate for _, rate in rates(layers, find("quick"))] == [1e-3] * 4
