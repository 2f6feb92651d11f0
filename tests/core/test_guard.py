import copy

import pytest
import torch
from torch import nn

from xaibench.classifier import TorchClassifier
from xaibench.guard import Guard


def make_network():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)).eval()


def swap_two_weights(network):
    weights = network[0].weight.data
    first, second = weights[0, 0, 0, 1].clone(), weights[2, 0, 1, 0].clone()
    weights[0, 0, 0, 1], weights[2, 0, 1, 0] = second, first


def write_and_undo(network):
    with torch.no_grad():
        network[4].weight.mul_(2).div_(2)


def run_in_train_mode(network):
    network[1].train()
    network(torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0)))
    network[1].eval()


def hook_twice(network):
    network[2].register_forward_hook(print)
    network[2].register_forward_hook(print)


def replace_relu(network):
    network[2] = nn.GELU().eval()


def patch_forward(network):
    network[2].forward = torch.tanh


HARMS = [
    (lambda net: net[0].weight.data.view(-1)[7:8].nextafter_(torch.tensor([9.0])), "0.weight changed"),
    (swap_two_weights, "0.weight changed"),
    (lambda net: net[1].running_var.data.fill_(7), "1.running_var changed"),
    (run_in_train_mode, "1.running_mean changed; 1.running_var changed; 1.num_batches_tracked changed"),
    (lambda net: net[1].train(), "1 is now in train mode"),
    (lambda net: net[4].bias.requires_grad_(False), "4.bias.requires_grad is now False"),
    (hook_twice, "2 forward hooks left on 2"),
    (lambda net: net[2].register_forward_pre_hook(print), "1 forward-pre hook left on 2"),
    (lambda net: net[2].register_full_backward_hook(print), "1 backward hook left on 2"),
    (lambda net: net[2].register_full_backward_pre_hook(print), "1 backward-pre hook left on 2"),
    (lambda net: net.register_forward_hook(print), "1 forward hook left on the network"),
    (replace_relu, "2 was ReLU, is now GELU"),
    (patch_forward, "2 was ReLU, is now ReLU with its own forward"),
    (lambda net: net.append(nn.ReLU().eval()), "5 is new"),
    (lambda net: net.pop(3), "4.weight is gone"),
    (lambda net: net[0].register_buffer("extra", torch.zeros(2)), "0.extra is new"),
    (lambda net: setattr(net[4], "bias", None), "4.bias is gone"),
]


@pytest.mark.parametrize(("harm", "said"), HARMS)
def test_a_change_is_named(harm, said):
    network = make_network()
    guard = Guard(network)
    harm(network)
    assert said in guard.changes()


def test_an_untouched_network_has_not_changed():
    network = make_network()
    guard = Guard(network)
    network(torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))).sum().backward()
    handle = network[2].register_forward_hook(print)
    handle.remove()
    assert guard.changes() == ""


def test_a_removed_hook_is_named():
    network = make_network()
    handle = network[2].register_forward_hook(print)
    guard = Guard(network)
    handle.remove()
    assert guard.changes() == "1 forward hook removed from 2"


def test_behind_a_classifier_names_are_those_of_the_network():
    network = make_network()
    classifier = TorchClassifier(network, ("a", "b", "c"), "0")
    guard = Guard(classifier.network)
    network[1].running_mean.add_(1)
    assert guard.changes() == "1.running_mean changed"


def test_many_changes_are_cut_short():
    network = make_network()
    guard = Guard(network)
    network.train()
    assert guard.changes().endswith("3 is now in train mode; and 1 more")


@pytest.mark.parametrize("dtype", [torch.bool, torch.float16, torch.bfloat16, torch.int64, torch.complex64])
def test_tensors_of_every_type_are_watched(dtype):
    network = make_network()
    network.register_buffer("table", torch.zeros(3, 2, dtype=dtype))
    guard = Guard(network)
    network.table.data[1, 1] = 1
    assert guard.changes() == "table changed"


def test_a_change_that_was_undone_is_none():
    network = make_network()
    guard = Guard(network)
    write_and_undo(network)
    assert guard.changes() == ""


def test_what_counts_of_a_tensor_put_in_place_of_another_is_its_content():
    network = make_network()
    guard = Guard(network)
    network[4].weight = copy.deepcopy(network[4].weight)
    assert guard.changes() == ""
    network[4].weight = nn.Parameter(torch.zeros(3, 16))
    assert guard.changes() == "4.weight changed"
