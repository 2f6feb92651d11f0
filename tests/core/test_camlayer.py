"""Which layer CAM methods weigh when nobody says."""

import torch
from torch import nn

from xaibench.camlayer import find_cam_layer


def stage(channels, stride):
    return nn.Sequential(nn.Conv2d(channels, 8, 3, stride, 1), nn.BatchNorm2d(8), nn.ReLU())


class Net(nn.Module):
    """64 px: grids of 32, 16, 8 and 4."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c, self.d = stage(1, 2), stage(8, 2), stage(8, 2), stage(8, 2)
        self.pool, self.fc = nn.AdaptiveAvgPool2d(7), nn.Linear(8 * 49, 3)

    def forward(self, x):
        return self.fc(self.pool(self.d(self.c(self.b(self.a(x))))).flatten(1))


def test_it_is_the_last_stage_with_a_grid_of_seven_and_no_part_of_a_stage():
    assert find_cam_layer(Net(), (1, 64, 64)) == "c"
    assert find_cam_layer(Net(), (1, 128, 128)) == "d"
    assert find_cam_layer(Net(), (1, 128, 72)) == "c"  # the shorter side decides


def test_where_all_grids_are_coarse_it_is_the_finest_that_is_not_left_at_once():
    assert find_cam_layer(Net(), (1, 16, 16)) == "b"


def test_a_network_without_grids_has_none():
    assert find_cam_layer(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), (1, 8, 8)) is None


def test_tokens_are_no_grid_and_patches_that_are_left_at_once_are_none_either():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = nn.Conv2d(1, 16, 8, 8)
            self.layers = nn.Sequential(*(nn.Linear(16, 16) for _ in range(8)))
            self.head = nn.Linear(16, 3)

        def forward(self, x):
            return self.head(self.layers(self.patches(x).flatten(2).transpose(1, 2)).mean(1))

    assert find_cam_layer(Tokens(), (1, 64, 64)) is None


def test_looking_leaves_no_trace():
    network = Net().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    find_cam_layer(network, (1, 64, 64))
    assert network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
